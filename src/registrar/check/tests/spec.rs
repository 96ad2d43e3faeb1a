//! From `SERVICE_CHECK_*` to checks.

use super::super::duration::parse_duration;
use super::*;
use crate::registrar::container::Protocol;

fn read(attributes: &[(&str, &str)]) -> Result<Option<Check>, String> {
    of(&service(attributes), &defaults())
}

#[track_caller]
fn asked(attributes: &[(&str, &str)]) -> CheckKind {
    read(attributes).unwrap().unwrap().kind
}

#[track_caller]
fn refused(attributes: &[(&str, &str)], words: &[&str]) {
    let error_text = read(attributes).unwrap_err();
    for word in words {
        assert!(error_text.contains(word), "{word:?} is not in: {error_text}");
    }
}

fn http(path: &str, https: bool, method: &str, verify: bool) -> CheckKind {
    let (method, path) = (method.to_owned(), path.to_owned());
    CheckKind::Http { https, method, path, verify, any_status: false }
}

fn grpc(tls: bool, verify: bool, service: &str) -> CheckKind {
    CheckKind::Grpc { tls, verify, service: service.to_owned() }
}

#[test]
fn without_a_setting_there_is_no_check() {
    for attributes in [
        &[][..],
        &[("region", "west"), ("check_initial_status", "passing"), ("check_deregister_after", "10m")],
        &[("check_http", ""), ("check_https", "  "), ("check_cmd", ""), ("check_tcp", ""), ("check_ttl", "")],
        &[("check_tcp", "false"), ("check_grpc", "0")],
        &[("check_interval", "nonsense"), ("check_rise", "-1")],
    ] {
        assert_eq!(read(attributes), Ok(None), "{attributes:?}");
    }
}

#[test]
fn each_kind_of_check_is_parsed() {
    assert_eq!(asked(&[("check_http", "/health")]), http("/health", false, "GET", true));
    let head = [("check_http", "/"), ("check_http_method", "head"), ("check_https_method", "POST")];
    assert_eq!(asked(&head), http("/", false, "HEAD", true));
    let https = [("check_https", "/?a=b"), ("check_https_method", "OPTIONS"), ("check_tls_skip_verify", "1")];
    assert_eq!(asked(&https), http("/?a=b", true, "OPTIONS", false));
    for value in ["true", "1", "8080", "yes"] {
        assert_eq!(asked(&[("check_tcp", value)]), CheckKind::Tcp);
    }
    assert_eq!(asked(&[("check_grpc", "true")]), grpc(false, true, ""));
    let tls =
        [("check_grpc", "shop.Carts"), ("check_grpc_use_tls", "true"), ("check_tls_skip_verify", "TRUE")];
    assert_eq!(asked(&tls), grpc(true, false, "shop.Carts"));
}

#[test]
fn of_several_checks_the_first_in_registrators_order_counts() {
    let mut all = vec![
        ("check_http", "/a"),
        ("check_https", "/b"),
        ("check_cmd", "c"),
        ("check_tcp", "true"),
        ("check_grpc", "true"),
    ];
    let want = [
        http("/a", false, "GET", true),
        http("/b", true, "GET", true),
        CheckKind::Command(vec!["c".to_owned()]),
        CheckKind::Tcp,
        grpc(false, true, ""),
    ];
    for want in want {
        assert_eq!(asked(&all), want);
        all.remove(0);
    }
}

#[test]
fn a_consul_only_check_is_reported_with_its_alternative() {
    refused(
        &[("check_script", "curl x"), ("check_tcp", "true")],
        &["SERVICE_CHECK_SCRIPT", "on the host", "CHECK_CMD"],
    );
    refused(&[("check_ttl", "30s")], &["SERVICE_CHECK_TTL", "Consul", "CHECK_CMD"]);
    assert_eq!(asked(&[("check_script", "x"), ("check_http", "/")]), http("/", false, "GET", true));
}

#[test]
fn commands_are_split_as_a_shell_does_and_get_the_services_address() {
    let argv = |line| match asked(&[("check_cmd", line)]) {
        CheckKind::Command(argv) => argv,
        other => panic!("{other:?}"),
    };
    assert_eq!(argv("pg_isready  -q"), ["pg_isready", "-q"]);
    assert_eq!(
        argv("sh -c 'curl -f \"http://$SERVICE_IP:$SERVICE_PORT/\" || exit 1'"),
        ["sh", "-c", "curl -f \"http://10.0.0.9:32768/\" || exit 1"]
    );
    refused(&[("check_cmd", "sh -c 's3cret")], &["SERVICE_CHECK_CMD", "open quote"]);
    assert!(!read(&[("check_cmd", "sh -c 's3cret")]).unwrap_err().contains("s3cret"));
    refused(&[("check_cmd", "# nothing")], &["SERVICE_CHECK_CMD", "no command"]);
    refused(&[("check_cmd", "curl x || exit 1")], &["without a shell", "sh -c"]);
    refused(&[("check_cmd", &"x".repeat(5000))], &["longer than 4096"]);
}

#[test]
fn intervals_and_counts_come_from_the_service_or_the_defaults() {
    let check = read(&[("check_tcp", "true")]).unwrap().unwrap();
    assert_eq!(check, bare_tcp(&defaults()));
    let check = read(&[
        ("check_tcp", "true"),
        ("check_interval", "1m30s"),
        ("check_timeout", "2m"),
        ("check_rise", "2"),
        ("check_fall", "100"),
    ]);
    let check = check.unwrap().unwrap();
    assert_eq!((check.interval, check.timeout), (millis(90_000), millis(120_000)));
    assert_eq!((check.rise, check.fall), (2, 100));
}

#[test]
fn a_bad_value_is_reported_with_a_valid_example() {
    for (key, value, words) in [
        ("check_interval", "soon", "write one such as 10s"),
        ("check_interval", "-5s", "write one such as 10s"),
        ("check_interval", "1ms", "from 10ms to 1h"),
        ("check_interval", "61m", "from 10ms to 1h"),
        ("check_timeout", "0", "from 1ms to 1h"),
        ("check_timeout", "2h", "from 1ms to 1h"),
        ("check_rise", "0", "from 1 to 100"),
        ("check_fall", "101", "from 1 to 100"),
        ("check_fall", "two", "from 1 to 100"),
        ("check_http", "health", "begins with a slash"),
        ("check_http", "http://x/health", "write only its path"),
        ("check_https", "https://x/health", "write only its path"),
        ("check_http", "/a b", "as %20"),
        ("check_http_method", "PUT /x", "write GET, HEAD, OPTIONS or POST"),
        ("check_tls_skip_verify", "maybe", "neither true nor false"),
    ] {
        let kind = if key.starts_with("check_https") { ("check_https", "/") } else { ("check_http", "/") };
        refused(&[kind, (key, value)], &[&format!("SERVICE_{}={value:?}", key.to_uppercase()), words]);
    }
    refused(&[("check_https", "/"), ("check_https_method", "G")], &["SERVICE_CHECK_HTTPS_METHOD=\"G\""]);
    refused(&[("check_grpc", "true"), ("check_grpc_use_tls", "x")], &["SERVICE_CHECK_GRPC_USE_TLS=\"x\""]);
    let long = read(&[("check_http", &"x".repeat(100_000))]).unwrap_err();
    assert!(long.len() < 300 && long.contains("xxx\"… "), "{long}");
}

#[test]
fn a_port_that_is_not_tcp_accepts_only_a_command() {
    for protocol in [Protocol::Udp, Protocol::Sctp] {
        for (key, value, how) in [
            ("check_tcp", "true", "TCP"),
            ("check_http", "/", "HTTP"),
            ("check_https", "/", "HTTPS"),
            ("check_grpc", "true", "gRPC"),
        ] {
            let mut service = service(&[(key, value)]);
            service.port.protocol = protocol;
            let error_text = of(&service, &defaults()).unwrap_err();
            assert!(
                error_text.starts_with(&format!("a check by {how} of port 8080/{}", protocol.word())),
                "{error_text}"
            );
        }
        let mut service = service(&[("check_cmd", "dig @127.0.0.1")]);
        service.port.protocol = protocol;
        assert!(of(&service, &defaults()).unwrap().is_some());
    }
}

#[test]
fn durations_are_gos_or_seconds() {
    for (text, micros) in [
        ("10", 10_000_000),
        ("0.5", 500_000),
        ("10s", 10_000_000),
        ("1m30s", 90_000_000),
        ("500ms", 500_000),
        ("1h0m.5s", 3_600_500_000),
        ("250us", 250),
        ("250µs", 250),
        ("250μs", 250),
        ("1000ns", 1),
    ] {
        assert_eq!(parse_duration(text), Some(Duration::from_micros(micros)), "{text}");
    }
    for text in ["", ".", "s", "-1s", "+1s", "1x", "1 s", "1s5", "1.2.3s", "1e3s", "NaN", "inf", "1S"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
    assert_eq!(parse_duration(&format!("{}h", "9".repeat(400))), None);
    assert_eq!(parse_duration(&"9".repeat(30)), None);
}
