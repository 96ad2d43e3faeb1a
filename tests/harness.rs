//! The harness tests itself, without the program: a test that cannot fail proves nothing.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::thread::{self, sleep};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::front::{Front, assert_totals_agree};
use crate::support::haproxy::Haproxy;
use crate::support::nginx::Nginx;
use crate::support::port::Port;
use crate::support::{Backend, Cable, Class, Dir, Etcd, Kind, Load, WAIT_TIMEOUT, http};

/// Renders a front's template directly, with these servers.
fn render(front: &Front, servers: &[&Backend]) -> String {
    let names: String = servers.iter().map(|server| format!("{} ", server.name())).collect();
    let nginx: String = servers.iter().map(|server| format!("server {};", server.address())).collect();
    let line = |server: &&Backend| format!("\n  server {} {}\n", server.name(), server.address());
    let haproxy: String = servers.iter().map(line).collect();
    let mut text = front.template.clone();
    while let Some(from) = text.find("{% for") {
        let to = from + text[from..].find("{% endfor %}").unwrap() + "{% endfor %}".len();
        let (block, nginx_block) = (&text[from..to], text[from..to].contains("getvs"));
        let value = if nginx_block {
            &nginx
        } else if block.contains("server") {
            &haproxy
        } else {
            &names
        };
        text = format!("{}{value}{}", &text[..from], &text[to..]);
    }
    text
}

fn switch_by_hand(front: &Front, servers: &[&Backend]) {
    fs::write(&front.conf, render(front, servers)).unwrap();
    let check = front.check.replace("{{.src}}", &front.conf);
    for command in [&check, &front.reload] {
        let done = Command::new("sh").args(["-c", command]).output().unwrap();
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let names: Vec<_> = servers.iter().map(|server| server.name()).collect();
    front.eventually_serves(&names);
}

#[test]
fn nginx_reloaded_by_hand_loses_no_fresh_request_and_the_books_agree() {
    let dir = Dir::new();
    let Some(nginx) = Nginx::start(&dir) else { return };
    let (front, blue, green) = (nginx.front(true), Backend::start("blue"), Backend::start("green"));
    switch_by_hand(&front, &[&blue]);
    nginx.until_old_workers_are_gone();
    let load = Load::start(front.port, 2);
    for _ in 0..3 {
        switch_by_hand(&front, &[&blue, &green]);
        switch_by_hand(&front, &[&green]);
        switch_by_hand(&front, &[&blue]);
    }
    nginx.until_old_workers_are_gone();
    let ledger = load.finish();
    eprintln!("{ledger}");
    let complaints = fs::read_to_string(dir.path("nginx/error.log")).unwrap_or_default();
    assert_eq!(ledger.failures(Kind::Fresh), 0, "{ledger}\n{complaints}");
    assert!(ledger.count(Kind::KeepAlivePost, Class::Ok) > 10, "{ledger}");
    assert_totals_agree(&ledger, [&blue, &green]);
}

#[test]
fn haproxy_reloaded_by_hand_loses_nothing_and_a_killed_server_shows() {
    let dir = Dir::new();
    let Some(haproxy) = Haproxy::start(&dir) else { return };
    let (front, blue, green) = (haproxy.front(), Backend::start("blue"), Backend::start("green"));
    switch_by_hand(&front, &[&blue]);
    haproxy.until_old_workers_are_gone();
    let load = Load::start(front.port, 2);
    for _ in 0..3 {
        switch_by_hand(&front, &[&blue, &green]);
        switch_by_hand(&front, &[&green]);
        switch_by_hand(&front, &[&blue]);
    }
    haproxy.until_old_workers_are_gone();
    let ledger = load.finish();
    eprintln!("{ledger}");
    for kind in [Kind::Fresh, Kind::KeepAliveGet, Kind::KeepAlivePost] {
        assert_eq!(ledger.failures(kind), 0, "{ledger}");
    }
    assert_totals_agree(&ledger, [&blue, &green]);

    let load = Load::start(front.port, 2);
    sleep(Duration::from_millis(100));
    blue.kill();
    sleep(Duration::from_millis(300));
    let ledger = load.finish();
    assert!(ledger.count(Kind::Fresh, Class::Non200) > 0, "{ledger}");
}

#[test]
fn load_names_what_became_of_each_request() {
    let port = Port::claim();
    let refused = Load::start(port.number(), 1);
    sleep(Duration::from_millis(50));
    let ledger = refused.finish();
    assert_eq!(ledger.failures(Kind::Fresh), ledger.count(Kind::Fresh, Class::Refused), "{ledger}");

    for (answer, class) in [
        ("", Class::ClosedFresh),
        ("HTTP/1.1 200 OK\r\nContent-", Class::ClosedPartial),
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", Class::Truncated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nblue x\n", Class::WrongBody),
        ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", Class::Non200),
    ] {
        let port = Port::claim();
        let listener = TcpListener::bind(port.address()).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut bytes = [0; 1024];
                std::io::Read::read(&mut &stream, &mut bytes).ok();
                std::io::Write::write_all(&mut &stream, answer.as_bytes()).ok();
            }
        });
        let load = Load::start(port.number(), 1);
        sleep(Duration::from_millis(60));
        let ledger = load.finish();
        assert!(ledger.count(Kind::Fresh, class) > 0, "{class:?}: {ledger}");
        assert_eq!(ledger.count(Kind::Fresh, class), ledger.failures(Kind::Fresh), "{class:?}: {ledger}");
    }
}

#[test]
fn etcd_keeps_its_data_over_a_restart_and_answers_both_apis() {
    let Some(mut etcd) = Etcd::start() else { return };
    etcd.put("/a key/ü", "one & two");
    let second = etcd.put3("/three", b"\xff\xfe");
    assert!(etcd.put3("/three", "text") > second);
    etcd.compact(second);
    etcd.stop();
    assert!(http::get(&etcd.address(), "/health").is_none());
    etcd.start_again();
    let body = http::get(&etcd.address(), "/v2/keys/a%20key/%C3%BC").unwrap();
    assert!(body.contains("one \\u0026 two"), "{body}");
    etcd.delete("/a key");
    assert!(http::get(&etcd.address(), "/v2/keys/a%20key/%C3%BC").is_none());
    etcd.delete3("/three");
    etcd.flood("/noise", 40);
    assert!(http::get(&etcd.address(), "/v2/keys/noise/3").unwrap().contains("\"9\""));
}

#[test]
fn a_cut_cable_ends_what_was_open_and_a_mended_one_works() {
    let server = Backend::start("far");
    let cable = Cable::to(&server.address());
    let address = cable.url().replace("http://", "");
    assert_eq!(http::get(&address, "/").as_deref(), Some("far \n"));
    cable.cut();
    assert!(http::get(&address, "/").is_none());
    cable.mend();
    assert!(http::get(&address, "/").is_some());
}

#[test]
fn a_child_dies_with_its_handle() {
    let mut sleeper = crate::support::proc::Proc::spawn(Command::new("sleep").arg("60"));
    let pid = sleeper.pid();
    assert!(sleeper.ended().is_none());
    sleeper.signal(Signal::SIGTERM);
    assert_eq!(sleeper.wait(WAIT_TIMEOUT), Some(143));
    drop(sleeper);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_proxy_takes_its_workers_with_it() {
    let dir = Dir::new();
    let (Some(nginx), Some(haproxy)) = (Nginx::start(&dir), Haproxy::start(&dir)) else { return };
    let addresses = [nginx.front(true).address, haproxy.front().address];
    drop((nginx, haproxy));
    for address in addresses {
        assert!(std::net::TcpStream::connect(&address).is_err(), "{address} is still open");
    }
}
