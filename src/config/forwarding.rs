//! From texts to [`service::Settings`]: routes, peers, number rules and the rest of what forwarding goes by.

use super::ConfigError;
use super::build::unreachable;
use super::layer::Values;
use super::options::Key;
use super::value::{self, Reason};
use crate::directory::HistoryForm;
use crate::limits::NUMBER_BYTES_MAX;
use crate::service::{AssertedParty, NumberRule, Peer, Route, Settings};
use crate::settings::Listener;

/// The longest host of a route with its port and parameters: the number before it has to fit into a
/// Request-URI too.
const HOST_BYTES_MAX: usize = 256;

/// What the options amount to; codes are set elsewhere.
pub fn settings(values: &Values, listeners: &[Listener]) -> Result<Settings, ConfigError> {
    let emergency = values.list(Key::Emergency, emergency)?.into_iter().flat_map(|(numbers, _)| numbers);
    Ok(Settings {
        routes: routes(values, listeners)?,
        peers: peers(values)?,
        history: values.choice(Key::Headers, HistoryForm::ALL)?,
        number_rules: number_rules(values)?,
        own_hosts: Settings::own_hosts(listeners),
        emergency: emergency.collect(),
        deflection: !values.switch(Key::NoDeflection)?,
        ..Settings::default()
    })
}

fn routes(values: &Values, listeners: &[Listener]) -> Result<Vec<Route>, ConfigError> {
    let mut routes: Vec<Route> = Vec::new();
    for (route, raw) in values.list(Key::Route, route)? {
        if routes.iter().any(|other| other.prefix == route.prefix) {
            return Err(raw.wrong(Key::Route.setting(), &taken(&route.prefix)));
        }
        if let Some(reason) = unreachable(listeners, route.destination) {
            return Err(raw.wrong(Key::Route.setting(), &format!("{} {reason}", route.destination)));
        }
        routes.push(route);
    }
    routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
    Ok(routes)
}

fn peers(values: &Values) -> Result<Vec<Peer>, ConfigError> {
    let mut peers: Vec<Peer> = Vec::new();
    for (peer, raw) in values.list(Key::Peer, peer)? {
        if peers.iter().any(|other| other.network == peer.network) {
            return Err(raw.wrong(Key::Peer.setting(), "the address is given twice; give it once"));
        }
        peers.push(peer);
    }
    Ok(peers)
}

fn number_rules(values: &Values) -> Result<Vec<NumberRule>, ConfigError> {
    let mut rules: Vec<NumberRule> = Vec::new();
    for (rule, raw) in values.list(Key::NumberRule, number_rule)? {
        if rules.iter().any(|other| other.prefix == rule.prefix) {
            return Err(raw.wrong(Key::NumberRule.setting(), &taken(&rule.prefix)));
        }
        rules.push(rule);
    }
    rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
    Ok(rules)
}

fn taken(prefix: &str) -> String {
    format!("the prefix \"{prefix}\" is given twice; give each once")
}

/// The values of these keys in `key=value,key=value`; a key may be missing, none stands twice.
fn pairs<'t, const N: usize>(text: &'t str, keys: [&str; N]) -> Result<[Option<&'t str>; N], Reason> {
    let mut values = [None; N];
    for pair in text.split(',') {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| format!("\"{}\" is not key=value", super::shown(pair)))?;
        let key = key.trim();
        let Some(place) = keys.iter().position(|known| *known == key) else {
            return Err(format!("unknown key {}", super::shown(key)));
        };
        if values[place].replace(value.trim()).is_some() {
            return Err(format!("{key} is given twice"));
        }
    }
    Ok(values)
}

/// A part of a number as people dial it.
fn part(key: &str, text: &str) -> Result<Box<str>, Reason> {
    let is_user = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$;?/#".contains(&byte);
    match text {
        text if text.len() > NUMBER_BYTES_MAX => {
            Err(format!("{key} is longer than {NUMBER_BYTES_MAX} bytes"))
        }
        text if text.bytes().all(is_user) => Ok(text.into()),
        _ => Err(format!("{key} is no part of a number")),
    }
}

/// `prefix=+,to=sip:192.0.2.9:5060;user=phone`: of the URI all but the user serves.
fn route(text: &str) -> Result<Route, Reason> {
    let [prefix, to] = pairs(text, ["prefix", "to"])?;
    let (prefix, to) = (prefix.ok_or("prefix is missing")?, to.ok_or("to is missing")?);
    let destination = super::contact_address(to).map_err(|reason| format!("to: {reason}"))?;
    // A contact is a sip URI; what stands before its `@` is a user.
    let rest = to.split_once(':').map_or(to, |(_, rest)| rest);
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    if host.len() > HOST_BYTES_MAX {
        return Err(format!("to is longer than {HOST_BYTES_MAX} bytes"));
    }
    if has_method(to) {
        return Err("to: a URI with a method is no way".to_owned());
    }
    Ok(Route { prefix: part("prefix", prefix)?, host: host.into(), destination })
}

fn has_method(uri: &str) -> bool {
    crate::sip::Uri::parse(uri.as_bytes()).is_ok_and(|uri| uri.param("method").is_some())
}

/// `address=192.0.2.0/24,headers=diversion,identity=diverting`.
fn peer(text: &str) -> Result<Peer, Reason> {
    let [address, headers, identity] = pairs(text, ["address", "headers", "identity"])?;
    let network = value::network(address.ok_or("address is missing")?)?;
    let history = match headers {
        None => None,
        Some(name) => Some(HistoryForm::named(name).ok_or_else(|| {
            format!("headers is one of {}", HistoryForm::ALL.map(HistoryForm::name).join(", "))
        })?),
    };
    let identity = match identity {
        None | Some("caller") => AssertedParty::Caller,
        Some("diverting") => AssertedParty::Diverting,
        Some(_) => return Err("identity is caller or diverting".to_owned()),
    };
    Ok(Peer { network, history, identity })
}

/// `prefix=00,to=+`.
fn number_rule(text: &str) -> Result<NumberRule, Reason> {
    let [prefix, to] = pairs(text, ["prefix", "to"])?;
    let (prefix, to) = (prefix.ok_or("prefix is missing")?, to.ok_or("to is missing")?);
    if prefix.is_empty() {
        return Err("prefix is empty: it would change every number again and again".to_owned());
    }
    Ok(NumberRule { prefix: part("prefix", prefix)?, replacement: part("to", to)? })
}

/// `112,911`; an empty text is none.
fn emergency(text: &str) -> Result<Vec<Box<str>>, Reason> {
    let numbers = text.split(',').map(str::trim).filter(|number| !number.is_empty());
    numbers.map(|number| part("the number", number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_keeps_all_of_its_uri_but_the_user() {
        for (to, host, destination) in [
            ("sip:gw@192.0.2.9", "192.0.2.9", "192.0.2.9:5060"),
            ("sip:192.0.2.9:5070", "192.0.2.9:5070", "192.0.2.9:5070"),
            ("sip:[2001:db8::9];user=phone", "[2001:db8::9];user=phone", "[2001:db8::9]:5060"),
        ] {
            let read = route(&format!("prefix=+,to={to}")).unwrap();
            assert_eq!((&*read.host, read.destination), (host, destination.parse().unwrap()), "{to}");
        }
    }

    #[test]
    fn emergency_numbers_are_listed_or_none() {
        assert_eq!(emergency("112,911").unwrap(), ["112", "911"].map(Box::<str>::from));
        assert_eq!(emergency("").unwrap(), Vec::<Box<str>>::new());
        assert!(emergency("1 1").is_err());
    }
}
