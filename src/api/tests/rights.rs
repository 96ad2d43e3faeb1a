//! What clients without a login, or without a right, may cost and see while authentication is on.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::super::shared::{ConnState, Shared};
use super::super::{ServerInfo, Settings};
use super::{Client, Reply, Running};
use crate::consensus::Handle;
use crate::http::server::serve;

fn login(user: &str) -> String {
    if user.is_empty() {
        String::new()
    } else {
        format!("Authorization: Basic {}\r\n", STANDARD.encode(user))
    }
}

fn ask_as(client: &mut Client, user: &str, method: &str, path: &str, body: &str) -> Reply {
    let headers = format!("{}Content-Type: application/json\r\n", login(user));
    client.ask_as(method, path, &headers, body)
}

const ROOT: &str = "root:right";
/// Creates the users root and bob, who may read below `/a`, and enables authentication.
const SETUP: [(&str, &str); 4] = [
    ("/v2/auth/users/root", r#"{"user":"root","password":"right"}"#),
    ("/v2/auth/roles/r", r#"{"role":"r","permissions":{"kv":{"read":["/a/*","/b"]}}}"#),
    ("/v2/auth/users/bob", r#"{"user":"bob","password":"right","roles":["r"]}"#),
    ("/v2/auth/enable", ""),
];

fn locked() -> (Running, Client) {
    let server = Running::start();
    let mut client = server.connect();
    for (path, body) in SETUP {
        assert!(ask_as(&mut client, "", "PUT", path, body).status < 300, "{path}");
    }
    (server, client)
}

fn watch(server: &Running, user: &str, target: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET /v2/keys{target} HTTP/1.1\r\nHost: x\r\n{}\r\n", login(user)));
    assert_eq!(client.head().status, 200, "{user} {target}");
    client
}

#[test]
fn the_log_level_is_only_for_root() {
    let server = Running::start();
    let level = r#"{"Level":"INFO"}"#;
    assert_eq!(server.ask("PUT", "/config/local/log", level).status, 204, "authentication is off");
    let (_server, mut client) = locked();
    for (user, status) in [("", 401), ("bob:right", 401), ("root:wrong", 401), (ROOT, 204)] {
        let reply = ask_as(&mut client, user, "PUT", "/config/local/log", level);
        assert_eq!(reply.status, status, "{user}");
    }
}

#[test]
fn a_watch_ends_when_its_client_loses_the_right_to_it() {
    let (server, mut root) = locked();
    let mut of_bob =
        ["/a/?wait=true&recursive=true&stream=true", "/a/x?wait=true", "/b?wait=true&stream=true"]
            .map(|target| watch(&server, "bob:right", target));
    let mut of_guest = watch(&server, "", "/a?wait=true&recursive=true&stream=true");
    let mut of_root = watch(&server, ROOT, "/a?wait=true&recursive=true&stream=true");
    let put = |root: &mut Client, path: &str| {
        assert!(ask_as(root, ROOT, "PUT", path, "").status < 300, "{path}");
    };
    // A change that concerns none of them.
    let other = r#"{"role":"other","permissions":{"kv":{"read":["/a/*"]}}}"#;
    assert_eq!(ask_as(&mut root, ROOT, "PUT", "/v2/auth/roles/other", other).status, 201);
    put(&mut root, "/v2/keys/b?value=1");
    assert!(of_bob[2].chunk().is_some(), "it goes on");
    let revoke = r#"{"role":"r","revoke":{"kv":{"read":["/a/*"]}}}"#;
    assert_eq!(ask_as(&mut root, ROOT, "PUT", "/v2/auth/roles/r", revoke).status, 200);
    put(&mut root, "/v2/keys/a/x?value=secret");
    assert_eq!([of_bob[0].chunk(), of_bob[1].chunk()], [None, None]);
    assert!(of_guest.chunk().is_some() && of_root.chunk().is_some());
    assert_eq!(ask_as(&mut root, ROOT, "DELETE", "/v2/auth/roles/guest", "").status, 200);
    assert_eq!(of_guest.chunk(), None);
    let password = r#"{"user":"bob","password":"other"}"#;
    assert_eq!(ask_as(&mut root, ROOT, "PUT", "/v2/auth/users/bob", password).status, 200);
    assert_eq!(of_bob[2].chunk(), None, "whoever knew the old password");
    put(&mut root, "/v2/keys/a/x?value=2");
    assert!(of_root.chunk().is_some());
}

#[test]
fn a_watch_ends_when_authentication_is_enabled_without_a_right_for_it() {
    let server = Running::start();
    let mut client = server.connect();
    for (path, body) in &SETUP[..3] {
        assert!(ask_as(&mut client, "", "PUT", path, body).status < 300, "{path}");
    }
    let guest = r#"{"role":"guest","permissions":{"kv":{"read":["/open/*"]}}}"#;
    assert_eq!(ask_as(&mut client, "", "PUT", "/v2/auth/roles/guest", guest).status, 201);
    let mut closed = watch(&server, "", "/a?wait=true");
    let mut open = watch(&server, "", "/open/x?wait=true");
    assert_eq!(ask_as(&mut client, "", "PUT", "/v2/auth/enable", "").status, 200);
    assert_eq!(closed.chunk(), None);
    assert!(open.silent());
}

#[test]
fn a_flood_of_wrong_passwords_does_not_keep_out_others() {
    let (server, mut client) = locked();
    let mut flood: Vec<Client> = (0..300)
        .map(|number| {
            let mut client = server.connect();
            let user = login(&format!("root:wrong {number}"));
            client.send(format!("GET /v2/keys/a/x HTTP/1.1\r\nHost: x\r\n{user}\r\n"));
            client
        })
        .collect();
    // From the same address: the queue of 256 would be full.
    let reply = ask_as(&mut client, "bob:right", "GET", "/v2/keys/a/x", "");
    assert_eq!(reply.status, 404, "{}", reply.text());
    assert!(flood.pop().is_some_and(|mut last| last.silent()), "bob did not wait for all of them");
}

/// A server without sockets, whose memory can be looked at.
#[expect(clippy::disallowed_methods, reason = "a test's own task")]
async fn connect(shared: &Arc<Shared>) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 20);
    tokio::spawn(serve(far, ConnState::new(Arc::clone(shared), false, Arc::default())));
    near
}

/// Sends a part of a form, and returns the memory that is taken for it: of all, and of guests.
async fn taken_by(shared: &Arc<Shared>, user: &str) -> [usize; 2] {
    let mut near = connect(shared).await;
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 500000";
    let head = format!("PUT /v2/keys/a/x HTTP/1.1\r\nHost: x\r\n{}{form}\r\n\r\n", login(user));
    near.write_all(head.as_bytes()).await.unwrap();
    near.write_all(&[b'x'; 200_000]).await.unwrap();
    let mut taken = [0; 2];
    // Long enough for a check of the password, which is cached after the first.
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let [bodies, guests, _] = shared.context.taken_memory();
        taken = [bodies, guests];
        if taken != [0, 0] {
            break;
        }
    }
    taken
}

#[tokio::test]
async fn a_form_is_not_taken_in_before_its_login_is_checked() {
    let handle = Handle::in_memory();
    handle.ready().await;
    let shared = Arc::new(Shared::new(&Settings::default(), 100, handle, ServerInfo::default()));
    let is = |taken: [usize; 2]| taken.map(|bytes| bytes > 0);
    assert_eq!(is(taken_by(&shared, "").await), [true, false], "authentication is off");
    for (path, body) in SETUP {
        let mut near = connect(&shared).await;
        let length = body.len();
        let request = format!("PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        near.write_all(request.as_bytes()).await.unwrap();
        let mut said = [0; 12];
        near.read_exact(&mut said).await.unwrap();
        assert!(said.starts_with(b"HTTP/1.1 20"), "{path}");
    }
    assert_eq!(is(taken_by(&shared, "").await), [false, true], "a guest who may write");
    assert_eq!(is(taken_by(&shared, ROOT).await), [true, false]);
    assert_eq!(is(taken_by(&shared, "root:wrong").await), [false, false]);
    let delete = format!("DELETE /v2/auth/roles/guest HTTP/1.1\r\nHost: x\r\n{}\r\n", login(ROOT));
    let mut near = connect(&shared).await;
    near.write_all(delete.as_bytes()).await.unwrap();
    near.read_u8().await.unwrap();
    assert_eq!(is(taken_by(&shared, "").await), [false, false], "a guest who may not write");
}
