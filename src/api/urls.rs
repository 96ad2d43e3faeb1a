//! Checks peer URLs as etcd does, with its messages.

use std::fmt::Write as _;

/// Returns the URLs of a request, sorted; or etcd's error for the first invalid one.
pub(super) fn check(given: &[String]) -> Result<Vec<String>, String> {
    if given.is_empty() {
        return Err("no valid URLs given".to_owned());
    }
    let mut urls = given.iter().map(|url| one(url.trim())).collect::<Result<Vec<_>, _>>()?;
    urls.sort();
    Ok(urls)
}

fn one(url: &str) -> Result<String, String> {
    let unparsable = |why: String| Err(format!("parse {}: {why}", quoted(url)));
    if url.chars().any(|c| c < ' ' || c == '\x7f') {
        return unparsable("net/url: invalid control character in URL".to_owned());
    }
    let body = url.split('#').next().unwrap_or_default();
    let (scheme, rest) = match scheme(body) {
        Scheme::Missing => return unparsable("missing protocol scheme".to_owned()),
        Scheme::Colon => return unparsable("first path segment in URL cannot contain colon".to_owned()),
        Scheme::None => {
            return match bad_escape(body) {
                Some(escape) => unparsable(format!("invalid URL escape {}", quoted(escape))),
                None => wrong_scheme(url),
            };
        }
        Scheme::Some(scheme, rest) => (scheme.to_ascii_lowercase(), rest),
    };
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        // Opaque (`a:1`) or with a path alone (`http:/x`): no host in either.
        None => ("", rest),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some(why) = bad_host(host) {
        return unparsable(why);
    }
    if let Some(escape) = bad_escape(path) {
        return unparsable(format!("invalid URL escape {}", quoted(escape)));
    }
    if !matches!(scheme.as_str(), "http" | "https" | "unix" | "unixs") {
        return wrong_scheme(url);
    }
    if !has_port(host) {
        return Err(format!("URL address does not have the form \"host:port\": {url}"));
    }
    if !path.is_empty() {
        return Err(format!("URL must not contain a path: {url}"));
    }
    let shown = url.split_once(':').map_or(url, |(_, rest)| rest);
    Ok(format!("{scheme}:{shown}"))
}

fn wrong_scheme(url: &str) -> Result<String, String> {
    Err(format!("URL scheme must be http, https, unix, or unixs: {url}"))
}

enum Scheme<'u> {
    /// The URL begins with a colon.
    Missing,
    /// There is a colon in place of the scheme's, but no scheme before it.
    Colon,
    None,
    Some(&'u str, &'u str),
}

fn scheme(url: &str) -> Scheme<'_> {
    let end = url.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    let first = url.chars().next();
    match end {
        Some(0) if url.starts_with(':') => Scheme::Missing,
        Some(at) if url[at..].starts_with(':') && first.is_some_and(|c| c.is_ascii_alphabetic()) => {
            Scheme::Some(&url[..at], &url[at + 1..])
        }
        _ => {
            let segment = url.split(['/', '?']).next().unwrap_or_default();
            if !url.starts_with('/') && segment.contains(':') { Scheme::Colon } else { Scheme::None }
        }
    }
}

/// Returns the first `%` of `text` that does not start an escape, with what follows it.
fn bad_escape(text: &str) -> Option<&str> {
    text.char_indices().filter(|(_, c)| *c == '%').find_map(|(at, _)| {
        let hex = text.as_bytes().get(at + 1..at + 3);
        let good = hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let end = (at + 3).min(text.len());
        (!good).then(|| text.get(at..end).unwrap_or(&text[at..=at]))
    })
}

/// Returns the error of Go's URL parser for `HOST:PORT`.
fn bad_host(host: &str) -> Option<String> {
    let port = if host.starts_with('[') {
        let Some(end) = host.rfind(']') else { return Some("missing ']' in host".to_owned()) };
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let good = port.is_empty() || (port.starts_with(':') && port[1..].bytes().all(|c| c.is_ascii_digit()));
    if !good {
        return Some(format!("invalid port {} after host", quoted(port)));
    }
    let strange =
        |c: &char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.~!$&'()*+,;=:[]<>\"%".contains(*c);
    if let Some(c) = host.chars().find(strange) {
        return Some(format!("invalid character {} in host name", quoted(&c.to_string())));
    }
    bad_escape(host).map(|escape| format!("invalid URL escape {}", quoted(escape)))
}

/// Returns whether Go's `SplitHostPort` accepts it: one colon, the last, outside of brackets.
fn has_port(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').is_some_and(|(_, port)| port.starts_with(':')),
        None => host.matches(':').count() == 1,
    }
}

/// Quotes like Go's `%q`, as far as URLs need it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\x7f' => {
                write!(out, "\\x{:02x}", u32::from(c)).expect("a string takes all");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::check;

    fn says(url: &str) -> String {
        check(&[url.to_owned()]).unwrap_err()
    }

    #[test]
    fn complaints_are_etcds() {
        for (url, error_text) in [
            ("", "URL scheme must be http, https, unix, or unixs: "),
            ("ftp://a:1", "URL scheme must be http, https, unix, or unixs: ftp://a:1"),
            ("a:1", "URL scheme must be http, https, unix, or unixs: a:1"),
            ("http://a", "URL address does not have the form \"host:port\": http://a"),
            ("HTTP://a", "URL address does not have the form \"host:port\": HTTP://a"),
            ("http://a:1:2", "URL address does not have the form \"host:port\": http://a:1:2"),
            ("http://a:1/", "URL must not contain a path: http://a:1/"),
            ("127.0.0.1:1", "parse \"127.0.0.1:1\": first path segment in URL cannot contain colon"),
            ("http://[::1", "parse \"http://[::1\": missing ']' in host"),
            ("http://a:b", "parse \"http://a:b\": invalid port \":b\" after host"),
            ("http://a:1%41", "parse \"http://a:1%41\": invalid port \":1%41\" after host"),
            ("http://a b:1", "parse \"http://a b:1\": invalid character \" \" in host name"),
            ("%zz", "parse \"%zz\": invalid URL escape \"%zz\""),
            ("%é", "parse \"%é\": invalid URL escape \"%é\""),
        ] {
            assert_eq!(says(url), error_text);
        }
        assert_eq!(check(&[]).unwrap_err(), "no valid URLs given");
    }

    #[test]
    fn good_ones_come_sorted() {
        let given = [" http://b:1", "http://a:1", "https://[::1]:2", "http://:", "http://a:1?x=1"];
        let sorted = ["http://:", "http://a:1", "http://a:1?x=1", "http://b:1", "https://[::1]:2"];
        assert_eq!(check(&given.map(str::to_owned)).unwrap(), sorted);
    }
}
