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
use crate::support::{
    Backend, Dir, Etcd, Load, RequestKind, ResponseClass, TcpRelay, WAIT_TIMEOUT, eventually, http,
};

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

fn switch_manually(front: &Front, servers: &[&Backend]) {
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
fn a_manual_nginx_reload_loses_no_new_request_and_the_totals_agree() {
    let dir = Dir::new();
    let Some(nginx) = Nginx::start(&dir) else { return };
    let (front, blue, green) = (nginx.front(true), Backend::start("blue"), Backend::start("green"));
    switch_manually(&front, &[&blue]);
    nginx.until_old_workers_are_gone();
    let load = Load::start(front.port, 2);
    for _ in 0..3 {
        switch_manually(&front, &[&blue, &green]);
        switch_manually(&front, &[&green]);
        switch_manually(&front, &[&blue]);
    }
    nginx.until_old_workers_are_gone();
    let request_log = load.finish();
    eprintln!("{request_log}");
    let complaints = fs::read_to_string(dir.path("nginx/error.log")).unwrap_or_default();
    assert_eq!(request_log.failures(RequestKind::Fresh), 0, "{request_log}\n{complaints}");
    assert!(request_log.count(RequestKind::KeepAlivePost, ResponseClass::Ok) > 10, "{request_log}");
    assert_totals_agree(&request_log, [&blue, &green]);
}

#[test]
fn a_manual_haproxy_reload_loses_nothing_and_a_killed_server_is_detected() {
    let dir = Dir::new();
    let Some(haproxy) = Haproxy::start(&dir) else { return };
    let (front, blue, green) = (haproxy.front(), Backend::start("blue"), Backend::start("green"));
    switch_manually(&front, &[&blue]);
    haproxy.until_old_workers_are_gone();
    let load = Load::start(front.port, 2);
    for _ in 0..3 {
        switch_manually(&front, &[&blue, &green]);
        switch_manually(&front, &[&green]);
        switch_manually(&front, &[&blue]);
    }
    haproxy.until_old_workers_are_gone();
    let request_log = load.finish();
    eprintln!("{request_log}");
    for kind in [RequestKind::Fresh, RequestKind::KeepAliveGet, RequestKind::KeepAlivePost] {
        assert_eq!(request_log.failures(kind), 0, "{request_log}");
    }
    assert_totals_agree(&request_log, [&blue, &green]);

    let load = Load::start(front.port, 2);
    sleep(Duration::from_millis(100));
    blue.kill();
    sleep(Duration::from_millis(300));
    let request_log = load.finish();
    assert!(request_log.count(RequestKind::Fresh, ResponseClass::Non200) > 0, "{request_log}");
}

#[test]
fn the_load_log_has_the_outcome_of_each_request() {
    let port = Port::claim();
    let refused = Load::start(port.number(), 1);
    sleep(Duration::from_millis(50));
    let request_log = refused.finish();
    assert_eq!(
        request_log.failures(RequestKind::Fresh),
        request_log.count(RequestKind::Fresh, ResponseClass::Refused),
        "{request_log}"
    );

    for (answer, class) in [
        ("", ResponseClass::ClosedFresh),
        ("HTTP/1.1 200 OK\r\nContent-", ResponseClass::ClosedPartial),
        ("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf", ResponseClass::Truncated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nblue x\n", ResponseClass::WrongBody),
        ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", ResponseClass::Non200),
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
        let request_log = load.finish();
        assert!(request_log.count(RequestKind::Fresh, class) > 0, "{class:?}: {request_log}");
        assert_eq!(
            request_log.count(RequestKind::Fresh, class),
            request_log.failures(RequestKind::Fresh),
            "{class:?}: {request_log}"
        );
    }
}

#[test]
fn etcd_keeps_its_data_over_a_restart_and_serves_both_apis() {
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
fn a_cut_relay_closes_open_connections_and_a_restored_one_works() {
    let server = Backend::start("far");
    let relay = TcpRelay::to(&server.address());
    let address = relay.url().replace("http://", "");
    assert_eq!(http::get(&address, "/").as_deref(), Some("far \n"));
    relay.cut();
    assert!(http::get(&address, "/").is_none());
    relay.restore();
    assert!(http::get(&address, "/").is_some());
}

#[test]
fn a_child_is_killed_when_its_handle_is_dropped() {
    let mut sleeper = crate::support::proc::Proc::spawn(Command::new("sleep").arg("60"));
    let pid = sleeper.pid();
    assert!(sleeper.ended().is_none());
    sleeper.signal(Signal::SIGTERM);
    assert_eq!(sleeper.wait(WAIT_TIMEOUT), Some(143));
    drop(sleeper);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn a_proxys_workers_end_with_it() {
    let dir = Dir::new();
    let (Some(nginx), Some(haproxy)) = (Nginx::start(&dir), Haproxy::start(&dir)) else { return };
    let addresses = [nginx.front(true).address, haproxy.front().address];
    drop((nginx, haproxy));
    for address in addresses {
        // A killed process closes its sockets after its parent was told of its end.
        eventually("its port is closed", WAIT_TIMEOUT, || std::net::TcpStream::connect(&address).is_err());
    }
}
