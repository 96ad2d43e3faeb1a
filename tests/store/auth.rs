//! Users and roles: the same random requests under the same names to real etcd and to `retune store`.
//!
//! The seeds are set as in `differential`. etcd takes a tenth of a second for each password, so the plans are
//! short.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::differential::{compare, etcd_and_store, play, restart, seeds, two_etcds};
use super::pair::Pair;
use super::plans::Step;
use super::requests::{FORM, asked, chance, pick};
use super::wire::Request;
use crate::support::programs::need_program;

const ROOT: &str = "root:of all";
const USERS: [&str; 7] = ["root", "bob", "bob", "carl", "carl", "ü<", "_hid"];
const ROLES: [&str; 8] = ["r1", "r1", "r2", "zz", "root", "guest", "_r", "r&"];
const PATTERNS: [&str; 10] = ["/a/*", "/a*", "/*", "/b", "*", "/b/c", "/a/b/*", "/b/", "no slash", "/a/<b>*"];
const KEYS: [&str; 10] = ["", "/", "/a", "/a/", "/a/b", "/a/b/c", "/b", "/b/c", "/ab", "/a/%3Cb%3Ex"];
const LOGINS: [&str; 12] = [
    ROOT,
    ROOT,
    "root:wrong",
    "bob:one",
    "bob:one",
    "bob:two",
    "carl:one",
    "carl:two",
    "ü<:one",
    "_hid:one",
    "nobody:one",
    "bob:",
];
/// An `Authorization` header without a valid login.
const INVALID_LOGINS: [&str; 7] =
    ["Basic", "Basic !!", "Bearer abc", "Basic Ym9i", "basic Ym9iOm9uZQ==", "Basic Ym9iOm9uZQ", "x"];

fn as_user(login: &str, request: Request) -> Request {
    with(format!("Basic {}", STANDARD.encode(login)), request)
}

fn with(authorization: String, mut request: Request) -> Request {
    request.headers.push(("Authorization", authorization));
    request
}

fn json_request(method: &'static str, path: &str, body: &Value) -> Request {
    let mut request = asked(method, path, &[]);
    request.headers.push(("Content-Type", "application/json".to_owned()));
    request.body = Some(body.to_string());
    request
}

/// Signs a request as the usual user; sometimes without a login, with a malformed one, or as another user.
fn with_login(random: &mut StdRng, usual: &str, request: Request) -> Request {
    match random.random_range(0..100) {
        0..60 => as_user(usual, request),
        60..75 => request,
        75..80 => with(pick(random, &INVALID_LOGINS).to_owned(), request),
        _ => as_user(pick(random, &LOGINS), request),
    }
}

fn some(random: &mut StdRng, words: &[&str]) -> Vec<String> {
    (0..random.random_range(0..3)).map(|_| pick(random, words).to_owned()).collect()
}

fn lists(random: &mut StdRng) -> Value {
    let mut list = |percent| match chance(random, percent) {
        true => json!(some(random, &PATTERNS)),
        false => Value::Null,
    };
    json!({ "kv": { "read": list(70), "write": list(50) } })
}

/// Lists of permissions, at least one of them not empty: etcd keeps an empty grant as part of the role.
fn grants(random: &mut StdRng) -> Value {
    let mut lists = lists(random);
    lists["kv"]["read"] = json!([pick(random, &PATTERNS)]);
    lists
}

fn named(name: &str) -> String {
    crate::support::http::encode(name, false)
}

fn user(random: &mut StdRng) -> Request {
    let name = pick(random, &USERS);
    let path = format!("/v2/auth/users/{}", named(name));
    let mut body = json!({ "user": name });
    match random.random_range(0..100) {
        0..25 => {
            body["password"] =
                json!(if name == "root" { "of all" } else { pick(random, &["one", "two", ""]) });
        }
        25..40 => {
            body["password"] =
                json!(if name == "root" { "of all" } else { pick(random, &["one", "one", ""]) });
            body["roles"] = json!(some(random, &ROLES));
        }
        40..60 => body["grant"] = json!([pick(random, &ROLES)]),
        60..70 => body["revoke"] = json!([pick(random, &ROLES)]),
        70..75 => {
            body["grant"] = json!(some(random, &ROLES));
            body["revoke"] = json!(some(random, &ROLES));
            body["roles"] = if chance(random, 20) { json!(["r1"]) } else { Value::Null };
        }
        75..80 => return asked("DELETE", &path, &[]),
        80..90 => return asked("GET", &path, &[]),
        90..93 => {}
        _ => return asked("GET", "/v2/auth/users", &[]),
    }
    json_request("PUT", &path, &body)
}

fn role(random: &mut StdRng) -> Request {
    let name = pick(random, &ROLES);
    let path = format!("/v2/auth/roles/{}", named(name));
    let mut body = json!({ "role": name });
    match random.random_range(0..100) {
        0..30 => body["permissions"] = lists(random),
        30..50 => body["grant"] = grants(random),
        50..65 => body["revoke"] = grants(random),
        65..70 => {
            body["grant"] = grants(random);
            body["revoke"] = grants(random);
            body["permissions"] = if chance(random, 20) { grants(random) } else { Value::Null };
        }
        70..78 => return asked("DELETE", &path, &[]),
        78..90 => return asked("GET", &path, &[]),
        90..93 => {}
        _ => return asked("GET", "/v2/auth/roles", &[]),
    }
    json_request("PUT", &path, &body)
}

fn key(random: &mut StdRng) -> Request {
    let path = format!("/v2/keys{}", pick(random, &KEYS));
    let recursive = if chance(random, 40) { vec!["recursive=true".to_owned()] } else { Vec::new() };
    match random.random_range(0..100) {
        0..45 => asked("GET", &path, &recursive),
        45..50 => asked("HEAD", &path, &recursive),
        50..55 => asked("GET", &path, &["ttl=x".to_owned()]),
        55..60 => asked("GET", &path, &["quorum=true".to_owned()]),
        60..64 => asked("GET", &path, &[vec!["wait=true".to_owned()], recursive].concat()),
        64..75 => asked("DELETE", &path, &recursive),
        roll => {
            let mut request = asked(if roll < 95 { "PUT" } else { "POST" }, &path, &[]);
            request.headers.push(("Content-Type", FORM.to_owned()));
            request.body = Some("value=x".to_owned());
            request
        }
    }
}

fn unusual(random: &mut StdRng) -> Request {
    const PATHS: [&str; 14] = [
        "/v2/auth",
        "/v2/auth/",
        "/v2/auth/users/",
        "/v2/auth/roles/",
        "/v2/auth/users/bob/",
        "/v2/auth/users/a/b",
        "/v2/auth/roles/a/b",
        "/v2/auth/enable/",
        "/v2/auth/usersx",
        "/v2/auth/users/a%2Fb",
        "/v2/auth/roles/r1/",
        "/v2/auth/users//bob",
        "/v2/auth/users/%C3%BC",
        "/v2/auth/roles/x/..",
    ];
    const BODIES: [&str; 19] = [
        "",
        "{",
        "null",
        "[]",
        "5",
        "\"x\"",
        "{}",
        r#"{"user":"bob"}"#,
        r#"{"user":5}"#,
        r#"{"user":"bob","roles":"r1"}"#,
        r#"{"user":"bob","password":5}"#,
        r#"{"USER":"bob","PassWord":"one"} trailing"#,
        r#"{"user":"bob","roles":[5]}"#,
        r#"{"user":"bob","password":"one","roles":[]}"#,
        r#"{"role":"r1","permissions":5}"#,
        r#"{"role":"r1","grant":[]}"#,
        r#"{"role":"r1","permissions":{"kv":[]}}"#,
        r#"{"role":"r1","permissions":{"KV":{"Read":["/q"]}}}"#,
        r#"{"user":"bob","grant":{"r1":1}}"#,
    ];
    const METHODS: [&str; 6] = ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"];
    let method = METHODS[random.random_range(0..METHODS.len())];
    let places = ["/v2/auth/users/bob", "/v2/auth/roles/r1", "/v2/auth/enable"];
    match random.random_range(0..100) {
        0..35 => asked(method, pick(random, &PATHS), &[]),
        35..45 => asked(method, pick(random, &["/v2/auth/users", "/v2/auth/roles", "/v2/auth/enable"]), &[]),
        45..80 => {
            let mut request = asked("PUT", pick(random, &places), &[]);
            request.body = Some(pick(random, &BODIES).to_owned());
            request
        }
        80..90 => asked(method, pick(random, &["/v2/members/", "/v2/members/zz", "/v2/members"]), &[]),
        _ => asked("GET", pick(random, &["/v2/machines", "/v2/members", "/version", "/health"]), &[]),
    }
}

/// The start of a plan: no users, no roles, authentication disabled.
fn reset() -> Vec<Step> {
    let mut requests = vec![
        json_request("PUT", "/v2/auth/users/root", &json!({ "user": "root", "password": "of all" })),
        asked("DELETE", "/v2/auth/enable", &[]),
    ];
    let delete = |kind: &str, name: &str| asked("DELETE", &format!("/v2/auth/{kind}/{}", named(name)), &[]);
    requests.extend(USERS.iter().map(|name| delete("users", name)));
    requests.extend(ROLES.iter().map(|name| delete("roles", name)));
    requests.push(asked("DELETE", "/v2/keys/a", &["recursive=true".to_owned()]));
    requests.push(asked("DELETE", "/v2/keys/b", &["recursive=true".to_owned()]));
    requests.into_iter().map(|request| Step::Ask(as_user(ROOT, request))).collect()
}

/// Returns the plan of this seed: first some users and roles, then everything, mostly with authentication enabled.
fn plan(seed: u64) -> Vec<Step> {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut steps = reset();
    let mut ask = |request: Request| {
        let waits = request.method == "GET" && request.target.contains("wait");
        steps.push(if waits { Step::Watch(request) } else { Step::Ask(request) });
    };
    let root = json!({ "user": "root", "password": "of all" });
    // Bob gets permissions at the start; otherwise hardly anything is ever allowed.
    for role in ["r1", "r2"] {
        let mut three = || json!([(); 3].map(|()| pick(random, &PATTERNS[..7])));
        let permissions = json!({ "kv": { "read": three(), "write": three() } });
        ask(json_request(
            "PUT",
            &format!("/v2/auth/roles/{role}"),
            &json!({ "role": role, "permissions": permissions }),
        ));
    }
    let bob = json!({ "user": "bob", "password": "one", "roles": ["zz", pick(random, &["r1", "r2"])] });
    ask(json_request("PUT", "/v2/auth/users/bob", &bob));
    for at in 0..random.random_range(50..80) {
        let request = match random.random_range(0..100) {
            _ if at == 8 => as_user(ROOT, json_request("PUT", "/v2/auth/users/root", &root)),
            _ if at == 9 => as_user(ROOT, asked("PUT", "/v2/auth/enable", &[])),
            0..4 => as_user(ROOT, asked("PUT", "/v2/auth/enable", &[])),
            4..6 => as_user(ROOT, asked("DELETE", "/v2/auth/enable", &[])),
            6..8 => {
                let request = asked(["GET", "PUT", "DELETE"][at % 3], "/v2/auth/enable", &[]);
                with_login(random, ROOT, request)
            }
            8..28 => {
                let request = user(random);
                with_login(random, ROOT, request)
            }
            28..48 => {
                let request = role(random);
                with_login(random, ROOT, request)
            }
            48..55 => {
                let request = unusual(random);
                with_login(random, ROOT, request)
            }
            _ => {
                let request = key(random);
                with_login(random, "bob:one", request)
            }
        };
        ask(request);
    }
    steps.push(Step::Collect);
    for path in ["/v2/auth/users", "/v2/auth/roles", "/v2/auth/enable", "/v2/keys?recursive=true"] {
        steps.push(Step::Ask(as_user(ROOT, asked("GET", path, &[]))));
    }
    steps.extend(reset());
    steps
}

#[test]
fn two_etcds_respond_alike_and_deny_access() {
    if need_program("etcd") {
        let met = compare(two_etcds, seeds(1), plan);
        assert!(met.contains("110") && met.contains("get") && met.contains("set"), "{met:?}");
    }
}

#[test]
fn the_store_responds_about_users_and_roles_as_etcd_does() {
    if need_program("etcd") {
        compare(etcd_and_store, seeds(6), plan);
    }
}

/// The steps after which bob may read below `/a` and guests may not write.
fn lock() -> Vec<Step> {
    let put = |path: &str, body: Value| Step::Ask(json_request("PUT", path, &body));
    vec![
        put("/v2/auth/users/root", json!({ "user": "root", "password": "of all" })),
        put("/v2/auth/roles/r1", json!({ "role": "r1", "permissions": { "kv": { "read": ["/a/*"] } } })),
        put("/v2/auth/users/bob", json!({ "user": "bob", "password": "one", "roles": ["r1"] })),
        put("/v2/auth/roles/guest", json!({ "role": "guest", "permissions": { "kv": { "read": ["*"] } } })),
        Step::Ask(asked("PUT", "/v2/auth/enable", &[])),
        // Shows the index, which responses about users do not.
        Step::Ask(as_user(ROOT, asked("GET", "/v2/keys", &[]))),
    ]
}

#[test]
fn a_restarted_store_still_denies_access_as_a_restarted_etcd_does() {
    if !need_program("etcd") {
        return;
    }
    let (mut pair, (mut etcd, mut store)) = etcd_and_store();
    let mut done = play(&mut pair, 0, &lock());
    for kill in [true, false] {
        restart(&mut etcd, &mut store, kill);
        pair = pair.again();
        let get = |login: &str, path: &str| Step::Ask(as_user(login, asked("GET", path, &[])));
        let steps = [
            get("bob:one", "/v2/keys/a/x"),
            get("bob:one", "/v2/keys/b"),
            get("bob:two", "/v2/keys/a/x"),
            get(ROOT, "/v2/auth/users"),
            get(ROOT, "/v2/auth/roles"),
            Step::Ask(as_user(ROOT, json_request("PUT", "/v2/keys/a/x", &json!({})))),
            Step::Ask(asked("PUT", "/v2/keys/b", &[])),
            Step::Ask(asked("GET", "/v2/auth/enable", &[])),
            // Its own directories already exist, and are not counted again.
            Step::Ask(as_user(ROOT, json_request("PUT", "/v2/auth/roles/r9", &json!({ "role": "r9" })))),
            Step::Ask(as_user(ROOT, asked("DELETE", "/v2/auth/roles/r9", &[]))),
            get(ROOT, "/v2/keys"),
        ];
        done = done.and_then(|()| play(&mut pair, 0, &steps));
    }
    drop((etcd, store));
    assert!(done.is_ok(), "\n{}\n", done.unwrap_err());
}

#[test]
fn a_store_that_grants_too_much_is_detected() {
    if !need_program("etcd") {
        return;
    }
    let (mut pair, etcds) = two_etcds();
    play(&mut pair, 0, &lock()).unwrap();
    let request = as_user(ROOT, asked("DELETE", "/v2/auth/roles/guest", &[]));
    let alone = Pair::alone(&etcds[1].address(), &request);
    assert_eq!(alone, Some(200));
    let found = play(&mut pair, 0, &[Step::Ask(asked("GET", "/v2/keys/", &[]))]);
    assert!(found.is_err_and(|text| text.contains("status 200 and 401")));
}
