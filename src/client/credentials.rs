//! The name and the password of a store's user.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

/// Secret text: `Debug` prints a placeholder, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the text itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Name and password for a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: Secret,
}

impl Credentials {
    /// Puts name and password together.
    #[must_use]
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self { name: name.into(), password: Secret(password.into()) }
    }

    /// Returns the `Authorization` header for basic auth.
    #[must_use]
    pub fn basic(&self) -> HeaderValue {
        let pair = format!("{}:{}", self.name, self.password.expose());
        header(&format!("Basic {}", STANDARD.encode(pair)))
            .unwrap_or_else(|| HeaderValue::from_static("Basic"))
    }
}

/// Returns a header value that no log of the HTTP library prints.
pub(super) fn header(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
