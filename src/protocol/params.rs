//! The parameters of a `/v2/keys` request, validated in etcd's order.

use super::form::{Form, ParamName, fault};
use super::{ErrorBody, ErrorCode, media};
use crate::scalar;

/// The methods of `/v2/keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Head,
    Get,
    Put,
    Post,
    Delete,
}

/// The parameters of a `/v2/keys` request besides its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the parameters'")]
pub struct Params {
    pub value: Vec<u8>,
    /// Seconds; `None` when absent or empty.
    pub ttl: Option<u64>,
    pub dir: bool,
    pub prev_exist: Option<bool>,
    /// Never `Some` and empty.
    pub prev_value: Option<Vec<u8>>,
    /// `None` when absent or 0.
    pub prev_index: Option<u64>,
    pub recursive: bool,
    pub sorted: bool,
    pub quorum: bool,
    pub wait: bool,
    /// 0 when absent.
    pub wait_index: u64,
    pub stream: bool,
    pub refresh: bool,
    pub no_value_on_success: bool,
}

impl Params {
    /// Returns whether the body of such a request is a form that must be passed to `read`; other bodies are ignored
    /// at any size.
    #[must_use]
    pub fn in_body(method: Method, content_type: Option<&[u8]>) -> bool {
        matches!(method, Method::Put | Method::Post)
            && media::is_form(content_type.unwrap_or_default()) == Ok(true)
    }

    /// Reads query and, for PUT and POST with a form's Content-Type, the body (the body wins).
    ///
    /// # Errors
    /// The first error in etcd's order (index 0).
    pub fn read(
        method: Method,
        query: &str,
        content_type: Option<&[u8]>,
        body: &[u8],
    ) -> Result<Self, ErrorBody> {
        let mut form = Form::default();
        if matches!(method, Method::Put | Method::Post) {
            // The type is checked even without a body.
            let is_form = media::is_form(content_type.unwrap_or_default()).map_err(fault)?;
            if is_form {
                form.take(body)?;
            }
        }
        form.take(query.as_bytes())?;
        Self::validate(method, form)
    }

    /// The order of these lines is etcd's and decides which error a client gets.
    fn validate(method: Method, form: Form<'_>) -> Result<Self, ErrorBody> {
        let prev_index = index(&form, ParamName::PrevIndex, "prevIndex")?;
        let wait_index = index(&form, ParamName::WaitIndex, "waitIndex")?;
        let recursive = flag(&form, ParamName::Recursive, "\"recursive\"")?;
        let sorted = flag(&form, ParamName::Sorted, "\"sorted\"")?;
        let wait = flag(&form, ParamName::Wait, "\"wait\"")?;
        let dir = flag(&form, ParamName::Dir, "\"dir\"")?;
        let quorum = flag(&form, ParamName::Quorum, "\"quorum\"")?;
        let stream = flag(&form, ParamName::Stream, "\"stream\"")?;
        if wait == Some(true) && method != Method::Get {
            return Err(invalid_field("\"wait\" can only be used with GET requests"));
        }
        let prev_value = form.get(ParamName::PrevValue);
        if prev_value == Some(b"") {
            let cause = "\"prevValue\" cannot be empty";
            return Err(ErrorBody::of_request(ErrorCode::PREV_VALUE_REQUIRED, cause));
        }
        let no_value_on_success = flag(&form, ParamName::NoValueOnSuccess, "\"noValueOnSuccess\"")?;
        let ttl = ttl(&form)?;
        // These two have no quotes in etcd's text.
        let prev_exist = flag(&form, ParamName::PrevExist, "prevExist")?;
        let refresh = flag(&form, ParamName::Refresh, "refresh")? == Some(true);
        if refresh {
            check_refresh(&form, ttl)?;
        }
        Ok(Self {
            ttl,
            dir: dir == Some(true),
            prev_exist,
            prev_value: prev_value.map(<[u8]>::to_vec),
            prev_index: (prev_index != 0).then_some(prev_index),
            recursive: recursive == Some(true),
            sorted: sorted == Some(true),
            quorum: quorum == Some(true),
            wait: wait == Some(true),
            wait_index,
            stream: stream == Some(true),
            refresh,
            no_value_on_success: no_value_on_success == Some(true),
            value: form.into_value(ParamName::Value),
        })
    }
}

fn index(form: &Form<'_>, name: ParamName, word: &str) -> Result<u64, ErrorBody> {
    let Some(text) = form.get(name) else { return Ok(0) };
    let cause = || format!("invalid value for \"{word}\"");
    unsigned(text).ok_or_else(|| ErrorBody::of_request(ErrorCode::INDEX_NOT_A_NUMBER, cause()))
}

fn ttl(form: &Form<'_>) -> Result<Option<u64>, ErrorBody> {
    match form.get(ParamName::Ttl) {
        None | Some(b"") => Ok(None),
        Some(text) => {
            let error = || ErrorBody::of_request(ErrorCode::TTL_NOT_A_NUMBER, "invalid value for \"ttl\"");
            unsigned(text).map(Some).ok_or_else(error)
        }
    }
}

/// Parses decimal digits only; Rust's own parser would accept a leading `+`.
fn unsigned(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

fn flag(form: &Form<'_>, name: ParamName, word: &str) -> Result<Option<bool>, ErrorBody> {
    match form.get(name) {
        None => Ok(None),
        Some(text) => match str::from_utf8(text).ok().and_then(scalar::go_boolean) {
            None => Err(invalid_field(format!("invalid value for {word}"))),
            known => Ok(known),
        },
    }
}

fn check_refresh(form: &Form<'_>, ttl: Option<u64>) -> Result<(), ErrorBody> {
    if form.get(ParamName::Value).is_some_and(|value| !value.is_empty()) {
        return Err(ErrorBody::of_request(ErrorCode::VALUE_ON_REFRESH, "A value was provided on a refresh"));
    }
    match ttl {
        Some(_) => Ok(()),
        None => Err(ErrorBody::of_request(ErrorCode::TTL_REQUIRED, "No TTL value set")),
    }
}

fn invalid_field(cause: impl Into<Vec<u8>>) -> ErrorBody {
    ErrorBody::of_request(ErrorCode::INVALID_FIELD, cause)
}
