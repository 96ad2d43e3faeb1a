//! `/v2/members`.

use super::Running;

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn the_members_are_listed() {
    let server = Running::start();
    let mut client = server.connect();
    let (id, cluster) = server.ids();
    let own = format!(
        "{{\"id\":\"{id}\",\"name\":\"default\",\"peerURLs\":[\"http://127.0.0.1:2380\"],\
         \"clientURLs\":[\"http://127.0.0.1:2379\"]}}"
    );
    for (path, body) in [
        ("/v2/members", format!("{{\"members\":[{own}]}}\n")),
        ("/v2/members/", format!("{{\"members\":[{own}]}}\n")),
        ("/v2/members/leader", format!("{own}\n")),
    ] {
        let reply = client.ask("GET", path, "");
        assert_eq!((reply.status, reply.text()), (200, body), "{path}");
        assert_eq!(reply.header("X-Etcd-Cluster-Id"), cluster);
    }
    let reply = client.ask("GET", &format!("/v2/members/{id}"), "");
    assert_eq!((reply.status, reply.text()), (404, "{\"message\":\"Not found\"}".to_owned()));
}

#[test]
fn only_json_is_accepted_and_its_spelling_matters() {
    let server = Running::start();
    let mut client = server.connect();
    for (kind, status) in [
        ("Application/JSON", 415),
        ("", 415),
        ("text/plain", 415),
        ("Application/JSON;x=y", 400),
        ("application/json", 400),
    ] {
        let header = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let reply = client.ask_as("POST", "/v2/members", &header, "{}");
        assert_eq!(reply.status, status, "{kind}");
        if status == 415 {
            let says = format!("{{\"message\":\"Bad Content-Type {kind}, accept application/json\"}}");
            assert_eq!(reply.text(), says);
        }
    }
}

#[test]
fn ids_and_bodies_are_checked_in_etcds_order() {
    let server = Running::start();
    let mut client = server.connect();
    let (id, cluster) = server.ids();
    let own = format!("/v2/members/{id}");
    let good = "{\"peerURLs\":[\"http://10.0.0.4:2380\"]}";
    for (method, path, body, status, says) in [
        ("DELETE", "/v2/members/0x1234", "", 404, "No such member: 0x1234"),
        ("DELETE", "/v2/members/+1", "", 404, "No such member: +1"),
        ("DELETE", "/v2/members/1234/", "", 404, "No such member: 1234/"),
        ("DELETE", "/v2/members/leader", "", 404, "No such member: leader"),
        ("DELETE", &*own, "", 500, "Internal Server Error"),
        ("PUT", "/v2/members/zz", "{", 404, "No such member: zz"),
        ("PUT", &*own, "{", 400, "unexpected end of JSON input"),
        ("PUT", &*own, "{}", 400, "no valid URLs given"),
        (
            "POST",
            "/v2/members",
            "{\"peerURLs\":[\"http://a:1/\"]}",
            400,
            "URL must not contain a path: http://a:1/",
        ),
        ("POST", "/v2/members", good, 500, "Internal Server Error"),
    ] {
        let reply = client.ask_as(method, path, JSON, body);
        assert_eq!(
            (reply.status, reply.text()),
            (status, format!("{{\"message\":\"{says}\"}}")),
            "{method} {path} {body}"
        );
        assert_eq!(reply.header("X-Etcd-Cluster-Id"), cluster);
    }
    let reply = client.ask_as("PUT", &own, JSON, good);
    assert_eq!((reply.status, reply.text().as_str()), (204, ""));
}
