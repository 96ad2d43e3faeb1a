//! Compares the responses of two servers; its tests show that differences are found.

use super::json::{Comparison, normalize};
use super::wire::Reply;

/// Headers that must be equal.
const EQUAL_HEADERS: [&str; 9] = [
    "Content-Type",
    "X-Etcd-Index",
    "Allow",
    "Location",
    "X-Content-Type-Options",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Origin",
    "WWW-Authenticate",
];
/// Headers that must be present on both or on neither.
const OPTIONAL_HEADERS: [&str; 3] = ["X-Raft-Term", "X-Raft-Index", "X-Etcd-Cluster-Id"];
/// The two clocks are read slightly apart.
const MAX_CLOCK_DIFFERENCE: i128 = 2_000_000_000;

/// Returns the difference, or `None`.
pub fn difference(left: &Reply, right: &Reply, comparison: Comparison) -> Option<String> {
    if left.status != right.status {
        return Some(format!("status {} and {}", left.status, right.status));
    }
    if let Some(name) = EQUAL_HEADERS.iter().find(|name| left.header(name) != right.header(name)) {
        return Some(format!("{name} {:?} and {:?}", left.header(name), right.header(name)));
    }
    let one_sided = |name: &&&str| left.header(name).is_some() != right.header(name).is_some();
    if let Some(name) = OPTIONAL_HEADERS.iter().find(one_sided) {
        return Some(format!("{name} {:?} and {:?}", left.header(name), right.header(name)));
    }
    if left.complete != right.complete {
        return Some(format!("complete: {} and {}", left.complete, right.complete));
    }
    let (one, other) = (normalize(&left.body, comparison), normalize(&right.body, comparison));
    if one.text != other.text {
        return Some(format!("bodies\n    {}\n    {}", cut(&one.text), cut(&other.text)));
    }
    let far = |pair: &(&i128, &i128)| (pair.0 - pair.1).abs() > MAX_CLOCK_DIFFERENCE;
    if let Some((one, other)) = one.expirations.iter().zip(&other.expirations).find(far) {
        return Some(format!("expirations {} s apart", (one - other) / 1_000_000_000));
    }
    let far = |pair: &(&i64, &i64)| (pair.0 - pair.1).abs() > 1;
    one.ttls.iter().zip(&other.ttls).find(far).map(|(one, other)| format!("ttl {one} and {other}"))
}

fn cut(text: &str) -> String {
    text.trim_end().chars().take(3000).collect()
}

const LISTING: &str = concat!(
    r#"{"action":"get","node":{"key":"/d","dir":true,"nodes":["#,
    r#"{"key":"/d/a","value":"\u003c1","expiration":"2030-01-02T03:04:05.123Z","ttl":100,"modifiedIndex":5,"createdIndex":5},"#,
    r#"{"key":"/d/b","value":"2","modifiedIndex":6,"createdIndex":6}],"modifiedIndex":5,"createdIndex":5}}"#,
    "\n"
);

fn sample(body: &str) -> Reply {
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Etcd-Index", "6"),
        ("X-Raft-Index", "20"),
        ("X-Raft-Term", "2"),
        ("X-Etcd-Cluster-Id", "abc"),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Reply { status: 200, headers, body: body.as_bytes().to_vec(), complete: true }
}

#[test]
fn permitted_differences_are_ignored() {
    let (first, second) = LISTING.split_once(r#"{"key":"/d/a""#).unwrap();
    let (a, rest) = second.split_once("},{").unwrap();
    let (b, end) = rest.split_once("}]").unwrap();
    let swapped = format!("{first}{{{b}}},{{\"key\":\"/d/a\"{a}}}]{end}");
    assert_ne!(swapped, LISTING);
    for body in [
        LISTING.to_owned(),
        LISTING.replace(":05.123Z", ":06.9Z"),
        LISTING.replace("\"ttl\":100", "\"ttl\":99"),
        swapped,
    ] {
        assert_eq!(difference(&sample(LISTING), &sample(&body), Comparison::Unordered), None, "{body}");
    }
    let mut other = sample(LISTING);
    other.headers[2].1 = "77".to_owned();
    other.headers[4].1 = "def".to_owned();
    other.headers.push(("Date".to_owned(), "today".to_owned()));
    assert_eq!(difference(&sample(LISTING), &other, Comparison::Ordered), None);
}

#[test]
fn an_altered_body_is_detected() {
    let alterations: &[(&str, &str)] = &[
        ("\"get\"", "\"set\""),
        (r#""key":"/d/b""#, r#""key":"/d/c""#),
        ("\\u003c1", "<1"),
        ("\\u003c1", "\\u003C1"),
        (r#""dir":true,"#, ""),
        (r#","ttl":100"#, ""),
        (r#""ttl":100"#, r#""ttl":102"#),
        (r#""ttl":100"#, r#""ttl":-100"#),
        ("03:04:05.123Z", "03:04:08Z"),
        (r#""modifiedIndex":6,"createdIndex":6"#, r#""createdIndex":6,"modifiedIndex":6"#),
        (r#","modifiedIndex":6"#, r#","modifiedIndex":7"#),
        (r#","modifiedIndex":6"#, r#","modifiedIndex":"6""#),
        ("\n", ""),
        ("}}\n", "}}\n{\"action\":\"set\"}\n"),
        (r#""value":"2""#, r#""value":"""#),
        (r#"{"key":"/d/b","value":"2","modifiedIndex":6,"createdIndex":6}"#, "{}"),
    ];
    for (from, to) in alterations {
        let body = LISTING.replacen(from, to, 1);
        assert_ne!(body, LISTING, "{from}");
        let found = difference(&sample(LISTING), &sample(&body), Comparison::Unordered);
        assert!(found.is_some(), "{from} as {to} goes unnoticed");
    }
    let (one, other) = (r#"{"nodes":[{"key":"a"},{"key":"b"}]}"#, r#"{"nodes":[{"key":"b"},{"key":"a"}]}"#);
    assert!(difference(&sample(one), &sample(other), Comparison::Ordered).is_some());
    assert!(difference(&sample(one), &sample(other), Comparison::Unordered).is_none());
}

#[test]
fn an_altered_head_is_detected() {
    let altered = |alter: fn(&mut Reply)| {
        let mut reply = sample("");
        alter(&mut reply);
        difference(&sample(""), &reply, Comparison::Unordered)
    };
    let alterations: &[fn(&mut Reply)] = &[
        |reply| reply.status = 201,
        |reply| reply.complete = false,
        |reply| reply.headers[0].1 = "text/plain".to_owned(),
        |reply| reply.headers[1].1 = "7".to_owned(),
        |reply| drop(reply.headers.remove(1)),
        |reply| drop(reply.headers.remove(2)),
        |reply| drop(reply.headers.remove(4)),
        |reply| reply.headers.push(("Location".to_owned(), "/".to_owned())),
        |reply| reply.headers.push(("x-content-type-options".to_owned(), "nosniff".to_owned())),
    ];
    for (at, alter) in alterations.iter().enumerate() {
        assert!(altered(*alter).is_some(), "alteration {at} goes unnoticed");
    }
}

#[test]
fn where_only_the_shape_matters_names_and_types_are_compared() {
    let one = r#"{"id":"a1","n":[{"x":1}],"ok":true}"#;
    let same = r#"{"id":"b","n":[{"x":-2.5}],"ok":false}"#;
    assert_eq!(difference(&sample(one), &sample(same), Comparison::Shape), None);
    for other in
        [r#"{"id":1,"n":[{"x":1}],"ok":true}"#, r#"{"n":[{"x":1}],"id":"a","ok":true}"#, r#"{"id":"a1"}"#]
    {
        assert!(difference(&sample(one), &sample(other), Comparison::Shape).is_some(), "{other}");
    }
}
