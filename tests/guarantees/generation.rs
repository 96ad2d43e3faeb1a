//! A service that still runs the old file is detected by the generation, however it is asked.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually, stays};

const TEMPLATE: &str = "{{ getv('/x') }} {{ generation() }}\n";

/// Starts a service that sends the content of `served`, over HTTP or as soon as somebody connects, and the `Host`
/// header that it received.
fn service(dir: &Dir, http: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, served) = (listener.local_addr().unwrap().to_string(), dir.path("served"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = [0; 4096];
            let asked = if http { stream.read(&mut head).unwrap_or(0) } else { 0 };
            let head = String::from_utf8_lossy(&head[..asked]).into_owned();
            let text = fs::read_to_string(&served).unwrap_or_default();
            let host = head.lines().find(|line| line.starts_with("Host:")).unwrap_or_default();
            let answer = if http {
                format!("HTTP/1.1 200 OK\r\nX-{host}\r\nContent-Length: {}\r\n\r\n{text}", text.len())
            } else {
                text
            };
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    address
}

/// Returns every type of probe, with a service behind it.
fn probes(dir: &Dir) -> [(&'static str, String); 3] {
    let (web, plain) = (service(dir, true), service(dir, false));
    [
        ("http", format!("http = 'http://{web}/'\ncontains = '{{{{ generation() }}}}'")),
        ("tcp", format!("tcp = '{plain}'\ncontains = '{{{{ generation() }}}}'")),
        (
            "command",
            "command = 'grep -q \"$RETUNE_GENERATION\" {dir}/served && test -f $RETUNE_DEST'".to_owned(),
        ),
    ]
}

const RELOAD_COPIES: &str = "reload_cmd = 'cp {out}/a.conf {dir}/served'";
const RELOAD_DOES_NOTHING: &str = "reload_cmd = 'true'";

fn resource(dir: &Dir, reload: &str, question: &str) {
    let verify = format!("[template.verify]\n{question}\ntimeout = '400ms'\ninterval = '50ms'\n");
    dir.resource("a", TEMPLATE, &format!("{reload}\n{verify}"));
}

#[test]
fn a_reload_without_effect_is_detected_by_http_by_tcp_and_by_command() {
    let dir = Dir::new();
    for (kind, question) in probes(&dir) {
        dir.write("values.yaml", "x: old\n");
        resource(&dir, RELOAD_COPIES, &question);
        Retune::render(&dir).file("values.yaml").run().exits(0);
        let old = dir.read("out/a.conf").unwrap();
        dir.write("values.yaml", "x: new\n");
        resource(&dir, RELOAD_DOES_NOTHING, &question);
        let refused = Retune::render(&dir).file("values.yaml").run().exits(1);
        refused.says("verification failed").says("the previous file is back").does_not_say("been updated");
        assert_eq!(dir.read("out/a.conf").unwrap(), old, "by {kind}");
        // The negative: without the generation in the probe, nothing would notice.
        let blind =
            question.replace("contains = '{{ generation() }}'", "").replace("\"$RETUNE_GENERATION\"", "old");
        resource(&dir, RELOAD_DOES_NOTHING, &blind);
        Retune::render(&dir).file("values.yaml").run().exits(0).says("been updated");
        assert!(dir.read("served").unwrap().starts_with("old"), "by {kind}");
    }
}

#[test]
fn an_edit_of_the_template_alone_is_verified_too() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: same\n");
    let (_, question) = &probes(&dir)[0];
    resource(&dir, RELOAD_COPIES, question);
    Retune::render(&dir).file("values.yaml").run().exits(0);
    resource(&dir, RELOAD_DOES_NOTHING, question);
    dir.template("a.tmpl", &format!("# edited\n{TEMPLATE}"));
    Retune::render(&dir).file("values.yaml").run().exits(1).says("verification failed");
    assert!(dir.read("out/a.conf").unwrap().starts_with("same"));
}

#[test]
fn every_text_of_the_probe_is_rendered_and_its_keys_are_watched() {
    let dir = Dir::new();
    let web = service(&dir, true);
    dir.write("values.yaml", &format!("x: one\naddress: '{web}'\nhost: a.example\n"));
    let question = "http = \"http://{{ getv('/address') }}/\"\nheaders = [\"Host: {{ getv('/host') }}\"]\n\
                    contains = \"X-Host: {{ getv('/host') }}\"";
    resource(&dir, RELOAD_COPIES, question);
    Retune::render(&dir).file("values.yaml").run().exits(0).says("been updated");
    // A key that only the probe reads is missing: the file could not be verified, so it is not swapped.
    dir.write("values.yaml", "x: two\nhost: a.example\n");
    let failed = Retune::render(&dir).file("values.yaml").run().exits(1);
    failed.says("a.toml: verify.http: key does not exist: /address");
    assert!(dir.read("out/a.conf").unwrap().starts_with("one"));
    // A value that is not valid in a URL is refused, not sent.
    dir.write("values.yaml", &format!("x: two\naddress: \"{web}/ HTTP/1.1\\r\\nX: y\"\nhost: a.example\n"));
    Retune::render(&dir).file("values.yaml").run().exits(1).says("`|urlquery` escapes a value");
}

#[test]
fn check_reports_a_probe_that_can_never_succeed() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    let question = "http = 'http://127.0.0.1:1/'\ncontains = '{{ generation() }}'";
    resource(&dir, RELOAD_COPIES, question);
    Retune::check(&dir).args(&["--data", &dir.text_path("values.yaml")]).run().exits(0);
    dir.template("a.tmpl", "{{ getv('/x') }}\n");
    let found = Retune::check(&dir).args(&["--data", &dir.text_path("values.yaml")]).run().exits(1);
    found.prints("which the template never prints");
    resource(&dir, RELOAD_COPIES, "http = \"http://127.0.0.1/{{ getv('/elsewhere/x') }}\"");
    dir.resource(
        "b",
        TEMPLATE,
        "keys = ['/x']\n[template.verify]\nhttp = \"http://127.0.0.1/{{ getv('/y') }}\"",
    );
    Retune::check(&dir).run().exits(1).prints("verify.http: /y lies outside keys");
}

/// After a kill during a verification, the next run verifies what the file in place must return.
#[test]
fn a_verification_interrupted_by_a_crash_is_repeated_once_the_template_renders() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    let question =
        "command = 'test ! -f {dir}/slow || sleep 60; grep -q \"$RETUNE_GENERATION\" {dir}/served'";
    let verify = format!("[template.verify]\n{question}\ntimeout = '50s'\ninterval = '50ms'\n");
    let reload = "reload_cmd = 'cp {out}/a.conf {dir}/served; echo r >> {dir}/reloads'";
    dir.resource("a", TEMPLATE, &format!("{reload}\n{verify}")).write("slow", "");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("the reload ran", WAIT_TIMEOUT, || dir.lines("reloads").len() == 1);
    daemon.kill();
    // The template fails at first: the reload runs again, and stays pending.
    fs::remove_file(dir.path("slow")).unwrap();
    dir.write("values.yaml", "y: two\n");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    daemon.eventually_says("verified, after one more reload, once its template renders");
    let reloads = dir.lines("reloads").len();
    assert!(reloads >= 2);
    stays("until then it would run in vain", Duration::from_secs(4), || {
        dir.lines("reloads").len() == reloads
    });
    dir.write("values.yaml", "x: one\n");
    daemon.eventually_says("was updated before; its reload is done");
    let reloads = dir.lines("reloads").len();
    stays("no further reload", Duration::from_millis(1500), || dir.lines("reloads").len() == reloads);
    daemon.terminate();
}
