//! Reads and writes of keys.

use super::Running;

#[test]
fn writes_and_reads_have_etcds_bodies_and_headers() {
    let server = Running::start();
    let mut client = server.connect();
    let at = server.index() + 1;
    let reply = client.ask("PUT", "/v2/keys/a", "value=one");
    let node = format!("\"modifiedIndex\":{at},\"createdIndex\":{at}");
    let set = format!("{{\"action\":\"set\",\"node\":{{\"key\":\"/a\",\"value\":\"one\",{node}}}}}\n");
    assert_eq!((reply.status, reply.text()), (201, set));
    let index = at.to_string();
    for (name, value) in [
        ("Content-Type", "application/json"),
        ("X-Etcd-Cluster-Id", &server.ids().1),
        ("X-Etcd-Index", &index),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    let position = server.handle.position();
    assert_eq!(reply.header("X-Raft-Index"), position.index.to_string());
    assert_eq!(reply.header("X-Raft-Term"), position.term.to_string());
    let get = format!("{{\"action\":\"get\",\"node\":{{\"key\":\"/a\",\"value\":\"one\",{node}}}}}\n");
    for target in ["/v2/keys/a", "/v2/keys/a/", "/v2/keys/a?quorum=true", "/v2/keys/a?quorum=true&wait=true"]
    {
        let reply = client.ask("GET", target, "");
        assert_eq!((reply.status, reply.text()), (200, get.clone()), "{target}");
        assert_eq!(reply.header("Content-Length"), get.len().to_string());
        assert_eq!(reply.header("X-Raft-Term"), position.term.to_string());
    }
    let head = client.ask("HEAD", "/v2/keys/a?quorum=true", "");
    assert_eq!((head.status, head.header("X-Etcd-Index")), (200, index.as_str()));
    assert_eq!(head.header("Content-Length"), get.len().to_string());
}

#[test]
fn a_write_shows_the_node_before_it() {
    let server = Running::start();
    let mut client = server.connect();
    let at = server.index() + 1;
    client.ask("PUT", "/v2/keys/a", "value=one");
    let reply = client.ask("PUT", "/v2/keys/a?prevValue=one", "value=two");
    let body = format!(
        "{{\"action\":\"compareAndSwap\",\"node\":{{\"key\":\"/a\",\"value\":\"two\",\"modifiedIndex\":{},\
         \"createdIndex\":{at}}},\"prevNode\":{{\"key\":\"/a\",\"value\":\"one\",\"modifiedIndex\":{at},\
         \"createdIndex\":{at}}}}}\n",
        at + 1
    );
    assert_eq!((reply.status, reply.text()), (200, body));
    let reply = client.ask("DELETE", "/v2/keys/a", "");
    assert!(reply.text().starts_with("{\"action\":\"delete\",\"node\":{\"key\":\"/a\",\"modifiedIndex\":"));
}

#[test]
fn requests_become_the_operations_that_etcd_makes_of_them() {
    let server = Running::start();
    let mut client = server.connect();
    for (method, target, body, status, action) in [
        ("PUT", "/v2/keys/a", "value=1", 201, "set"),
        ("PUT", "/v2/keys/a", "value=2", 200, "set"),
        ("PUT", "/v2/keys/a?prevExist=true", "value=3", 200, "update"),
        ("PUT", "/v2/keys/a?prevExist=true&prevValue=3", "value=4", 200, "compareAndSwap"),
        ("PUT", "/v2/keys/a?prevExist=true&prevIndex=0", "value=5", 200, "update"),
        ("PUT", "/v2/keys/b?prevExist=false&prevValue=zz", "value=1", 201, "create"),
        ("POST", "/v2/keys/q?prevValue=zz", "value=1", 201, "create"),
        ("PUT", "/v2/keys/d?dir=true", "", 201, "set"),
        ("DELETE", "/v2/keys/d?dir=true", "", 200, "delete"),
        ("DELETE", "/v2/keys/a?prevValue=5", "", 200, "compareAndDelete"),
        ("DELETE", "/v2/keys/q?recursive=true", "", 200, "delete"),
        ("GET", "/v2/keys/b", "", 200, "get"),
    ] {
        let reply = client.ask(method, target, body);
        let begins = format!("{{\"action\":\"{action}\",");
        assert_eq!(reply.status, status, "{method} {target}: {}", reply.text());
        assert!(reply.text().starts_with(&begins), "{method} {target}: {}", reply.text());
    }
}

#[test]
fn no_value_on_success_keeps_the_action() {
    let server = Running::start();
    let reply = server.ask("PUT", "/v2/keys/a?noValueOnSuccess=true", "value=1");
    assert_eq!((reply.status, reply.text()), (201, "{\"action\":\"set\"}\n".to_owned()));
    let reply = server.ask("DELETE", "/v2/keys/a?noValueOnSuccess=true", "");
    assert!(reply.text().contains("prevNode"), "{}", reply.text());
}

#[test]
fn errors_have_their_code_status_and_index() {
    let server = Running::start();
    let mut client = server.connect();
    let at = server.index() + 1;
    client.ask("PUT", "/v2/keys/a", "value=1");
    for (method, target, status, body) in [
        (
            "GET",
            "/v2/keys/x/y",
            404,
            format!("100,\"message\":\"Key not found\",\"cause\":\"/x\",\"index\":{at}"),
        ),
        (
            "PUT",
            "/v2/keys/a?prevValue=2",
            412,
            format!("101,\"message\":\"Compare failed\",\"cause\":\"[2 != 1]\",\"index\":{at}"),
        ),
        (
            "PUT",
            "/v2/keys",
            400,
            format!("107,\"message\":\"Root is read only\",\"cause\":\"/\",\"index\":{at}"),
        ),
        (
            "GET",
            "/v2/keys/a?recursive=x",
            400,
            "209,\"message\":\"Invalid field\",\"cause\":\"invalid value for \\\"recursive\\\"\",\"index\":0"
                .to_owned(),
        ),
    ] {
        let reply = client.ask(method, target, "");
        let body = format!("{{\"errorCode\":{body}}}\n");
        assert_eq!((reply.status, reply.text()), (status, body.clone()), "{target}");
        let index = body.trim_end_matches("}\n").rsplit(':').next().unwrap().to_owned();
        assert_eq!(reply.header("X-Etcd-Index"), index, "{target}");
        assert_eq!(reply.header("X-Etcd-Cluster-Id"), server.ids().1);
        assert_eq!((reply.header("X-Raft-Index"), reply.header("X-Raft-Term")), ("", ""));
    }
}

#[test]
fn listings_omit_hidden_keys_and_stop_at_the_requested_depth() {
    let server = Running::start();
    let mut client = server.connect();
    let empty = client.ask("GET", "/v2/keys", "").text();
    assert_eq!(empty, "{\"action\":\"get\",\"node\":{\"dir\":true}}\n");
    for key in ["d/e/f", "d/b", "d/_h/x", "d/a_b"] {
        client.ask("PUT", &format!("/v2/keys/{key}"), "value=<v>");
    }
    let keys = |text: &str| -> Vec<String> {
        text.match_indices("\"key\":\"")
            .map(|(at, start)| text[at + start.len()..].split('"').next().unwrap().to_owned())
            .collect()
    };
    let flat = client.ask("GET", "/v2/keys/d?sorted=true", "").text();
    assert_eq!(keys(&flat), ["/d", "/d/a_b", "/d/b", "/d/e"]);
    let deep = client.ask("GET", "/v2/keys?recursive=true&sorted=true", "").text();
    assert_eq!(keys(&deep), ["/d", "/d/a_b", "/d/b", "/d/e", "/d/e/f"]);
    let parsed: serde_json::Value = serde_json::from_str(&deep).unwrap();
    assert_eq!(parsed["node"]["nodes"][0]["nodes"][2]["nodes"][0]["value"], "<v>");
    assert_eq!(parsed["node"]["nodes"][0]["nodes"][2]["dir"], true);
    assert!(deep.contains("\\u003cv\\u003e"), "{deep}");
    let inside = client.ask("GET", "/v2/keys/d/_h", "").text();
    assert_eq!(keys(&inside), ["/d/_h", "/d/_h/x"]);
}

#[test]
fn keys_of_any_bytes_are_shown_as_go_would() {
    let server = Running::start();
    let mut client = server.connect();
    for (path, shown) in [
        ("a%20%3F%23%25+", "/a ?#%+"),
        ("q%22%5C", "/q\\\"\\\\"),
        ("%00%0A%08", "/\\u0000\\n\\u0008"),
        ("%ff/x", "/\\ufffd/x"),
        ("%C3%A9", "/é"),
    ] {
        let reply = client.ask("PUT", &format!("/v2/keys/k/{path}"), "value=1");
        assert!(reply.text().contains(&format!("\"key\":\"/k{shown}\"")), "{path}: {}", reply.text());
        let listed = client.ask("GET", "/v2/keys?recursive=true", "").text();
        assert!(listed.contains(&format!("\"key\":\"/k{shown}\"")), "{path}: {listed}");
        serde_json::from_str::<serde_json::Value>(&listed).unwrap();
        client.ask("DELETE", "/v2/keys/k?recursive=true", "");
    }
}

#[test]
fn a_ttl_shows_as_expiration_and_seconds_left() {
    let server = Running::start();
    let mut client = server.connect();
    let reply = client.ask("PUT", "/v2/keys/t?ttl=100", "value=1").text();
    assert!(reply.contains("\",\"expiration\":\"2") && reply.contains("Z\",\"ttl\":100,\"modifiedIndex\""));
    let reply = client.ask("GET", "/v2/keys/t", "").text();
    assert!(reply.contains("\"ttl\":100,"), "{reply}");
    let reply = client.ask("PUT", "/v2/keys/t?ttl=10000000000", "value=1").text();
    assert!(!reply.contains("\"node\":{\"key\":\"/t\",\"value\":\"1\",\"expiration\""), "{reply}");
}

#[test]
fn a_tree_deeper_than_a_stack_is_listed() {
    let server = Running::start();
    let mut client = server.connect();
    let path = "/a".repeat(2_800);
    assert_eq!(client.ask("PUT", &format!("/v2/keys{path}"), "value=1").status, 201);
    // With many more levels, the paths of its parents would take gigabytes.
    assert_eq!(client.ask("PUT", &format!("/v2/keys{}", "/a".repeat(20_000)), "value=1").status, 400);
    let reply = client.ask("GET", &format!("/v2/keys{}?recursive=true", "/a".repeat(2_790)), "");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text().matches("\"key\"").count(), 11);
}

#[test]
fn chunked_bodies_are_joined() {
    let server = Running::start();
    let mut client = server.connect();
    client.send(
        "PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: Application/X-WWW-form-urlencoded; charset=utf-8\r\n\r\n\
         6\r\nvalue=\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    let reply = client.reply("PUT");
    assert!(reply.text().contains("\"value\":\"abc\""), "{}", reply.text());
    client.send(
        "PUT /v2/keys/b HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n",
    );
    assert_eq!(client.line().as_deref(), Some("HTTP/1.1 100 Continue"));
    client.line();
    client.send("value=z");
    assert!(client.reply("PUT").text().contains("\"value\":\"z\""));
    let ignored = client.ask_as("PUT", "/v2/keys/c", "Content-Type: text/plain\r\n", "value=z").text();
    assert!(ignored.contains("\"value\":\"\""), "{ignored}");
}
