//! Verification: what is refused, what is rolled back with it, and what is tried again.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::sleep;
use std::time::Duration;

use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually};

const VALUE: &str = "{{ getv(\"/x\") }}\n";
/// A service that accepts everything, except `bad` until it is fixed.
const VERIFY: &str = "[template.verify]\ncommand = 'test -f {dir}/mended || ! grep -q bad {dir}/served'\ntimeout = '400ms'\ninterval = '100ms'\n";

fn site() -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: good\n");
    dir.resource(
        "a",
        VALUE,
        &format!(
            "reload_cmd = 'cp {{out}}/a.conf {{dir}}/served; cat {{out}}/a.conf >> {{dir}}/reloads'\n{VERIFY}"
        ),
    );
    dir
}

fn rejected_then(between: &str) {
    let dir = site();
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("good", WAIT_TIMEOUT, || dir.lines("reloads") == ["good"]);
    dir.write("values.yaml", "x: bad\n");
    eventually("refused", WAIT_TIMEOUT, || dir.lines("reloads") == ["good", "bad", "good"]);
    dir.assert_has("a.conf", "good\n");
    dir.write("values.yaml", &format!("x: {between}\n"));
    eventually("the one between", WAIT_TIMEOUT, || dir.has("a.conf", &format!("{between}\n")));
    sleep(Duration::from_millis(1000));
    dir.write("mended", "").write("values.yaml", "x: bad\n");
    eventually("tried again", WAIT_TIMEOUT, || dir.has("a.conf", "bad\n"));
    eventually("served", WAIT_TIMEOUT, || dir.read("served").as_deref() == Some("bad\n"));
    daemon.terminate();
}

#[test]
fn rejected_content_is_retried_after_other_good_content() {
    rejected_then("better");
}

#[test]
fn rejected_content_is_retried_after_the_value_was_reverted() {
    rejected_then("good");
}

#[test]
fn both_files_of_a_shared_reload_are_rolled_back_when_only_one_verifies() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: good\n");
    let reload = "reload_cmd = 'cat {out}/a.conf {out}/b.conf > {dir}/served; echo r >> {dir}/reloads'\n";
    dir.resource("a", VALUE, reload).resource("b", "b {{ getv(\"/x\") }}\n", &format!("{reload}{VERIFY}"));
    let render = || Retune::render(&dir).file("values.yaml").run();
    render().exits(0);
    dir.write("values.yaml", "x: bad\n");
    render().exits(1);
    dir.assert_has("a.conf", "good\n");
    dir.assert_has("b.conf", "b good\n");
    assert_eq!(dir.read("served").as_deref(), Some("good\nb good\n"));
    assert_eq!(dir.lines("reloads").len(), 3);
}

#[test]
fn a_removed_file_that_was_restored_is_removed_once_everything_succeeds() {
    let dir = Dir::new();
    dir.write("values.yaml", "sites: {a: 1, b: 2}\n").template("site.tmpl", "{{ item }}\n").write("up", "");
    let fields =
        "src = 'site.tmpl'\ndest = '{out}/{{ item }}.conf'\nfor_each = '/sites'\nkeys = ['/sites']\n";
    let reload = "reload_cmd = 'echo r >> {dir}/reloads'\n";
    let verify = "[template.verify]\ncommand = 'test -f {dir}/up'\ntimeout = '400ms'\ninterval = '100ms'\n";
    dir.conf("sites", &format!("[template]\n{fields}{reload}{verify}"));
    let render = || Retune::render(&dir).file("values.yaml").run();
    render().exits(0);
    fs::remove_file(dir.path("up")).unwrap();
    dir.write("values.yaml", "sites: {a: 1}\n");
    render().exits(1);
    dir.assert_has("b.conf", "b\n");
    dir.write("up", "");
    render().exits(0);
    assert_eq!(dir.outputs(), ["a.conf"]);
}

/// Starts a server that sends this to each connection and then keeps it open.
fn start_keep_open_server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok_and(|size| size > 0) {
                stream.write_all(answer.as_bytes()).ok();
            }
            open.push(stream);
        }
    });
    address
}

#[test]
fn a_complete_response_counts_although_the_server_keeps_the_connection_open() {
    for (answer, passes) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nup\n", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nup\n\r\n0\r\n\r\n", true),
        ("HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nup\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\nup\n", false),
    ] {
        let dir = Dir::new();
        dir.write("values.yaml", "x: one\n");
        let url = format!("http://{}/", start_keep_open_server(answer));
        dir.resource("a", VALUE, &format!("[template.verify]\nhttp = '{url}'\ntimeout = '1500ms'\n"));
        let done = Retune::render(&dir).file("values.yaml").run();
        assert_eq!(done.code == 0, passes, "{answer:?}\n{}", done.stderr);
    }
}
