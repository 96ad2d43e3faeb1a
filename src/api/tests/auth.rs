//! `/v2/auth`, and the access checks of keys and members.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Client, Reply, Running};

/// Sends a request as a user, or without credentials.
fn ask_as(client: &mut Client, login: &str, method: &str, path: &str, body: &str) -> Reply {
    let header = match login {
        "" => String::new(),
        login => format!("Authorization: Basic {}\r\n", STANDARD.encode(login)),
    };
    client.ask_as(method, path, &format!("{header}Content-Type: application/json\r\n"), body)
}

/// Creates the users root and bob, who may read below `/a`, and enables authentication.
fn lock(client: &mut Client) {
    for (path, body, status) in [
        ("/v2/auth/users/root", r#"{"user":"root","password":"canary-of-root"}"#, 201),
        ("/v2/auth/roles/r", r#"{"role":"r","permissions":{"kv":{"read":["/a/*"]}}}"#, 201),
        ("/v2/auth/users/bob", r#"{"user":"bob","password":"canary","roles":["r"]}"#, 200),
        ("/v2/auth/enable", "", 200),
    ] {
        let reply = ask_as(client, "", "PUT", path, body);
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert!(!reply.text().contains("canary"), "{}", reply.text());
    }
}

#[test]
fn credentials_are_ignored_while_auth_is_off() {
    let server = Running::start();
    let mut client = server.connect();
    for login in ["", "nobody:x", "root:wrong"] {
        assert_eq!(ask_as(&mut client, login, "GET", "/v2/keys", "").status, 200, "{login}");
    }
    let reply = client.ask_as("GET", "/v2/keys", "Authorization: nonsense\r\n", "");
    assert_eq!(reply.status, 200);
}

#[test]
fn each_user_may_do_what_their_roles_allow_while_auth_is_on() {
    let server = Running::start();
    let mut client = server.connect();
    lock(&mut client);
    let root = "root:canary-of-root";
    assert_eq!(ask_as(&mut client, root, "PUT", "/v2/keys/a/x", "").status, 201);
    assert_eq!(ask_as(&mut client, root, "DELETE", "/v2/auth/roles/guest", "").status, 200);
    for (login, method, path, status) in [
        ("bob:canary", "GET", "/v2/keys/a/x", 200),
        ("bob:canary", "GET", "/v2/keys/a/?recursive=true", 200),
        ("bob:canary", "GET", "/v2/keys/a", 401),
        ("bob:canary", "PUT", "/v2/keys/a/x", 401),
        ("bob:canary", "GET", "/v2/auth/users", 401),
        ("bob:canary", "DELETE", "/v2/members/1", 401),
        ("bob:wrong", "GET", "/v2/keys/a/x", 401),
        ("bob:", "GET", "/v2/keys/a/x", 401),
        (":canary", "GET", "/v2/keys/a/x", 401),
        ("nobody:canary", "GET", "/v2/keys/a/x", 401),
        ("", "GET", "/v2/keys/a/x", 401),
        ("", "POST", "/v2/members", 401),
        ("", "PUT", "/v2/members", 401),
        ("", "PATCH", "/v2/members", 405),
        ("", "GET", "/v2/members", 200),
        ("", "GET", "/v2/auth/enable", 200),
        ("", "GET", "/version", 200),
        (root, "DELETE", "/v2/members/1", 404),
        (root, "GET", "/v2/auth/users", 200),
        (root, "DELETE", "/v2/auth/users/bob", 200),
        ("bob:canary", "GET", "/v2/keys/a/x", 401),
    ] {
        let reply = ask_as(&mut client, login, method, path, "");
        assert_eq!(reply.status, status, "{login} {method} {path}: {}", reply.text());
    }
}

#[test]
fn a_refusal_has_the_format_of_its_route() {
    let server = Running::start();
    let mut client = server.connect();
    lock(&mut client);
    let reply = ask_as(&mut client, "bob:wrong", "GET", "/v2/keys/a/x", "");
    let says = "{\"errorCode\":110,\"message\":\"The request requires user authentication\",\
                \"cause\":\"Insufficient credentials\",\"index\":0}\n";
    assert_eq!((reply.text().as_str(), reply.header("X-Etcd-Index")), (says, "0"));
    let reply = ask_as(&mut client, "bob:wrong", "GET", "/v2/auth/users", "");
    assert_eq!(reply.text(), "{\"message\":\"Insufficient credentials\"}");
    assert_eq!(reply.header("X-Etcd-Cluster-Id"), "");
    let reply = ask_as(&mut client, "bob:wrong", "GET", "/v2/keys/a/x?ttl=x", "");
    assert!(
        reply.text().contains("\"errorCode\":202"),
        "words are looked at before rights: {}",
        reply.text()
    );
}

#[test]
fn a_changed_password_takes_effect_at_once() {
    let server = Running::start();
    let mut client = server.connect();
    lock(&mut client);
    let status = |client: &mut Client, login: &str| {
        ask_as(client, login, "GET", "/v2/keys/a/?quorum=false", "").status
    };
    // Twice, so that the password is remembered.
    assert_eq!([status(&mut client, "bob:canary"), status(&mut client, "bob:canary")], [404, 404]);
    let body = r#"{"user":"bob","password":"other"}"#;
    let reply = ask_as(&mut client, "root:canary-of-root", "PUT", "/v2/auth/users/bob", body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(status(&mut client, "bob:canary"), 401);
    assert_eq!(status(&mut client, "bob:other"), 404);
    assert_eq!(status(&mut client, "bob:canary"), 401);
}

#[test]
fn a_password_is_stored_as_an_argon2id_hash() {
    let server = Running::start();
    lock(&mut server.connect());
    let auth = server.handle.auth();
    let hash = &auth.user("bob").unwrap().hash;
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(!format!("{auth:?}").contains(hash.as_str()));
}

#[test]
fn excessive_sizes_are_refused_before_anything_is_proposed() {
    let server = Running::start();
    let mut client = server.connect();
    let before = server.index();
    let long = "x".repeat(300);
    let password = "p".repeat(1025);
    for (path, body, says) in [
        (format!("/v2/auth/users/{long}"), format!(r#"{{"user":"{long}","password":"p"}}"#), "256 bytes"),
        (format!("/v2/auth/roles/{long}"), format!(r#"{{"role":"{long}"}}"#), "256 bytes"),
        (
            "/v2/auth/users/u".to_owned(),
            format!(r#"{{"user":"u","password":"{password}"}}"#),
            "a password may have 1024 bytes",
        ),
        ("/v2/auth/roles/r".to_owned(), " ".repeat(70_000), "65536 bytes"),
    ] {
        let reply = client.ask("PUT", &path, &body);
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(reply.text().contains(says), "{}", reply.text());
        assert!(!reply.text().contains("pppp"));
    }
    assert_eq!(server.index(), before);
}
