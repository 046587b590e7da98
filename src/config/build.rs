//! From texts to a checked [`Config`]: what the options mean together.

use super::layer::{Raw, Values};
use super::options::Key;
use super::value::{self, Advertised, cpu_list};
use super::{Config, ConfigError, World, forwarding, media, store, subscriber, system};
use crate::directory::Subscriber;
use crate::limits::{LISTENERS_MAX, SHARDS_MAX};
use crate::net::{NetSettings, RtpSettings};
use crate::settings::{AckPolicy, LateAnswer, Listener, Media, Registration, Settings, Timers};
use crate::store::{Place, Settings as StoreSettings};
use crate::{admin, auth, cdr, service};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::Level;

/// The configuration that the values amount to. Where the lab's subscribers serve, they are put into the
/// values, so that they are printed too.
pub fn config(values: &mut Values, world: &World<'_>) -> Result<Config, ConfigError> {
    let listeners = listeners(values)?;
    let store = store::settings(values, &listeners)?;
    // Whoever names a store has subscribers of their own, or will have.
    let lab = values.subscribers.is_empty() && store.place == Place::Memory;
    if lab {
        if let Some(outside) = listeners.iter().find(|listener| !listener.address.ip().is_loopback()) {
            return Err(ConfigError::new(format!(
                "no subscriber is configured, and the lab's serve on loopback only, not on udp:{}; give \
                 --subscriber {}",
                outside.address,
                Key::Subscriber.setting().example
            )));
        }
        values.subscribers = subscriber::lab()?;
    }
    let auth = auth(values, &listeners)?;
    let forwarding = forwarding::settings(values, &listeners)?;
    let subscribers = subscriber::subscribers(&values.subscribers, &auth.realm, &forwarding)?;
    reachable(&listeners, &subscribers)?;
    let log = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    let log = values.choice(Key::Log, log)?;
    let cpus = cpus(values, &world.cpus_allowed)?;
    let advertised = advertised(values)?;
    let media::Configured { media, rtp, engines } =
        media::settings(values, (&listeners, &advertised), cpus.len())?;
    let net = net(values, (cpus, rtp), world.secret)?;
    let cdr = cdr(values)?;
    let records = cdr.is_some();
    let settings = Settings { auth, forwarding, media, records, ..settings(values, listeners)? };
    let admin = admin(values, world)?;
    Ok(Config { settings, subscribers, net, engines, store, cdr, admin, log, lab })
}

/// The settings of a store that no server is started for.
pub fn store_alone(values: &Values) -> Result<StoreSettings, ConfigError> {
    let listeners = listeners(values)?;
    match store::settings(values, &listeners)? {
        store if store.place == Place::Memory => Err(ConfigError::new(format!(
            "a store in memory is gone with its process; name another one by --data-dir or --store {}",
            Key::Store.setting().example
        ))),
        store => Ok(store),
    }
}

/// Nobody is left unasked who comes from another machine.
fn auth(values: &Values, listeners: &[Listener]) -> Result<auth::Settings, ConfigError> {
    let outside = listeners.iter().any(|listener| !listener.address.ip().is_loopback());
    let missing = auth::Settings::default();
    Ok(auth::Settings {
        required: values.choice(Key::Auth, [outside, true])?,
        realm: values.optional(Key::Realm, value::realm)?.unwrap_or(missing.realm),
        algorithms: values.optional(Key::AuthAlgorithms, value::algorithms)?.unwrap_or(missing.algorithms),
        trusted: values.list(Key::Trusted, value::network)?.into_iter().map(|(network, _)| network).collect(),
        nonce_lifetime_s: values.count(Key::NonceLifetime)?,
        failures_per_minute: values.count(Key::AuthFailures)?,
    })
}

/// Where records of legs go; `None`: nowhere.
fn cdr(values: &Values) -> Result<Option<cdr::Settings>, ConfigError> {
    let format = values.choice(Key::CdrFormat, [cdr::Format::Json, cdr::Format::Csv])?;
    let size_bytes = values.bytes(Key::CdrSize)? as u64;
    let directory = values.texts(Key::CdrDir).last().map(|raw| PathBuf::from(&raw.text));
    Ok(directory.map(|directory| cdr::Settings { directory, format, size_bytes }))
}

/// The API, which nobody beyond this machine may use without a token.
fn admin(values: &Values, world: &World<'_>) -> Result<Option<admin::Settings>, ConfigError> {
    let token = values.optional(Key::AdminTokenFile, |path| {
        let text = (world.read_file)(Path::new(path));
        let text = text.map_err(|error| format!("the file cannot be read: {error}"))?;
        admin::Token::parse(&text)
    })?;
    let Some(address) = values.optional(Key::Admin, value::address)?.flatten() else { return Ok(None) };
    match values.texts(Key::Admin).last() {
        Some(raw) if token.is_none() && !address.ip().is_loopback() => {
            let reason = "others could change everything there; add --admin-token-file FILE, or give an \
                          address on loopback such as 127.0.0.1:8060";
            Err(raw.wrong(Key::Admin.setting(), reason))
        }
        _ => Ok(Some(admin::Settings { address, token })),
    }
}

fn settings(values: &Values, listeners: Vec<Listener>) -> Result<Settings, ConfigError> {
    // Every number of seconds is bounded by a day, 86,400,000 ms: a u32 holds it.
    let ms_of_seconds = |key| Ok::<u32, ConfigError>(values.count(key)? * 1_000);
    Ok(Settings {
        listeners,
        timers: timers(values)?,
        no_answer_ms: ms_of_seconds(Key::NoAnswerTimeout)?,
        ring_limit_ms: ms_of_seconds(Key::RingLimit)?,
        trying_limit_ms: ms_of_seconds(Key::TryingLimit)?,
        call_limit_ms: ms_of_seconds(Key::CallLimit)?,
        // The table bounds it by 10.
        max_diversions: values.count(Key::MaxDiversions)? as u8,
        ack: values.choice(Key::Ack, [AckPolicy::Relay, AckPolicy::Immediate])?,
        send_181: !values.switch(Key::No181)?,
        unreachable_408: values.switch(Key::Unreachable408)?,
        late_answer: values.choice(Key::LateAnswer, [LateAnswer::Drop, LateAnswer::Keep])?,
        media: Media::default(),
        session_expires_s: values.count(Key::SessionExpires)?,
        alert_info: values.optional(Key::AlertInfo, value::uri)?,
        max_calls: values.count(Key::MaxCalls)?,
        max_transactions: values.count(Key::MaxTransactions)?,
        retry_after_s: values.count(Key::RetryAfter)?,
        auth: auth::Settings::default(),
        registration: registration(values)?,
        forwarding: service::Settings::default(),
        records: false,
    })
}

fn registration(values: &Values) -> Result<Registration, ConfigError> {
    let (min_s, max_s) = (values.count(Key::MinExpires)?, values.count(Key::MaxExpires)?);
    if let Some(max) = values.written(Key::MaxExpires).last()
        && max_s < min_s
    {
        let reason = format!("it is smaller than --min-expires; give --max-expires {min_s} or more");
        return Err(max.wrong(Key::MaxExpires.setting(), &reason));
    }
    Ok(Registration {
        // The table bounds it by limits::CONTACTS_MAX.
        contacts_max: values.count(Key::MaxContacts)? as u8,
        expires_min_s: min_s,
        // The default is above the largest --min-expires.
        expires_max_s: max_s,
        expires_default_s: values.count(Key::DefaultExpires)?.clamp(min_s, max_s),
        store_timeout_ms: values.count(Key::StoreTimeout)?,
        ..Registration::default()
    })
}

fn timers(values: &Values) -> Result<Timers, ConfigError> {
    let timers = Timers {
        t1_ms: values.count(Key::T1)?,
        t2_ms: values.count(Key::T2)?,
        t4_ms: values.count(Key::T4)?,
    };
    match values.written(Key::T2).last() {
        Some(t2) if timers.t2_ms < timers.t1_ms => {
            let reason = format!("it is smaller than T1; give --t2 {} or more", timers.t1_ms);
            Err(t2.wrong(Key::T2.setting(), &reason))
        }
        _ => Ok(timers),
    }
}

fn net(
    values: &Values,
    (cpus, rtp): (Vec<usize>, Option<RtpSettings>),
    secret: u64,
) -> Result<NetSettings, ConfigError> {
    Ok(NetSettings {
        cpus,
        batch: values.count(Key::Batch)? as usize,
        receive_buffer_bytes: values.bytes(Key::ReceiveBuffer)?,
        send_buffer_bytes: values.bytes(Key::SendBuffer)?,
        inbox_datagrams: values.count(Key::Inbox)? as usize,
        drain_timeout: Duration::from_secs(values.count(Key::DrainTimeout)?.into()),
        secret,
        rtp,
    })
}

/// One CPU per shard: the first of those named, or of those allowed.
fn cpus(values: &Values, allowed: &[usize]) -> Result<Vec<usize>, ConfigError> {
    let named = values.optional(Key::Cpus, |text| {
        let cpus = value::cpus(text)?;
        match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(cpu) => Err(format!("CPU {cpu} is not among those allowed here, {}", cpu_list(allowed))),
            None => Ok(cpus),
        }
    })?;
    let mut cpus = named.unwrap_or_else(|| allowed.to_vec());
    let shards = match (values.number(Key::Shards)?, values.texts(Key::Shards).last()) {
        (Some(shards), Some(raw)) if shards as usize > cpus.len() => {
            let reason = format!(
                "there are only {count} CPUs for them ({}), and each shard has one of its own; give --shards \
                 {count} or auto",
                cpu_list(&cpus),
                count = cpus.len()
            );
            return Err(raw.wrong(Key::Shards.setting(), &reason));
        }
        (Some(shards), _) => shards as usize,
        (None, _) => cpus.len().min(SHARDS_MAX),
    };
    cpus.truncate(shards);
    Ok(cpus)
}

/// The listeners with what Via and Contact say of them.
fn listeners(values: &Values) -> Result<Vec<Listener>, ConfigError> {
    let addresses = values.list(Key::Listen, value::listen)?;
    let advertised = advertised(values)?;
    let mut listeners: Vec<Listener> = Vec::new();
    for (address, raw) in &addresses {
        let refuse = |reason: &str| Err(raw.wrong(Key::Listen.setting(), reason));
        if listeners.iter().any(|listener| listener.address == *address) {
            return refuse("it is given twice; give it once");
        }
        let speaks_for =
            |advertised: &&Advertised| advertised.ip.is_none_or(|ip| ip.is_ipv4() == address.is_ipv4());
        let sent_by = match advertised.iter().find(speaks_for) {
            Some(advertised) => {
                format!("{}:{}", advertised.host, advertised.port.unwrap_or(address.port()))
            }
            None if address.ip().is_unspecified() => {
                return refuse(
                    "Via and Contact need an address that others can send to; add --advertise with that \
                     address, or listen on it",
                );
            }
            None => host_port(address.ip(), address.port()),
        };
        if listeners.iter().any(|listener| listener.sent_by == sent_by) {
            return refuse(&format!(
                "another listener is advertised as {sent_by} already; leave the port out of --advertise"
            ));
        }
        listeners.push(Listener { address: *address, sent_by });
    }
    match (listeners.len(), addresses.last()) {
        (1..=LISTENERS_MAX, _) => Ok(listeners),
        (_, Some((_, raw))) => {
            Err(raw
                .wrong(Key::Listen.setting(), &format!("more than {LISTENERS_MAX} listeners; leave it out")))
        }
        // The default is one listener.
        (_, None) => Err(ConfigError::new("no listener; give --listen udp:ADDRESS:PORT".to_owned())),
    }
}

/// What is advertised: a name for all listeners, or at most one address for each family.
fn advertised(values: &Values) -> Result<Vec<Advertised>, ConfigError> {
    let list = values.list(Key::Advertise, value::advertise)?;
    let family = |advertised: &Advertised| advertised.ip.map(|ip| ip.is_ipv4());
    for (place, (one, raw)) in list.iter().enumerate() {
        let clashes = |(other, _): &&(Advertised, &Raw)| {
            family(one).is_none() || family(other).is_none() || family(one) == family(other)
        };
        if let Some((other, _)) = list[..place].iter().find(clashes) {
            let reason = format!(
                "it speaks for the same listeners as {}; give one for each address family",
                other.host
            );
            return Err(raw.wrong(Key::Advertise.setting(), &reason));
        }
    }
    Ok(list.into_iter().map(|(advertised, _)| advertised).collect())
}

/// An address as Via and Contact write it: IPv6 in brackets and without a zone.
fn host_port(ip: IpAddr, port: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// Every subscriber can be sent to from some listener, and is not the server itself.
fn reachable(listeners: &[Listener], subscribers: &[Subscriber]) -> Result<(), ConfigError> {
    let peer = |subscriber: &'_ Subscriber| subscriber.contact.as_ref().map(|contact| contact.destination);
    let mut peers: Vec<_> =
        subscribers.iter().filter_map(|subscriber| Some((&subscriber.number, peer(subscriber)?))).collect();
    peers.sort();
    for (number, peer) in peers {
        if let Some(reason) = unreachable(listeners, peer) {
            let cure = if is_own(listeners, peer) { "; give the contact of the phone" } else { "" };
            return Err(ConfigError::new(format!("subscriber {number} at {peer} {reason}{cure}")));
        }
    }
    Ok(())
}

fn is_own(listeners: &[Listener], peer: SocketAddr) -> bool {
    listeners.iter().any(|listener| listener.address == peer)
}

/// Why nothing can be sent to an address; `None`: some listener reaches it.
pub fn unreachable(listeners: &[Listener], peer: SocketAddr) -> Option<String> {
    if is_own(listeners, peer) {
        return Some("would be ringway itself".to_owned());
    }
    let reaches = |listener: &Listener| {
        let ip = listener.address.ip();
        ip.is_ipv4() == peer.is_ipv4() && (peer.ip().is_loopback() || !ip.is_loopback())
    };
    if listeners.iter().any(reaches) {
        return None;
    }
    let (place, example) = match (peer.is_ipv4(), peer.ip().is_loopback()) {
        (true, true) => ("IPv4", "udp:127.0.0.1:5060"),
        (true, false) => ("IPv4 beyond loopback", "udp:192.0.2.10:5060"),
        (false, true) => ("IPv6", "udp:[::1]:5060"),
        (false, false) => ("IPv6 beyond loopback", "udp:[2001:db8::10]:5060"),
    };
    Some(format!("cannot be reached: no listener is on {place}; add one, for example --listen {example}"))
}

/// See [`Config::lab`].
pub fn lab(listen: SocketAddr) -> Config {
    let sent_by = host_port(listen.ip(), listen.port());
    let listeners = vec![Listener { address: listen, sent_by }];
    let own_hosts = service::Settings::own_hosts(&listeners);
    let forwarding = service::Settings { own_hosts, ..service::Settings::default() };
    let settings = Settings { listeners, forwarding, ..Settings::default() };
    // The lab's texts are constants, and a test reads them.
    let subscribers = subscriber::lab()
        .and_then(|entries| subscriber::subscribers(&entries, auth::REALM, &settings.forwarding))
        .unwrap_or_default();
    let net = NetSettings {
        cpus: system::cpus_allowed().unwrap_or_else(|_| vec![0]),
        batch: 64,
        receive_buffer_bytes: 16 << 20,
        send_buffer_bytes: 4 << 20,
        inbox_datagrams: 8_192,
        drain_timeout: Duration::from_secs(30),
        // Nobody attacks the lab: a known secret serves where the system gives none.
        secret: system::secret().unwrap_or(0x5249_4e47_5741_5931),
        // The lab's settings let media pass: its phones say where they would receive and send nothing.
        rtp: None,
    };
    let store = StoreSettings {
        place: Place::Memory,
        timeout: Duration::from_secs(2),
        cache_bytes: 64 << 20,
        realm: auth::REALM.to_owned(),
        listeners: vec![listen],
    };
    let (engines, cdr, admin) = (Vec::new(), None, None);
    Config { settings, subscribers, net, engines, store, cdr, admin, log: Level::INFO, lab: true }
}
