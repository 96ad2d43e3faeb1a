//! Random and mutated requests: nothing panics, memory use is bounded, and all JSON is valid.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const ROUNDS: usize = 6_000;

/// Meaningful texts, to be cut and joined.
const PIECES: [&str; 40] = [
    "value=",
    "ttl=",
    "dir=",
    "prevExist=",
    "prevValue=",
    "prevIndex=",
    "wait=",
    "waitIndex=",
    "refresh=",
    "recursive=",
    "true",
    "false",
    "1",
    "0",
    "18446744073709551616",
    "-1",
    "&",
    "&&",
    "=",
    ";",
    "%",
    "%2",
    "%zz",
    "%20",
    "%00",
    "%ff",
    "%c3%bc",
    "+",
    "/",
    "//",
    "/..",
    "/.",
    "/v2/keys",
    "%2e",
    "%2F",
    "ü",
    "\u{2028}",
    "application/x-www-form-urlencoded",
    "; charset=\"",
    "\\\"",
];

fn text(random: &mut StdRng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..random.random_range(0..12) {
        match random.random_range(0..8) {
            0 => out.extend((0..random.random_range(0..9)).map(|_| random.random::<u8>())),
            1 => out.push(random.random_range(0x20..0x7f)),
            2 if !out.is_empty() => {
                let at = random.random_range(0..out.len());
                out[at] = random.random();
            }
            3 if !out.is_empty() => out.truncate(random.random_range(0..out.len())),
            _ => out.extend_from_slice(PIECES[random.random_range(0..PIECES.len())].as_bytes()),
        }
    }
    out
}

/// Every message contains the seed, so that a failure can be repeated.
fn each_round(mut check: impl FnMut(u64, &mut StdRng)) {
    for seed in 0..ROUNDS as u64 {
        check(seed, &mut StdRng::seed_from_u64(seed));
    }
}

#[test]
fn any_request_gives_parameters_or_an_error_of_bounded_size() {
    let methods = [Method::Head, Method::Get, Method::Put, Method::Post, Method::Delete];
    let (mut good, mut bad) = (0, 0);
    each_round(|seed, random| {
        let method = methods[random.random_range(0..methods.len())];
        let query = String::from_utf8_lossy(&text(random)).into_owned();
        let content_type = match random.random_range(0..4) {
            0 => None,
            1 => Some(text(random)),
            2 => Some([b"application/x-www-form-urlencoded".to_vec(), text(random)].concat()),
            _ => Some(b"application/x-www-form-urlencoded".to_vec()),
        };
        let body = text(random);
        match Params::read(method, &query, content_type.as_deref(), &body) {
            Ok(params) => {
                good += 1;
                let kept = params.value.len() + params.prev_value.map_or(0, |value| value.len());
                assert!(kept <= query.len() + body.len(), "seed {seed}");
            }
            Err(fault) => {
                bad += 1;
                let mut out = Vec::new();
                fault.write(&mut out);
                assert!(out.len() < 300, "seed {seed}");
                let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
                assert_eq!(parsed["errorCode"], fault.code.0, "seed {seed}");
            }
        }
    });
    assert!(good > ROUNDS / 20 && bad > ROUNDS / 20, "{good} good, {bad} bad: one side is hardly tried");
}

#[test]
fn any_path_is_clean_after_one_redirect() {
    let mut redirected = 0;
    each_round(|seed, random| {
        let raw = format!("/{}", String::from_utf8_lossy(&text(random)));
        match clean(&raw) {
            CleanPath::Clean(path) => {
                assert!(path.len() <= raw.len(), "seed {seed}");
                let again = clean(&escape(&path));
                assert_eq!(again, CleanPath::Clean(path), "seed {seed}: {raw:?}");
            }
            CleanPath::Redirect(to) => {
                redirected += 1;
                assert!(to.len() <= 3 * raw.len() + 1, "seed {seed}");
                assert!(matches!(clean(&to), CleanPath::Clean(_)), "seed {seed}: {raw:?} to {to}");
            }
            CleanPath::Bad => {}
        }
    });
    assert!(redirected > ROUNDS / 50, "only {redirected}");
}

#[test]
fn any_bytes_become_a_json_string_that_decodes_to_them() {
    each_round(|seed, random| {
        let text = text(random);
        let mut out = b"kept".to_vec();
        json_bytes(&mut out, &text);
        let written = out.strip_prefix(b"kept").expect("only appends");
        assert!(written.len() <= 6 * text.len() + 2, "seed {seed}");
        let back: String = serde_json::from_slice(written).unwrap();
        let mut wanted = String::new();
        for chunk in text.utf8_chunks() {
            wanted.push_str(chunk.valid());
            wanted.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
        }
        assert_eq!(back, wanted, "seed {seed}");
    });
}

#[test]
fn any_time_is_formatted_as_one_that_parses_back() {
    each_round(|seed, random| {
        let nanoseconds: i64 = random.random();
        let mut out = Vec::new();
        json_timestamp(&mut out, nanoseconds);
        let text: String = serde_json::from_slice(&out).unwrap();
        let back: jiff::Timestamp = text.parse().unwrap();
        assert_eq!(back.as_nanosecond(), i128::from(nanoseconds), "seed {seed}");
    });
}
