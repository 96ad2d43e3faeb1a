//! Name and password as HTTP's basic authentication brings them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};

/// Who somebody says they are.
#[derive(PartialEq, Eq)]
pub(super) struct Login {
    /// Not always the name of somebody.
    pub(super) name: String,
    pub(super) password: Vec<u8>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(hidden)")
    }
}

/// What a request brings to be known by.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Brought {
    /// Nothing: it comes from a guest.
    Nothing,
    /// Something that is no name with a password.
    Garbled,
    Login(Login),
}

/// Reads the header the way Go does.
pub(super) fn read(headers: &HeaderMap) -> Brought {
    let value = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    if value.is_empty() {
        return Brought::Nothing;
    }
    let Some((scheme, coded)) = value.split_at_checked("Basic ".len()) else { return Brought::Garbled };
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return Brought::Garbled;
    }
    let Ok(pair) = STANDARD.decode(coded) else { return Brought::Garbled };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return Brought::Garbled };
    let name = String::from_utf8_lossy(&pair[..colon]).into_owned();
    Brought::Login(Login { name, password: pair[colon + 1..].to_vec() })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn brought(value: &str) -> Brought {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        read(&headers)
    }

    #[test]
    fn a_login_is_read_and_nothing_else_is_taken_for_one() {
        let login = |name: &str, password: &str| {
            Brought::Login(Login { name: name.to_owned(), password: password.into() })
        };
        assert_eq!(read(&HeaderMap::new()), Brought::Nothing);
        assert_eq!(brought(""), Brought::Nothing);
        assert_eq!(brought("Basic YTpi"), login("a", "b"));
        assert_eq!(brought("bASIC YTpi"), login("a", "b"));
        assert_eq!(brought("Basic YTpiOmM="), login("a", "b:c"));
        assert_eq!(brought("Basic Og=="), login("", ""));
        for bad in ["Basic", "Basic ", "Basic YQ==", "Basic YTpiOmM", "Basic !", "Bearer YTpi", "BasicYTpi"] {
            assert_eq!(brought(bad), Brought::Garbled, "{bad}");
        }
    }

    #[test]
    fn a_login_is_not_shown() {
        assert!(!format!("{:?}", brought("Basic YTpi")).contains('b'), "a and b are secret");
    }
}
