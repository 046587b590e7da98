//! A server with its keeper and its API in this process, on free ports of loopback, and a client that holds
//! every answer against the description.

pub mod phone;

use jsonschema::Validator;
use ringway::admin::{self, Admin, Backend};
use ringway::config::Config;
use ringway::directory::Subscriber;
use ringway::net::post::Post;
use ringway::net::{self, NetSettings, Server};
use ringway::service;
use ringway::settings::Settings;
use ringway::store::keeper::{self, Keeper, Rules};
use ringway::store::{Memory, Store};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nothing on loopback takes this long.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The realm that passwords are hashed for.
pub const REALM: &str = "test";

/// What a test starts.
pub struct Setup {
    pub token: Option<&'static str>,
    pub store: Box<dyn Store>,
    pub configured: Vec<Subscriber>,
    /// Where the server itself is comes from its listener.
    pub forwarding: service::Settings,
}

/// A server that runs.
pub struct Running {
    pub admin: Admin,
    pub keeper: Keeper,
    pub server: Server,
    pub post: Arc<Post>,
    pub sip: SocketAddr,
    description: Value,
    token: Option<&'static str>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Default for Setup {
    fn default() -> Setup {
        let store = Box::<Memory>::default();
        Setup { token: None, store, configured: Vec::new(), forwarding: service::Settings::default() }
    }
}

impl Running {
    pub fn new() -> Running {
        Running::with(Setup::default())
    }

    pub fn with(mut setup: Setup) -> Running {
        let sip = net::udp::free_address(Ipv4Addr::LOCALHOST.into()).expect("a free port");
        let mut settings = Config::lab(sip).settings;
        let own_hosts = settings.forwarding.own_hosts.clone();
        settings.forwarding = service::Settings { own_hosts, ..setup.forwarding };
        (settings.max_calls, settings.max_transactions) = (100, 1_000);
        let net = NetSettings {
            cpus: net::allowed_cpus().expect("CPUs").into_iter().take(2).collect(),
            batch: 64,
            receive_buffer_bytes: 65_536,
            send_buffer_bytes: 65_536,
            inbox_datagrams: 64,
            drain_timeout: Duration::from_secs(1),
            secret: 1,
            rtp: None,
        };
        let loaded = keeper::load(&mut *setup.store, setup.configured).expect("a store");
        let (directory, post) = (loaded.writer.directory(), Arc::new(Post::default()));
        let forwarding = settings.forwarding.clone();
        let rules = Rules::of(&Settings { forwarding, ..Settings::default() });
        let keeper = Keeper::start(setup.store, loaded.writer, Arc::clone(&post), rules).expect("a keeper");
        let server = Server::start(Arc::new(settings), directory, net, Arc::clone(&post)).expect("a server");
        let backend = Backend::new(keeper.handle(), &server, Arc::clone(&post), REALM);
        let token = setup.token.map(|token| admin::Token::parse(token).expect("a token"));
        let settings = admin::Settings { address: (Ipv4Addr::LOCALHOST, 0).into(), token };
        let admin = Admin::start(settings, backend).expect("an API");
        let description = serde_json::from_str(admin::OPENAPI).expect("JSON");
        Running { admin, keeper, server, post, sip, description, token: setup.token }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.admin.address())
    }

    /// Asks with the token, if there is one; the answer is held against the description.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let authorization = self.token.map(|token| format!("Bearer {token}"));
        let mut headers: Vec<(&str, &str)> = Vec::new();
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        headers.extend(body.map(|_| ("content-type", "application/json")));
        self.ask_with(method, path, &headers, body.map(Value::to_string))
    }

    /// The same with any headers and any body.
    #[track_caller]
    pub fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let answer = send(method, &format!("{}{path}", self.url()), headers, body);
        self.check(method, path.split('?').next().expect("a path"), &answer);
        answer
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    #[track_caller]
    pub fn add(&self, subscriber: Value) -> Value {
        let answer = self.ask("POST", "/v1/subscribers", Some(&subscriber));
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()
    }

    /// Asks until the answer is as it should be.
    #[track_caller]
    pub fn wait_for<T>(&self, path: &str, mut is_right: impl FnMut(&Value) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.get(path);
            if let Some(found) = is_right(&value) {
                return found;
            }
            assert!(Instant::now() < deadline, "it stays {value}");
        }
    }

    /// Status, media type and body are among those that the description has for this operation.
    #[track_caller]
    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let Some((template, item)) = self.operations().into_iter().find(|(template, _)| fits(template, path))
        else {
            return assert_eq!(answer.status, 404, "{method} {path} is not described");
        };
        let Some(operation) = item.get(method.to_ascii_lowercase()) else {
            return assert_eq!(answer.status, 405, "{method} {template} is not described");
        };
        let place = format!("{method} {template} {}", answer.status);
        let mut response = &operation["responses"][answer.status.to_string()];
        if let Some(reference) = response["$ref"].as_str() {
            response = self.description.pointer(&reference[1..]).expect("what is referred to");
        }
        assert!(response["description"].is_string(), "{place} is not described: {}", answer.text);
        for (name, _) in response["headers"].as_object().into_iter().flatten() {
            assert!(answer.headers.contains_key(name.as_str()), "{place}: {name} is missing");
        }
        let Some(content) = response["content"].as_object() else {
            return assert_eq!(answer.text, "", "{place} has a body");
        };
        let media = answer.media();
        let schema = content.get(&media).unwrap_or_else(|| panic!("{place}: {media} is not described"));
        if media.ends_with("json") {
            let validator = self.validator(&schema["schema"]);
            let value = answer.json();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{place}: {value}");
        }
    }

    fn operations(&self) -> Vec<(&str, &Value)> {
        let paths = self.description["paths"].as_object().expect("paths");
        paths.iter().map(|(template, item)| (template.as_str(), item)).collect()
    }

    /// A schema of the description, which may refer to others there.
    fn validator(&self, schema: &Value) -> Validator {
        let whole = json!({ "components": self.description["components"], "allOf": [schema] });
        jsonschema::draft202012::new(&whole).expect("a JSON schema")
    }
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn media(&self) -> String {
        let content = self.headers.get("content-type").map(|content| content.to_str().expect("ASCII"));
        content.unwrap_or_default().split(';').next().unwrap_or_default().to_owned()
    }

    /// The text of a problem with this status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(
            (self.status, self.media().as_str()),
            (status, "application/problem+json"),
            "{}",
            self.text
        );
        let problem = self.json();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().expect("a text").to_owned()
    }
}

/// Whether a path is one of a template's.
fn fits(template: &str, path: &str) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let same = |(wanted, given): (&&str, &&str)| wanted.starts_with('{') || wanted == given;
    wanted.len() == given.len() && wanted.iter().zip(&given).all(same)
}

/// One HTTP request.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
    let agent = config.allow_non_standard_methods(true).build().new_agent();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = match body {
        Some(body) => agent.run(request.body(body).expect("a request")),
        None => agent.run(request.body(()).expect("a request")),
    };
    let mut answer = answer.expect("an answer");
    let text = answer.body_mut().read_to_string().expect("a text");
    Answer { status: answer.status().as_u16(), headers: answer.headers().clone(), text }
}
