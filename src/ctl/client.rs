//! HTTP to the API.

use crate::admin::Token;
use serde_json::Value;
use std::time::Duration;
use ureq::Agent;
use ureq::http::Request;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};

/// Longer than any request takes at the server.
const TIMEOUT: Duration = Duration::from_secs(15);

/// One server's API.
pub struct Client {
    agent: Agent,
    url: String,
    token: Option<Token>,
}

/// Why the server did not do it: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 404.
    NotFound(String),
    /// It is not there, or no server of ours.
    Unreachable(String),
    Other(String),
}

impl Failure {
    /// What is said of it.
    pub fn message(&self) -> &str {
        match self {
            Failure::NotFound(message) | Failure::Unreachable(message) | Failure::Other(message) => message,
        }
    }
}

impl Client {
    /// A client of the server at `url`, such as `http://127.0.0.1:8060`.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn new(url: &str, token: Option<Token>) -> Result<Client, String> {
        if !url.starts_with("http://") {
            return Err(format!("--url {url}: it begins with http:// and an address; there is no TLS"));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        Ok(Client { agent: config.new_agent(), url: url.trim_end_matches('/').to_owned(), token })
    }

    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask("GET", path, None)
    }

    pub fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask("DELETE", path, None)
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(method, path, Some(body))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.as_str()));
        }
        let wrong_url = |error| Failure::Other(format!("{}: {error}", self.url));
        let answer = match body {
            Some(body) => {
                let request = request.header(CONTENT_TYPE, "application/json");
                self.agent.run(request.body(body.to_string()).map_err(wrong_url)?)
            }
            None => self.agent.run(request.body(()).map_err(wrong_url)?),
        };
        let url = &self.url;
        let unreachable = |error: ureq::Error| {
            Failure::Unreachable(format!(
                "{url} does not answer: {error}; is the server running with --admin there? Else give --url"
            ))
        };
        let mut answer = answer.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.body_mut().read_to_string().map_err(unreachable)?;
        if status.is_success() && text.is_empty() {
            return Ok(Value::Null);
        }
        let value = serde_json::from_str::<Value>(&text);
        match value {
            Ok(value) if status.is_success() => Ok(value),
            Ok(problem) if problem["detail"].is_string() => {
                let detail = problem["detail"].as_str().unwrap_or_default();
                Err(match status.as_u16() {
                    401 => Failure::Other(format!("{detail}; give --token-file FILE")),
                    404 => Failure::NotFound(detail.to_owned()),
                    _ => Failure::Other(detail.to_owned()),
                })
            }
            _ => Err(Failure::Unreachable(format!("{url} is not a ringway server: it answers {status}"))),
        }
    }
}
