//! Reads name and password from HTTP basic authentication.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};

/// The name and password that a client sends.
#[derive(PartialEq, Eq)]
pub(super) struct Login {
    /// May not be the name of a user.
    pub(super) name: String,
    pub(super) password: Vec<u8>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(hidden)")
    }
}

/// The credentials of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// None: a guest.
    Missing,
    /// Malformed credentials.
    Malformed,
    Login(Login),
}

/// Reads the header as Go does.
pub(super) fn read(headers: &HeaderMap) -> Credentials {
    let value = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    if value.is_empty() {
        return Credentials::Missing;
    }
    let Some((scheme, coded)) = value.split_at_checked("Basic ".len()) else { return Credentials::Malformed };
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return Credentials::Malformed;
    }
    let Ok(pair) = STANDARD.decode(coded) else { return Credentials::Malformed };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return Credentials::Malformed };
    let name = String::from_utf8_lossy(&pair[..colon]).into_owned();
    Credentials::Login(Login { name, password: pair[colon + 1..].to_vec() })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn credentials(value: &str) -> Credentials {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        read(&headers)
    }

    #[test]
    fn valid_credentials_are_parsed_and_anything_else_is_rejected() {
        let login = |name: &str, password: &str| {
            Credentials::Login(Login { name: name.to_owned(), password: password.into() })
        };
        assert_eq!(read(&HeaderMap::new()), Credentials::Missing);
        assert_eq!(credentials(""), Credentials::Missing);
        assert_eq!(credentials("Basic YTpi"), login("a", "b"));
        assert_eq!(credentials("bASIC YTpi"), login("a", "b"));
        assert_eq!(credentials("Basic YTpiOmM="), login("a", "b:c"));
        assert_eq!(credentials("Basic Og=="), login("", ""));
        for bad in ["Basic", "Basic ", "Basic YQ==", "Basic YTpiOmM", "Basic !", "Bearer YTpi", "BasicYTpi"] {
            assert_eq!(credentials(bad), Credentials::Malformed, "{bad}");
        }
    }

    #[test]
    fn debug_output_hides_the_credentials() {
        assert!(!format!("{:?}", credentials("Basic YTpi")).contains('b'), "a and b are secret");
    }
}
