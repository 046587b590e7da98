//! Who may use the API.

use super::backend::Backend;
use super::problem::Problem;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::fmt;
use std::net::IpAddr;

/// What a client must show as `Authorization: Bearer …` (RFC 6750).
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A token is worth guessing at: 16 characters of hexadecimal digits are 64 bits.
const TOKEN_CHARS_MIN: usize = 16;
const TOKEN_CHARS_MAX: usize = 1024;

impl Token {
    /// Reads the content of a token file: one line.
    ///
    /// # Errors
    /// Why it cannot be a token, in a few words.
    pub fn parse(text: &str) -> Result<Token, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the file is empty".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the token has blanks, line breaks or non-ASCII characters".to_owned());
        }
        match text.len() {
            TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX => Ok(Token(text.to_owned())),
            length => Err(format!(
                "the token has {length} characters, and {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} are wanted"
            )),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in a time that tells nothing but the length.
    fn is(&self, shown: &str) -> bool {
        let (ours, shown) = (self.0.as_bytes(), shown.as_bytes());
        let differences = ours.iter().zip(shown).fold(0, |differences, (one, other)| {
            // Not to be cut short at the first difference.
            std::hint::black_box(differences | (one ^ other))
        });
        ours.len() == shown.len() && differences == 0
    }
}

impl fmt::Debug for Token {
    /// Keeps it out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Lets a request pass whose client has the token. Health needs none: what asks for it has no secrets.
///
/// Without a token it must be one that a web page of somebody else's cannot make a browser send.
pub async fn admit(
    State(backend): State<Backend>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let headers = request.headers();
    match &backend.token {
        _ if request.uri().path().starts_with("/health/") => {}
        Some(token) if shown(headers).is_some_and(|shown| token.is(shown)) => {}
        Some(_) => {
            let detail = "the token is missing or wrong; send Authorization: Bearer TOKEN";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
        }
        None if is_named_by_address(headers) => {}
        None => {
            let detail = "without a token the API answers to an IP address or localhost only, not to a name";
            return Err(Problem::new(StatusCode::FORBIDDEN, detail));
        }
    }
    Ok(next.run(request).await)
}

fn shown(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether Host is an IP address or localhost. A name that an attacker lets point here is neither.
fn is_named_by_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone() {
        let token = Token::parse(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef"));
        for other in ["", "0123456789abcdee", "0123456789abcde", "0123456789abcdef0"] {
            assert!(!token.is(other), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_token_that_can_be_guessed_or_sent_wrong_is_refused() {
        for bad in
            ["", "\n", "0123456789abcde", "0123456789abc def", "0123456789\nabcdef", "ééééééééééééééééé"]
        {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_an_address_or_localhost() {
        let named = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            is_named_by_address(&headers)
        };
        for good in ["127.0.0.1:8060", "[::1]:8060", "localhost:8060", "LOCALHOST", "192.0.2.1"] {
            assert!(named(good), "{good}");
        }
        for bad in ["ringway.example", "127.0.0.1.example:8060", "", "localhost.example", "a@b"] {
            assert!(!named(bad), "{bad}");
        }
        assert!(!is_named_by_address(&HeaderMap::new()));
    }
}
