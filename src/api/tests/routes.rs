//! Routes, methods, redirects, origins, hosts.

use super::super::Settings;
use super::{Client, Running};

#[test]
fn unknown_paths_are_404_with_gos_message() {
    let server = Running::start();
    let mut client = server.connect();
    for path in [
        "/",
        "/v2",
        "/v2/",
        "/v2/keysfoo",
        "/v2/machines/",
        "/version/",
        "/health/",
        "/v2/leader",
        "/v2/auth",
        "/v2/auth/",
        "/v2/auth/enable/",
        "/v2/stats",
        "/v2/stats/",
        "/v2/admin/x",
        "/v1/keys",
        "/v2/config/local/proxy",
        "/v2/membersx",
    ] {
        let reply = client.ask("GET", path, "");
        assert_eq!((reply.status, reply.text().as_str()), (404, "404 page not found\n"), "{path}");
        assert_eq!(reply.header("Content-Type"), "text/plain; charset=utf-8");
        assert_eq!(reply.header("X-Content-Type-Options"), "nosniff");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), "*");
    }
}

#[test]
fn other_methods_are_405_with_the_allowed_ones_in_etcds_order() {
    let server = Running::start();
    let mut client = server.connect();
    for (method, path, allow) in [
        ("PATCH", "/v2/keys/a", "HEAD,GET,PUT,POST,DELETE"),
        ("PATCH", "/v2/members", "GET,POST,DELETE,PUT"),
        ("HEAD", "/v2/members", "GET,POST,DELETE,PUT"),
        ("PUT", "/v2/members", ""),
        ("DELETE", "/v2/members/", ""),
        ("POST", "/v2/machines", "GET,HEAD"),
        ("HEAD", "/v2/stats/self", "GET"),
        ("POST", "/v2/stats/leader", "GET"),
        ("PUT", "/v2/stats/store", "GET"),
        ("HEAD", "/version", "GET"),
        ("POST", "/health", "GET"),
        ("PUT", "/debug/vars", "GET"),
        ("GET", "/config/local/log", "PUT"),
        ("POST", "/v2/auth/enable", "GET,PUT,DELETE"),
        ("PUT", "/v2/auth/users", "GET"),
        ("POST", "/v2/auth/roles/r", "GET,PUT,DELETE"),
    ] {
        let reply = client.ask(method, path, "");
        assert_eq!((reply.status, reply.header("Allow")), (405, allow), "{method} {path}");
        assert_eq!(reply.header("Content-Type"), "text/plain; charset=utf-8");
        if method != "HEAD" {
            assert_eq!(reply.text(), "Method Not Allowed\n");
        }
    }
}

#[test]
fn unclean_paths_redirect_to_clean_ones_with_their_query() {
    let server = Running::start();
    let mut client = server.connect();
    for (path, to) in [
        ("/v2/keys/a//b", "/v2/keys/a/b"),
        ("/v2/keys/a%2F%2Fb?value=1", "/v2/keys/a/b?value=1"),
        ("/v2/keys/../x", "/v2/x"),
        ("/v2/keys/%2e%2e/x", "/v2/x"),
        ("/v2/keys//", "/v2/keys/"),
        ("/v2/keys/./a/", "/v2/keys/a/"),
    ] {
        let reply = client.ask("PUT", path, "value=1");
        assert_eq!((reply.status, reply.header("Location"), reply.text().as_str()), (301, to, ""), "{path}");
    }
    let reply = client.ask("GET", "/v2/keys/a//b?x=1&y='2'", "");
    assert_eq!(reply.header("Content-Type"), "text/html; charset=utf-8");
    let page = "<a href=\"/v2/keys/a/b?x=1&amp;y=&#39;2&#39;\">Moved Permanently</a>.\n\n";
    assert_eq!(reply.text(), page);
    assert_eq!(client.ask("OPTIONS", "/v2//keys", "").status, 200, "OPTIONS is not led anywhere");
}

#[test]
fn an_escaped_slash_is_a_slash() {
    let server = Running::start();
    let reply = server.ask("PUT", "/v2/keys/a%2Fb", "value=1");
    assert!(reply.text().contains("\"key\":\"/a/b\""), "{}", reply.text());
}

#[test]
fn every_reply_has_cors_headers() {
    let server = Running::start();
    for (method, path) in [("GET", "/v2/keys"), ("OPTIONS", "/nowhere"), ("GET", "/version")] {
        let reply = server.ask(method, path, "");
        assert_eq!(reply.header("Access-Control-Allow-Headers"), "accept, content-type, authorization");
        assert_eq!(reply.header("Access-Control-Allow-Methods"), "POST, GET, OPTIONS, PUT, DELETE");
        assert_eq!(reply.header("Access-Control-Allow-Origin"), "*");
    }
}

#[test]
fn with_named_origins_only_those_get_the_headers() {
    let cors = vec!["http://a:1".to_owned(), "http://b:2".to_owned()];
    let server = Running::with(Settings { cors, ..Settings::default() }, |server| server);
    let mut client = server.connect();
    for (origin, allowed) in
        [("Origin: http://b:2\r\n", "http://b:2"), ("Origin: http://c:3\r\n", ""), ("", "")]
    {
        let reply = client.ask_as("OPTIONS", "/v2/keys", origin, "");
        assert_eq!((reply.status, reply.header("Access-Control-Allow-Origin")), (200, allowed), "{origin}");
    }
}

#[test]
fn other_hosts_are_refused_where_hosts_are_named() {
    let settings = Settings { host_whitelist: vec!["x".to_owned()], ..Settings::default() };
    let server = Running::with(settings, |server| server);
    let mut client = server.connect();
    assert_eq!(client.ask("GET", "/version", "").status, 200);
    client.send("GET /version HTTP/1.1\r\nHost: evil:1\r\n\r\n");
    let reply = client.reply("GET");
    assert_eq!(reply.status, 421);
    assert!(reply.text().contains("--host-whitelist \"evil\""), "{}", reply.text());
    assert_eq!(reply.header("Access-Control-Allow-Origin"), "");
}

#[test]
fn what_go_rejects_as_a_request_is_400() {
    let server = Running::start();
    for bad in ["GET / HTTP/1.1\r\n\r\n", "GET /v2/keys/%zz HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut client = server.connect();
        client.send(bad);
        let reply = client.reply("GET");
        assert_eq!((reply.status, reply.header("Connection")), (400, "close"), "{bad}");
        assert!(reply.text().starts_with("400 Bad Request"), "{}", reply.text());
        assert_eq!(client.line(), None);
    }
}

#[test]
fn http_1_0_is_served() {
    let server = Running::start();
    let mut client = server.connect();
    client.send("GET /version HTTP/1.0\r\n\r\n");
    let reply = client.reply("GET");
    assert_eq!((reply.status, client.line()), (200, None));
}

#[test]
fn unexpected_bodies_do_not_end_the_connection() {
    let server = Running::start();
    let mut client = server.connect();
    let large = "x".repeat(1 << 20);
    for (method, path) in [("GET", "/version"), ("DELETE", "/v2/keys/none"), ("PUT", "/nowhere")] {
        client.ask(method, path, &large);
    }
    assert_eq!(client.ask("GET", "/version", "").status, 200);
}

#[test]
fn the_small_endpoints_reply() {
    let server = Running::start();
    let (id, _) = server.ids();
    let mut client = server.connect();
    let mut get = |path: &str| {
        let reply = client.ask("GET", path, "");
        assert_eq!(reply.status, 200, "{path}");
        (reply.header("Content-Type").to_owned(), reply.text())
    };
    let json = "application/json".to_owned();
    let version = "{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}".to_owned();
    assert_eq!(get("/version"), (json.clone(), version));
    let text = "text/plain; charset=utf-8".to_owned();
    assert_eq!(get("/health"), (text.clone(), "{\"health\":\"true\"}".to_owned()));
    assert_eq!(get("/health?exclude=NOSPACE"), (text.clone(), "{\"health\":\"true\"}".to_owned()));
    assert_eq!(get("/v2/machines"), (text, "http://127.0.0.1:2379".to_owned()));
    assert_eq!(get("/v2/auth/enable"), (json.clone(), "{\"enabled\":false}\n".to_owned()));
    let leader = format!("{{\"leader\":\"{id}\",\"followers\":{{}}}}");
    assert_eq!(get("/v2/stats/leader"), (json, leader));
    let (_, own) = get("/v2/stats/self");
    let own: serde_json::Value = serde_json::from_str(&own).unwrap();
    assert_eq!((own["id"].as_str(), own["state"].as_str()), (Some(&*id), Some("StateLeader")));
    let (_, store) = get("/v2/stats/store");
    assert!(store.starts_with("{\"getsSuccess\":") && store.ends_with("\"watchers\":0}"), "{store}");
    let (_, vars) = get("/debug/vars");
    let vars: serde_json::Value = serde_json::from_str(&vars).unwrap();
    assert_eq!(vars["raft.status"]["id"], id);
    let (_, metrics) = get("/metrics");
    for name in ["etcd_server_has_leader 1", "process_max_fds ", "retune_store_queue_length 0"] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
}

#[test]
fn the_log_level_can_be_set() {
    let server = Running::start();
    let mut client = server.connect();
    let mut put = |body: &str| {
        let reply = client.ask("PUT", "/config/local/log", body);
        (reply.status, reply.text())
    };
    assert_eq!(put("{\"Level\":\"DEBUG\"}"), (204, String::new()));
    let message = |says: &str| format!("{{\"message\":\"{says}\"}}");
    assert_eq!(put("{"), (400, message("Invalid json body")));
    assert_eq!(put("[]"), (400, message("Invalid json body")));
    assert_eq!(put("{\"Level\":\"bogus\"}"), (400, message("Invalid log level bogus")));
    assert_eq!(put("null"), (400, message("Invalid log level ")));
}

#[test]
fn pipelined_requests_are_served_in_order() {
    let server = Running::start();
    let mut client: Client = server.connect();
    let get = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
    client.send(format!("{get}{get}PUT /v2/keys/a?value=1 HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert_eq!((client.reply("GET").status, client.reply("GET").status), (200, 200));
    assert_eq!(client.reply("PUT").status, 201);
}
