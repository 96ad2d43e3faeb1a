//! The stop.

use std::time::{Duration, Instant};

use super::super::{ApiError, Server, Settings};
use super::Running;

#[test]
fn a_stop_closes_watches_and_idle_connections_at_once() {
    let server = Running::start();
    let mut resting = server.connect();
    resting.ask("GET", "/version", "");
    let mut watch = server.connect();
    watch.send("GET /v2/keys/w?wait=true&stream=true HTTP/1.1\r\nHost: x\r\n\r\n");
    watch.head();
    let address = server.address;
    let begun = Instant::now();
    server.end().unwrap();
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(watch.line(), None, "no end chunk: the watch did not end, the server did");
    assert_eq!(resting.line(), None);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn an_endless_request_does_not_delay_the_stop() {
    let server = Running::start();
    let mut stuck = server.connect();
    stuck.send("PUT /v2/keys/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n");
    stuck.send("Content-Length: 100\r\n\r\nvalue=");
    assert!(stuck.silent());
    let begun = Instant::now();
    server.end().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn unusable_listen_urls_are_named() {
    let bind = |url: &str| {
        let settings = Settings { listen_client_urls: vec![url.to_owned()], ..Settings::default() };
        Server::bind(&settings)
    };
    for (url, says) in [
        ("127.0.0.1:0", "write http://IP:PORT"),
        ("unix://127.0.0.1:0", "only http and https"),
        ("http://127.0.0.1", "the port is missing"),
        ("http://127.0.0.1:99999", "not a number up to 65535"),
        ("http://foo.example.com:1", "expected an IP or localhost"),
        ("https://127.0.0.1:0", "--cert-file"),
        ("HTTPS://127.0.0.1:0", "--cert-file"),
    ] {
        let error = bind(url).unwrap_err().to_string();
        assert!(error.contains(says), "{url}: {error}");
    }
    let first = bind("http://localhost:0").unwrap();
    let taken = first.client_urls().remove(0);
    assert!(taken.starts_with("http://localhost:") && !taken.ends_with(":0"), "{taken}");
    let error = bind(&taken).unwrap_err();
    assert!(matches!(error, ApiError::Listen { .. }));
    assert!(error.to_string().contains("another process listens there"), "{error}");
}

#[tokio::test]
async fn a_port_in_use_by_an_own_url_is_not_blamed_on_another_process() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bind = |urls: &[String]| {
        Server::bind(&Settings { listen_client_urls: urls.to_vec(), ..Settings::default() })
    };
    let (every, one) = (format!("http://0.0.0.0:{free}"), format!("http://127.0.0.1:{free}"));
    let error = bind(&[every.clone(), one.clone()]).unwrap_err().to_string();
    assert_eq!(error, format!("{one}: this port is listened on by {every} already; remove one of them"));
    let named = format!("http://localhost:{free}");
    assert_eq!(bind(&[one.clone(), named.clone()]).unwrap().client_urls(), [one, named]);
}
