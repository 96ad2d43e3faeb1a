//! Random requests: few keys and values, so that they collide; odd ones among them.
//!
//! `{now-2}` in a request is replaced by the store's index minus two when it is sent, `{new-2}` the same with the
//! twenty digits of an in-order key.

use rand::RngExt;
use rand::rngs::StdRng;

use super::wire::Request;

pub const FORM: &str = "application/x-www-form-urlencoded";

/// Names below the root, as in a path; all of them are removed before a plan runs.
pub const NAMES: [&str; 21] = [
    "a",
    "b",
    "c",
    "d",
    "_h",
    "a_b",
    "foo",
    "foobar",
    "d.e",
    "%C3%BC",
    "x%20y",
    "%FF",
    "%FE",
    "q%3Fz",
    "a%2Bb+c",
    "%22%5C%3C",
    "%00",
    "%0A",
    "%25",
    "..a",
    "q",
];
const VALUES: [&str; 12] = [
    "one",
    "two",
    "three",
    "1",
    "",
    "a+b",
    "%3Ctag%3E%26%22",
    "%FF%FEx",
    "line%0A%0D%09%01",
    "%E2%80%A8",
    "ü",
    "100%25",
];
/// None of them expires while a plan runs. Larger ones do: their nanoseconds overflow, and `update` accepts the
/// resulting past.
const TTLS: [&str; 6] = ["60", "100", "3600", "007000", "", "4294967296"];
const FLAGS: [&str; 6] = ["true", "false", "1", "0", "T", "f"];
const INDEXES: [&str; 7] = ["{now+0}", "{now-1}", "{now-2}", "{now-3}", "{now+1}", "0", "4"];
const BAD: [&str; 12] =
    ["", "x", "-1", "+1", "%2B1", "1.5", "tRUE", "yes", "18446744073709551616", "0x1", "1_0", "%zz"];
const KNOWN: [&str; 16] = [
    "value",
    "ttl",
    "dir",
    "prevExist",
    "prevValue",
    "prevIndex",
    "recursive",
    "sorted",
    "quorum",
    "wait",
    "waitIndex",
    "stream",
    "refresh",
    "noValueOnSuccess",
    "VALUE",
    "unknown",
];
const RAW: [&str; 9] = ["%", "%zz", "%zz=1", ";", "a;b=1", "&", "=x", "%76alue=raw", "a=%1%C3"];
const TYPES: [&str; 14] = [
    FORM,
    FORM,
    FORM,
    "Application/X-WWW-Form-Urlencoded",
    "application/x-www-form-urlencoded; charset=UTF-8",
    "application/x-www-form-urlencoded;",
    "application/x-www-form-urlencoded;x",
    "application/x-www-form-urlencoded; a=b; A=c",
    "text/plain",
    "application/json",
    "multipart/form-data; boundary=b",
    "a/b;;;",
    "a b",
    "",
];

pub fn pick<'w>(random: &mut StdRng, words: &[&'w str]) -> &'w str {
    words[random.random_range(0..words.len())]
}

pub fn chance(random: &mut StdRng, percent: u32) -> bool {
    random.random_range(0..100) < percent
}

/// Returns the path of a key, sometimes in an odd spelling.
pub fn key(random: &mut StdRng) -> String {
    let usual = &NAMES[..7];
    let mut path = String::from("/v2/keys");
    if chance(random, 4) {
        return path + pick(random, &["", "/"]);
    }
    for _ in 0..random.random_range(1..=3) {
        path.push_str(if chance(random, 2) { "%2F" } else { "/" });
        let names = if chance(random, 80) { usual } else { &NAMES };
        path.push_str(pick(random, names));
    }
    match random.random_range(0..60) {
        0..=2 => path.push('/'),
        3 => path.push_str("//"),
        4 => path.push_str("/../b"),
        5 => path.push_str("/%2E"),
        6 => path = path.replacen("/v2", "//v2", 1),
        7 => path.push_str("/{new+0}"),
        8 => path.push_str("/ü"),
        _ => {}
    }
    path
}

/// Returns a request with these parameters in the query.
pub fn asked(method: &'static str, path: &str, parameters: &[String]) -> Request {
    let question = if parameters.is_empty() { "" } else { "?" };
    let target = format!("{path}{question}{}", parameters.join("&"));
    let body = matches!(method, "PUT" | "POST").then(String::new);
    Request { method, target, body, ..Request::default() }
}

/// Returns a request with these parameters in the body, in the query, or in both, as clients do.
pub fn spread(random: &mut StdRng, method: &'static str, path: &str, parameters: &[String]) -> Request {
    let (mut query, mut body) = (Vec::new(), Vec::new());
    let mostly_body = chance(random, 75);
    for parameter in parameters {
        let inside = if chance(random, 90) { mostly_body } else { !mostly_body };
        if inside { &mut body } else { &mut query }.push(parameter.clone());
    }
    let mut request = asked(method, path, &query);
    request.headers.push(("Content-Type", FORM.to_owned()));
    request.body = Some(body.join("&"));
    request.chunked = chance(random, 5);
    request
}

fn value(random: &mut StdRng) -> String {
    format!("value={}", pick(random, &VALUES))
}

fn maybe(random: &mut StdRng, percent: u32, parameters: &mut Vec<String>, text: &str) {
    if chance(random, percent) {
        parameters.push(text.to_owned());
    }
}

/// Returns a write that a correct client could send.
pub fn write(random: &mut StdRng) -> Request {
    let path = key(random);
    write_at(random, &path)
}

/// As `write`, to this path.
pub fn write_at(random: &mut StdRng, path: &str) -> Request {
    let mut parameters = Vec::new();
    let method = match random.random_range(0..20) {
        0..=2 => return asked("DELETE", path, &delete(random)),
        3..=4 => "POST",
        _ => "PUT",
    };
    if chance(random, 80) {
        parameters.push(value(random));
    }
    maybe(random, 8, &mut parameters, "noValueOnSuccess=true");
    maybe(random, 12, &mut parameters, "dir=true");
    if chance(random, 15) {
        parameters.push(format!("ttl={}", pick(random, &TTLS)));
    }
    match random.random_range(0..10) {
        0 => parameters.push("prevExist=false".to_owned()),
        1..=2 => parameters.push("prevExist=true".to_owned()),
        3 => parameters.push(format!("prevValue={}", pick(random, &VALUES))),
        4 => parameters.push(format!("prevIndex={}", pick(random, &INDEXES))),
        5 => {
            parameters.push(format!("prevValue={}", pick(random, &VALUES)));
            parameters.push(format!("prevIndex={}", pick(random, &INDEXES)));
        }
        6 if chance(random, 50) => {
            parameters = vec!["refresh=true".to_owned(), format!("ttl={}", pick(random, &TTLS))];
            maybe(random, 50, &mut parameters, "prevExist=true");
            maybe(random, 10, &mut parameters, "value=x");
        }
        _ => {}
    }
    spread(random, method, path, &parameters)
}

fn delete(random: &mut StdRng) -> Vec<String> {
    let mut parameters = Vec::new();
    maybe(random, 25, &mut parameters, "dir=true");
    maybe(random, 35, &mut parameters, "recursive=true");
    if chance(random, 15) {
        parameters.push(format!("prevValue={}", pick(random, &VALUES)));
    }
    if chance(random, 10) {
        parameters.push(format!("prevIndex={}", pick(random, &INDEXES)));
    }
    parameters
}

/// Returns a read that a correct client could send.
pub fn read(random: &mut StdRng) -> Request {
    let path = key(random);
    let mut parameters = Vec::new();
    maybe(random, 40, &mut parameters, "recursive=true");
    maybe(random, 40, &mut parameters, "sorted=true");
    maybe(random, 10, &mut parameters, "quorum=true");
    maybe(random, 5, &mut parameters, "quorum=false");
    let method = if chance(random, 10) { "HEAD" } else { "GET" };
    asked(method, &path, &parameters)
}

/// Returns a watch; some get a response at once.
pub fn watch(random: &mut StdRng) -> Request {
    let path = key(random);
    let mut parameters = vec!["wait=true".to_owned()];
    maybe(random, 60, &mut parameters, "recursive=true");
    maybe(random, 50, &mut parameters, "stream=true");
    if chance(random, 40) {
        parameters.push(format!("waitIndex={}", pick(random, &INDEXES)));
    }
    maybe(random, 3, &mut parameters, "quorum=true");
    asked("GET", &path, &parameters)
}

/// Returns parameters that no correct client sends.
pub fn nonsense(random: &mut StdRng) -> Request {
    let method = ["GET", "PUT", "PUT", "PUT", "POST", "DELETE", "HEAD"][random.random_range(0..7)];
    let soup = |random: &mut StdRng| -> String {
        let one = |random: &mut StdRng| match random.random_range(0..12) {
            0 => pick(random, &RAW).to_owned(),
            1..=2 => format!("{}={}", pick(random, &KNOWN), pick(random, &BAD)),
            3 => pick(random, &KNOWN).to_owned(),
            4..=5 => format!("{}={}", pick(random, &KNOWN), pick(random, &FLAGS)),
            6 => format!("ttl={}", pick(random, &TTLS)),
            7 => format!("prevIndex={}", pick(random, &INDEXES)),
            8 => format!("ttl={}", pick(random, &BAD)),
            9 => pick(random, &["refresh=true", "refresh=true&value=x&ttl=60", "wait=true", "prevValue="])
                .to_owned(),
            _ => value(random),
        };
        (0..random.random_range(0..5)).map(|_| one(random)).collect::<Vec<_>>().join("&")
    };
    let path = key(random);
    let query = soup(random);
    let mut request = asked(method, &path, &[query]);
    if chance(random, 80) {
        request.headers.push(("Content-Type", pick(random, &TYPES).to_owned()));
    }
    request.body = (request.body.is_some() || chance(random, 20)).then(|| soup(random));
    request.chunked = chance(random, 10);
    request
}

/// Returns requests to paths and with methods outside `/v2/keys`.
pub fn elsewhere(random: &mut StdRng) -> Request {
    const PLACES: [&str; 34] = [
        "/",
        "/v2",
        "/v2/",
        "/v2/keysfoo",
        "/v2/machines",
        "/v2/machines/",
        "/version",
        "/version/",
        "/health",
        "/health/",
        "/v2/leader",
        "/v2/stats",
        "/v2/stats/",
        "/v2/stats/self",
        "/v2/stats/store",
        "/v2/stats/leader",
        "/v2/stats/none",
        "/v2/admin/x",
        "/v1/keys",
        "/v2/config/local/proxy",
        "/v2/members",
        "/v2/members/",
        "/v2/members/leader",
        "/v2/members/1234",
        "/v2/members/none",
        "//version",
        "/v2/../version",
        "/%zz",
        "/v2/keys/%",
        "/v2/keys/a%2",
        "/metrics",
        "/debug/vars",
        "/v2//members",
        "/x?a=b;c",
    ];
    const METHODS: [&str; 9] = ["GET", "GET", "GET", "HEAD", "OPTIONS", "PATCH", "TRACE", "FOO", "PUT"];
    let mut request = match random.random_range(0..10) {
        0..=5 => {
            let method = METHODS[random.random_range(0..METHODS.len())];
            asked(method, pick(random, &PLACES), &[])
        }
        6 => members(random),
        _ => asked(METHODS[random.random_range(4..8)], &key(random), &[]),
    };
    if chance(random, 10) {
        request.headers.push(("Origin", "http://example.com:80".to_owned()));
    }
    request
}

/// Returns requests about members that change nothing.
fn members(random: &mut StdRng) -> Request {
    const BODIES: [&str; 9] = [
        "",
        "{",
        "[]",
        "{}",
        r#"{"peerURLs":[]}"#,
        r#"{"peerURLs":["ftp://10.0.0.1:1"]}"#,
        r#"{"peerURLs":["http://10.0.0.1"]}"#,
        r#"{"peerURLs":["http://10.0.0.1:1/x"]}"#,
        r#"{"peerURLs":"x"}"#,
    ];
    let kind =
        pick(random, &["application/json", "Application/JSON", "Application/JSON;a=b", "text/plain", ""]);
    let (method, path) = match random.random_range(0..4) {
        0 | 1 => ("POST", "/v2/members"),
        2 => ("PUT", pick(random, &["/v2/members", "/v2/members/", "/v2/members/1234", "/v2/members/none"])),
        _ => (
            "DELETE",
            pick(random, &["/v2/members", "/v2/members/1234", "/v2/members/0x1", "/v2/members/leader"]),
        ),
    };
    let mut request = asked(method, path, &[]);
    request.headers.push(("Content-Type", kind.to_owned()));
    request.body = Some(pick(random, &BODIES).to_owned());
    request
}
