//! etcd with users, roles and passwords, through both APIs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::http::{encode, request_as};
use crate::support::{Dir, Etcd, Retune, Store, WAIT_TIMEOUT, eventually};

const ROOT: &str = "canary-of-root";
const RIGHT: &str = "canary-right";
const WRONG: &str = "canary-wrong";

fn site() -> Dir {
    let dir = Dir::new();
    dir.resource("a", "{{ getv(\"/app/x\") }}\n", "keys = [\"/app\"]");
    dir.write("right", &format!("{RIGHT}\n"));
    dir
}

/// Sends one request as `authorization`, which must succeed, and returns the response.
#[track_caller]
fn ask(address: &str, authorization: &str, method: &str, path: &str, body: (&str, &str)) -> String {
    let body = (!body.0.is_empty()).then_some(body);
    let answer = request_as(authorization, address, method, path, body).unwrap();
    assert!(matches!(answer.status, 200 | 201), "{method} {path}: {answer:?}");
    answer.body
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// Sets up the users root and app for the v2 API; app may read `/app` and, as recursive reads need it, every key with
/// that prefix. Without a name nothing is allowed.
fn lock_v2(address: &str) {
    let put =
        |path: &str, body: Value| ask(address, "", "PUT", path, ("application/json", &body.to_string()));
    put("/v2/auth/users/root", json!({ "user": "root", "password": ROOT }));
    put(
        "/v2/auth/roles/app",
        json!({ "role": "app", "permissions": { "kv": { "read": ["/app*"], "write": [] } } }),
    );
    put("/v2/auth/users/app", json!({ "user": "app", "password": RIGHT, "roles": ["app"] }));
    ask(address, "", "PUT", "/v2/auth/enable", ("", ""));
    ask(address, &basic("root", ROOT), "DELETE", "/v2/auth/roles/guest", ("", ""));
}

fn put_v2(address: &str, key: &str, value: &str) {
    let body = format!("value={}", encode(value, false));
    let form = ("application/x-www-form-urlencoded", body.as_str());
    ask(address, &basic("root", ROOT), "PUT", &format!("/v2/keys{key}"), form);
}

fn post_v3(address: &str, token: &str, path: &str, body: &Value) -> Value {
    let answer = ask(address, token, "POST", &format!("/v3{path}"), ("application/json", &body.to_string()));
    serde_json::from_str(&answer).unwrap()
}

/// Sets up the users root and app for the v3 API; app may read `/app` and below, and no more.
fn lock_v3(address: &str) {
    let post = |path: &str, body: Value| drop(post_v3(address, "", path, &body));
    for (name, password) in [("root", ROOT), ("app", RIGHT)] {
        post("/auth/user/add", json!({ "name": name, "password": password }));
        post("/auth/role/add", json!({ "name": name }));
        post("/auth/user/grant", json!({ "user": name, "role": name }));
    }
    let (from, to) = (STANDARD.encode("/app"), STANDARD.encode("/app0"));
    post(
        "/auth/role/grant",
        json!({ "name": "app", "perm": { "permType": "READ", "key": from, "range_end": to } }),
    );
    post("/auth/enable", json!({}));
}

fn put_v3(address: &str, key: &str, value: &str) {
    let login = post_v3(address, "", "/auth/authenticate", &json!({ "name": "root", "password": ROOT }));
    let body = json!({ "key": STANDARD.encode(key), "value": STANDARD.encode(value) });
    post_v3(address, login["token"].as_str().unwrap(), "/kv/put", &body);
}

/// Asserts what both APIs promise for a locked store that has `/app/x` and `/other/x`.
fn only_the_right_password_opens(backend: &str, address: &str, put: impl Fn(&str, &str, &str)) {
    let dir = site();
    put(address, "/app/x", "one");
    put(address, "/other/x", "secret");
    let url = format!("http://{address}");
    let words = ["--backend", backend, "--node", &url, "--log-level", "debug"];
    let render = || Retune::render(&dir).args(&words);
    let with = |password: &str| {
        render().args(&["--username", "app", "--password", password]).run().does_not_say(password)
    };
    let shown = STANDARD.encode(format!("app:{WRONG}"));
    with(WRONG).exits(2).says("refuses access").says(&url).does_not_say(&shown);
    render().run().exits(2).says("refuses access");
    assert!(dir.outputs().is_empty(), "{:?}", dir.outputs());
    with(RIGHT).exits(0).does_not_say(&STANDARD.encode(format!("app:{RIGHT}")));
    dir.assert_has("a.conf", "one\n");

    let file = ["--username", "app", "--password-file", &dir.text_path("right")];
    let mut daemon = Retune::watch(&dir).args(&words).args(&file).spawn();
    for value in ["two", "three", "four"] {
        put(address, "/app/x", value);
        eventually("the change", WAIT_TIMEOUT, || dir.has("a.conf", &format!("{value}\n")));
    }
    assert!(daemon.is_running() && !daemon.log().contains(RIGHT), "{}", daemon.log());
    daemon.terminate();

    // A key that the user may not read is a refusal that names the store, not a missing key.
    dir.resource("b", "{{ getv(\"/other/x\") }}\n", "keys = [\"/other\"]");
    let done = render().args(&file).run();
    assert_ne!(done.code, 0, "{done:?}");
    done.says("refuses access").does_not_say("secret");
    assert_eq!(dir.outputs(), ["a.conf"]);
}

#[test]
fn v2_with_basic_auth() {
    let Some(etcd) = Etcd::start() else { return };
    lock_v2(&etcd.address());
    only_the_right_password_opens("etcd", &etcd.address(), put_v2);
}

#[test]
fn our_own_store_with_basic_auth() {
    let store = Store::start();
    lock_v2(&store.address());
    for backend in ["etcd", "store"] {
        only_the_right_password_opens(backend, &store.address(), put_v2);
    }
    assert!(![ROOT, RIGHT, WRONG].iter().any(|password| store.log().contains(password)), "{}", store.log());
}

#[test]
fn v3_with_tokens() {
    let Some(etcd) = Etcd::start() else { return };
    lock_v3(&etcd.address());
    only_the_right_password_opens("etcdv3", &etcd.address(), put_v3);
}

#[test]
fn v3_many_roots_of_a_user_who_may_not_read_between_them() {
    let Some(etcd) = Etcd::start() else { return };
    lock_v3(&etcd.address());
    let dir = site();
    // More roots than one transaction takes; all they share is `/`, which the user may not read.
    let keys: Vec<String> = (0..150).map(|at| format!("\"/app/{at}\"")).collect();
    dir.resource("a", "{{ getv(\"/app/7\") }}\n", &format!("keys = [\"/app7\", {}]", keys.join(", ")));
    let word = |name: &str, key: &str, end: &str| {
        let perm =
            json!({ "permType": "READ", "key": STANDARD.encode(key), "range_end": STANDARD.encode(end) });
        let login =
            post_v3(&etcd.address(), "", "/auth/authenticate", &json!({ "name": "root", "password": ROOT }));
        let token = login["token"].as_str().unwrap().to_owned();
        post_v3(&etcd.address(), &token, "/auth/role/grant", &json!({ "name": name, "perm": perm }));
    };
    word("app", "/app7", "/app70");
    put_v3(&etcd.address(), "/app/7", "seven");
    let words = ["--username", "app", "--password", RIGHT];
    Retune::render(&dir).etcdv3(&etcd).args(&words).run().exits(0);
    dir.assert_has("a.conf", "seven\n");
}

/// A daemon keeps trying, as after a password change in the store, and reports what is wrong.
#[test]
fn a_daemon_with_a_wrong_password_reports_it_and_never_shows_it() {
    for v3 in [false, true] {
        let Some(etcd) = Etcd::start() else { return };
        if v3 {
            lock_v3(&etcd.address());
        } else {
            lock_v2(&etcd.address());
        }
        let dir = site();
        let words = ["--username", "app", "--password", WRONG, "--log-level", "debug"];
        let watch = Retune::watch(&dir).args(&words);
        let daemon = if v3 { watch.etcdv3(&etcd).spawn() } else { watch.etcd(&etcd).spawn() };
        daemon.eventually_says("refuses access");
        assert!(!daemon.log().contains(WRONG), "{}", daemon.log());
        drop(daemon);
        assert!(dir.outputs().is_empty(), "{:?}", dir.outputs());
    }
}
