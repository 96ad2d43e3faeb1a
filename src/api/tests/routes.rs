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
    let cors = Some(vec!["http://a:1".to_owned(), "http://b:2".to_owned()]);
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
    let answered = |request: &str| {
        let mut client = server.connect();
        client.send(request);
        client.reply("GET").status
    };
    // The host in the request line counts, where there is one.
    assert_eq!(answered("GET http://x:1/version HTTP/1.1\r\nHost: x:1\r\n\r\n"), 200);
    assert_eq!(answered("GET http://evil/version HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
    assert_eq!(answered("GET http://evil/version HTTP/1.0\r\n\r\n"), 421);
    assert_eq!(answered("GET http://x@evil/version HTTP/1.0\r\n\r\n"), 421);
    assert_eq!(answered("GET /version HTTP/1.1\r\nHost: x\r\nHost: evil\r\n\r\n"), 400);
    assert_eq!(answered("GET /version HTTP/1.1\r\nHost: evil\r\nHost: x\r\n\r\n"), 400);
}

/// Returns the status of a request without a body.
fn asked(client: &mut Client, method: &str, target: &str, headers: &str) -> u16 {
    client.send(format!("{method} {target} HTTP/1.1\r\n{headers}Content-Length: 0\r\n\r\n"));
    client.reply(method).status
}

const PROGRAM: &str = "Host: 127.0.0.1:1\r\n";
const OTHER_PAGE: &str = "Host: 127.0.0.1:1\r\nOrigin: http://evil.example\r\n";
const OWN_PAGE: &str = "Host: 127.0.0.1:1\r\nOrigin: http://127.0.0.1:1\r\n";

#[test]
fn a_web_page_of_another_server_cannot_write() {
    let server = Running::start();
    let mut client = server.connect();
    let mut put = |headers: &str| asked(&mut client, "PUT", "/v2/keys/a?value=1", headers);
    assert_eq!(put(PROGRAM), 201);
    assert_eq!(put(OWN_PAGE), 200);
    assert_eq!(
        put(&format!("{OTHER_PAGE}Sec-Fetch-Site: same-origin\r\n")),
        200,
        "a front that renames hosts"
    );
    assert_eq!(put(OTHER_PAGE), 403);
    for headers in ["Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n", "Origin: null\r\n"] {
        assert_eq!(put(&format!("{PROGRAM}{headers}")), 403, "{headers}");
    }
    assert_eq!(put(&format!("{OWN_PAGE}Sec-Fetch-Site: cross-site\r\n")), 403);
    // A name of the page's own server that now resolves to this one.
    assert_eq!(put("Host: evil.example\r\nOrigin: http://evil.example\r\n"), 403);
    assert_eq!(put("Host: evil.example\r\nSec-Fetch-Site: same-origin\r\n"), 403);
    for (method, target) in [
        ("POST", "/v2/keys/a?value=2"),
        ("DELETE", "/v2/keys/a"),
        ("PUT", "/v2/auth/users/root"),
        ("PUT", "/v2/auth/enable"),
        ("POST", "/v2/members"),
        ("PUT", "/config/local/log"),
        ("PUT", "/v2//keys/a"),
    ] {
        assert_eq!(asked(&mut client, method, target, OTHER_PAGE), 403, "{method} {target}");
    }
    for (method, wanted) in [("GET", 200), ("HEAD", 200), ("OPTIONS", 200)] {
        assert_eq!(asked(&mut client, method, "/v2/keys/a", OTHER_PAGE), wanted, "{method}");
    }
    let form = "Origin: http://evil.example\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let reply = client.ask_as("PUT", "/v2/keys/a", form, "value=2");
    assert_eq!((reply.status, reply.header("Access-Control-Allow-Origin")), (403, "*"));
    let says = "{\"message\":\"a web page of another server (http://evil.example) may not change anything here; if it \
                should, add its origin to --cors\"}";
    assert_eq!(reply.text(), says);
    assert!(client.ask("GET", "/v2/keys/a", "").text().contains("\"value\":\"1\""));
}

#[test]
fn pages_of_listed_origins_and_hosts_may_write() {
    let put = |settings: Settings, headers: &str| {
        let server = Running::with(settings, |server| server);
        asked(&mut server.connect(), "PUT", "/v2/keys/a", headers)
    };
    let cors = |list: &str| Settings { cors: Some(vec![list.to_owned()]), ..Settings::default() };
    assert_eq!(put(cors("*"), OTHER_PAGE), 201);
    assert_eq!(put(cors("http://evil.example"), &format!("{OTHER_PAGE}Sec-Fetch-Site: cross-site\r\n")), 201);
    // etcd's lists have ports, browsers leave the usual one out.
    assert_eq!(put(cors("http://evil.example:80"), OTHER_PAGE), 201);
    for other in ["http://evil.example:443", "https://evil.example:80", "http://good.example:80"] {
        assert_eq!(put(cors(other), OTHER_PAGE), 403, "{other}");
    }
    assert_eq!(put(cors("http://good.example:80"), OWN_PAGE), 201);
    let host_whitelist = vec!["ui.example".to_owned()];
    let named = Settings { host_whitelist, ..Settings::default() };
    assert_eq!(put(named, "Host: ui.example\r\nOrigin: https://ui.example\r\n"), 201);
}

#[test]
fn what_go_rejects_as_a_request_is_400() {
    let server = Running::start();
    let write = "PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\n";
    for bad in [
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET /v2/keys/%zz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n".to_owned(),
        format!("{write}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{write}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        let mut client = server.connect();
        client.send(&bad);
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
