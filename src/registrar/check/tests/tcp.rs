//! Connections that stay, and those that do not.

use super::*;

#[tokio::test]
async fn accepted_and_ended_at_once_as_dockers_proxy_does_is_a_failure() {
    let error_text = run_against(check(CheckKind::Tcp), async |stream| drop(stream)).await.unwrap_err();
    assert_eq!(error_text, "accepted and closed at once: nothing listens behind the port");
}

#[tokio::test]
async fn accepted_and_reset_is_a_failure() {
    let error_text = run_against(check(CheckKind::Tcp), reset_later).await.unwrap_err();
    assert_eq!(error_text, "accepted, then broken at once: Connection reset by peer");
    let at_once = async |stream: TcpStream| stream.set_zero_linger().unwrap();
    let error_text = run_against(check(CheckKind::Tcp), at_once).await.unwrap_err();
    assert!(error_text.ends_with("Connection reset by peer"), "{error_text}");
}

#[tokio::test]
async fn accepted_and_silent_passes() {
    let begun = Instant::now();
    assert_eq!(run_against(check(CheckKind::Tcp), hold).await, Ok(()));
    assert!(begun.elapsed() >= millis(100), "it was not looked at for long enough: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_sends_something_passes_even_if_it_then_hangs_up() {
    let greeting = async |mut stream: TcpStream| stream.write_all(b"220 hello\r\n").await.unwrap();
    assert_eq!(run_against(check(CheckKind::Tcp), greeting).await, Ok(()));
}

#[tokio::test]
async fn with_a_short_timeout_it_waits_for_half_of_it_and_passes() {
    let quick = Check { timeout: millis(40), ..check(CheckKind::Tcp) };
    assert_eq!(run_against(quick, hold).await, Ok(()));
}

#[tokio::test]
async fn a_refused_connection_is_reported_with_its_address() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error_text = check(CheckKind::Tcp).reach(&at("127.0.0.1", free)).await.unwrap_err();
    assert_eq!(error_text, format!("no connection to 127.0.0.1:{free}: Connection refused"));
}

#[tokio::test]
async fn a_server_that_accepts_nothing_times_out() {
    // A full queue of one: the system drops further attempts, as an unreachable host does.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    let error_text = quick_check(CheckKind::Tcp).reach(&at("127.0.0.1", address.port())).await.unwrap_err();
    assert_eq!(error_text, "no connection within 150ms");
    assert!(begun.elapsed() < millis(1500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn ipv6_addresses_are_checked_too() {
    assert_eq!(run_against_at("::1", check(CheckKind::Tcp), hold).await, Ok(()));
    let ended = run_against_at("::1", check(CheckKind::Tcp), async |stream| drop(stream)).await;
    assert!(ended.unwrap_err().starts_with("accepted and closed at once"));
}
