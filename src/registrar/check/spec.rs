//! Parsing of `SERVICE_[port_]CHECK_*`.
//!
//! Names and precedence are Registrator's, so existing settings keep working. What cannot work here is rejected with a
//! message, because a service that silently goes unchecked is noticed too late.

use std::time::Duration;

use hyper::http::uri::PathAndQuery;

use super::duration::parse_duration;
use super::{Check, CheckKind};
use crate::registrar::container::Protocol;
use crate::registrar::service::Service;
use crate::registrar::settings::Checks;
use crate::scalar;

const INTERVAL_RANGE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));
const TIMEOUT_RANGE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(3600));
const MAX_CONSECUTIVE_RESULTS: u32 = 100;
/// The longest accepted path or command.
const MAX_TARGET_BYTES: usize = 4096;
/// How much of a bad value a message shows.
const MAX_EXCERPT_CHARS: usize = 80;

/// All known attributes that begin with `check_`, including those of Registrator that have no meaning here.
const KNOWN_ATTRIBUTES: [&str; 17] = [
    "check_cmd",
    "check_deregister_after",
    "check_fall",
    "check_grpc",
    "check_grpc_use_tls",
    "check_http",
    "check_http_method",
    "check_https",
    "check_https_method",
    "check_initial_status",
    "check_interval",
    "check_rise",
    "check_script",
    "check_tcp",
    "check_timeout",
    "check_tls_skip_verify",
    "check_ttl",
];

/// Lists the service's unknown `SERVICE_CHECK_*` attributes, each with the closest known one: a typo would leave the
/// service unchecked, silently. Does not show values.
pub(in crate::registrar) fn unknown_words(service: &Service) -> Vec<String> {
    let words = service.attributes.keys().filter(|key| key.starts_with("check"));
    let unknown = words.filter(|key| !KNOWN_ATTRIBUTES.contains(&key.as_str()));
    unknown
        .map(|key| {
            let key: String = key.chars().take(MAX_EXCERPT_CHARS).collect();
            let near = KNOWN_ATTRIBUTES.iter().map(|known| (strsim::damerau_levenshtein(&key, known), known));
            let near = near.filter(|(edits, _)| *edits <= 3).min();
            let hint =
                near.map(|(_, known)| format!("; did you mean SERVICE_{}?", known.to_ascii_uppercase()));
            let hint = hint.unwrap_or_else(|| "; see the table of checks in the documentation".to_owned());
            format!(
                "SERVICE_{} is not a check attribute, so it has no effect{hint}",
                key.to_ascii_uppercase()
            )
        })
        .collect()
}

/// Returns the check that a service's attributes define; `None`: they define none. An error says what is wrong with
/// them.
pub(in crate::registrar) fn of(service: &Service, defaults: &Checks) -> Result<Option<Check>, String> {
    let Some(kind) = kind(service)? else { return Ok(None) };
    if service.port.protocol != Protocol::Tcp && !matches!(kind, CheckKind::Command(_)) {
        let how = match &kind {
            CheckKind::Http { https: false, .. } => "HTTP",
            CheckKind::Http { https: true, .. } => "HTTPS",
            CheckKind::Grpc { .. } => "gRPC",
            CheckKind::Tcp => "TCP",
            CheckKind::Command(_) => "a command",
        };
        return Err(format!(
            "a check by {how} of port {}, which is not TCP; use SERVICE_CHECK_CMD, or SERVICE_<port>_CHECK_… for \
             one port of several",
            service.port
        ));
    }
    Ok(Some(Check {
        kind,
        interval: duration(service, "check_interval", INTERVAL_RANGE)?.unwrap_or(defaults.interval),
        timeout: duration(service, "check_timeout", TIMEOUT_RANGE)?.unwrap_or(defaults.timeout),
        rise: consecutive_count(service, "check_rise")?.unwrap_or(defaults.rise),
        fall: consecutive_count(service, "check_fall")?.unwrap_or(defaults.fall),
    }))
}

/// Returns the first kind of check that is set, in Registrator's order.
fn kind(service: &Service) -> Result<Option<CheckKind>, String> {
    if let Some(path) = attribute(service, "check_http") {
        return http(service, false, "check_http", path).map(Some);
    }
    if let Some(path) = attribute(service, "check_https") {
        return http(service, true, "check_https", path).map(Some);
    }
    if let Some(line) = attribute(service, "check_cmd") {
        return command(service, line).map(Some);
    }
    if attribute(service, "check_script").is_some() {
        return Err("SERVICE_CHECK_SCRIPT would run on the host and is not supported; use SERVICE_CHECK_CMD, which runs in the \
                    container"
            .to_owned());
    }
    if attribute(service, "check_ttl").is_some() {
        return Err("SERVICE_CHECK_TTL has the application report to Consul, which is not used here; use SERVICE_CHECK_CMD, \
                    or CHECK_HTTP or CHECK_TCP"
            .to_owned());
    }
    if attribute(service, "check_tcp").is_some_and(wanted) {
        return Ok(Some(CheckKind::Tcp));
    }
    match attribute(service, "check_grpc").filter(|value| wanted(value)) {
        Some(value) => grpc(service, value).map(Some),
        None => Ok(None),
    }
}

fn http(service: &Service, https: bool, key: &str, path: &str) -> Result<CheckKind, String> {
    if path.contains("://") && !path.starts_with('/') {
        return Err(bad(key, path, "is a URL; write only its path, such as /health"));
    }
    if !path.starts_with('/') {
        return Err(bad(key, path, "is not a path; write one that begins with a slash, such as /health"));
    }
    if path.len() > MAX_TARGET_BYTES || path.parse::<PathAndQuery>().is_err() {
        return Err(bad(key, path, "is not valid in a URL; write spaces as %20"));
    }
    let key = if https { "check_https_method" } else { "check_http_method" };
    let word = attribute(service, key).unwrap_or("GET");
    let method = word.to_ascii_uppercase();
    if !["GET", "HEAD", "OPTIONS", "POST"].contains(&method.as_str()) {
        return Err(bad(key, word, "is not supported; write GET, HEAD, OPTIONS or POST"));
    }
    let verify = !switch(service, "check_tls_skip_verify")?;
    Ok(CheckKind::Http { https, method, path: path.to_owned(), verify, any_status: false })
}

/// Parses the command. It may hold a password, so no error shows it.
fn command(service: &Service, line: &str) -> Result<CheckKind, String> {
    if line.len() > MAX_TARGET_BYTES {
        return Err(format!(
            "SERVICE_CHECK_CMD is longer than {MAX_TARGET_BYTES} bytes; put it in a script in the image"
        ));
    }
    let Some(words) = shlex::split(line) else {
        return Err("SERVICE_CHECK_CMD has an open quote; close it".to_owned());
    };
    if words.is_empty() {
        return Err("SERVICE_CHECK_CMD has no command; write one, such as: pg_isready -q".to_owned());
    }
    if let Some(word) = words.iter().find(|word| ["&&", "||"].contains(&word.as_str())) {
        return Err(format!(
            "SERVICE_CHECK_CMD runs without a shell, which {word} needs; write sh -c '…' around it"
        ));
    }
    let port = service.public.to_string();
    let filled = |word: String| word.replace("$SERVICE_IP", &service.ip).replace("$SERVICE_PORT", &port);
    Ok(CheckKind::Command(words.into_iter().map(filled).collect()))
}

fn grpc(service: &Service, value: &str) -> Result<CheckKind, String> {
    let name = if value.eq_ignore_ascii_case("true") || value == "1" { "" } else { value };
    if name.len() > MAX_TARGET_BYTES {
        return Err(bad("check_grpc", name, "is too long; write true, or the name of a gRPC service"));
    }
    Ok(CheckKind::Grpc {
        tls: switch(service, "check_grpc_use_tls")?,
        verify: !switch(service, "check_tls_skip_verify")?,
        service: name.to_owned(),
    })
}

/// Returns an attribute that is set and not blank.
fn attribute<'a>(service: &'a Service, key: &str) -> Option<&'a str> {
    service.attributes.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn wanted(value: &str) -> bool {
    !value.eq_ignore_ascii_case("false") && value != "0"
}

fn switch(service: &Service, key: &str) -> Result<bool, String> {
    let Some(value) = attribute(service, key) else { return Ok(false) };
    scalar::boolean(value).ok_or_else(|| bad(key, value, "is neither true nor false; write one of them"))
}

fn duration(
    service: &Service,
    key: &str,
    (least, most): (Duration, Duration),
) -> Result<Option<Duration>, String> {
    let Some(value) = attribute(service, key) else { return Ok(None) };
    let Some(read) = parse_duration(value) else {
        return Err(bad(key, value, "is not a time span; write one such as 10s, 1m30s or 500ms"));
    };
    if read < least || read > most {
        let hours = most.as_secs() / 3600;
        return Err(bad(key, value, &format!("is out of bounds; write one from {least:?} to {hours}h")));
    }
    Ok(Some(read))
}

fn consecutive_count(service: &Service, key: &str) -> Result<Option<u32>, String> {
    let Some(value) = attribute(service, key) else { return Ok(None) };
    match value.parse() {
        Ok(number @ 1..=MAX_CONSECUTIVE_RESULTS) => Ok(Some(number)),
        _ => Err(bad(key, value, &format!("is not a number from 1 to {MAX_CONSECUTIVE_RESULTS}"))),
    }
}

/// Describes what is wrong with an attribute, under the name that the user wrote.
fn bad(key: &str, value: &str, what: &str) -> String {
    let short: String = value.chars().take(MAX_EXCERPT_CHARS).collect();
    let more = if short.len() < value.len() { "…" } else { "" };
    format!("SERVICE_{}={short:?}{more} {what}", key.to_ascii_uppercase())
}
