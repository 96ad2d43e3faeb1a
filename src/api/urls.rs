//! Checks peer URLs as etcd does, with its messages.

use crate::protocol::{GoUrl, quoted};

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
    let parts = GoUrl::parse(url).map_err(|why| format!("parse {}: {why}", quoted(url)))?;
    if !matches!(parts.scheme.as_str(), "http" | "https" | "unix" | "unixs") {
        return Err(format!("URL scheme must be http, https, unix, or unixs: {url}"));
    }
    if !has_port(parts.host) {
        return Err(format!("URL address does not have the form \"host:port\": {url}"));
    }
    if !parts.path.is_empty() {
        return Err(format!("URL must not contain a path: {url}"));
    }
    let shown = url.split_once(':').map_or(url, |(_, rest)| rest);
    Ok(format!("{}:{shown}", parts.scheme))
}

/// Returns whether Go's `SplitHostPort` accepts it: one colon, the last, outside of brackets.
fn has_port(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').is_some_and(|(_, port)| port.starts_with(':')),
        None => host.matches(':').count() == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn says(url: &str) -> String {
        check(&[url.to_owned()]).unwrap_err()
    }

    #[test]
    fn errors_are_etcds() {
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
    fn valid_urls_are_returned_sorted() {
        let given = [" http://b:1", "http://a:1", "https://[::1]:2", "http://:", "http://a:1?x=1"];
        let sorted = ["http://:", "http://a:1", "http://a:1?x=1", "http://b:1", "https://[::1]:2"];
        assert_eq!(check(&given.map(str::to_owned)).unwrap(), sorted);
    }
}
