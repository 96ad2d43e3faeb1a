//! Cleaning and encoding of paths; each line was checked against etcd.

use super::*;

#[test]
fn clean_paths_are_decoded_and_kept() {
    let table: &[(&str, &[u8])] = &[
        ("/", b"/"),
        ("/v2/keys", b"/v2/keys"),
        ("/v2/keys/", b"/v2/keys/"),
        ("/v2/keys/a%2Fb", b"/v2/keys/a/b"),
        ("/v2/keys/a+b%20c%2B", b"/v2/keys/a+b c+"),
        ("/v2/keys/%ff%00", b"/v2/keys/\xff\0"),
        ("/v2/keys/ü", "/v2/keys/ü".as_bytes()),
        ("/v2/keys/.a/..b/c..", b"/v2/keys/.a/..b/c.."),
        ("/v2/keys/...", b"/v2/keys/..."),
        ("/v2/keys/a#b%3f", b"/v2/keys/a#b?"),
        ("/v2/keys/%25zz", b"/v2/keys/%zz"),
    ];
    for (raw, wanted) in table {
        assert_eq!(clean(raw), CleanPath::Clean(wanted.to_vec()), "{raw}");
    }
}

#[test]
fn unclean_paths_redirect_to_their_clean_form() {
    let table = [
        ("", "/"),
        ("//", "/"),
        ("/.", "/"),
        ("/../..", "/"),
        ("/v2/keys/a//b", "/v2/keys/a/b"),
        ("/v2/keys/a%2F%2Fb", "/v2/keys/a/b"),
        ("/v2/keys/../x", "/v2/x"),
        ("/v2/keys/%2e%2e/x", "/v2/x"),
        ("/v2/keys//", "/v2/keys/"),
        ("//v2/keys/..", "/v2"),
        ("/v2/keys/a/..", "/v2/keys"),
        ("/v2/keys/..%2f", "/v2/"),
        ("/v2/keys/a/.", "/v2/keys/a"),
        ("/v2/keys/a/./", "/v2/keys/a/"),
        ("/v2/keys/x%3F//", "/v2/keys/x%3F/"),
        ("/v2/keys/a%00//b", "/v2/keys/a%00/b"),
        ("/v2/keys/a#b//", "/v2/keys/a%23b/"),
        ("/v2/keys/ü//y", "/v2/keys/%C3%BC/y"),
        (
            "/v2/keys/a!*'()[]{}|^$&+,:;=@~<>\"`//x",
            "/v2/keys/a%21%2A%27%28%29%5B%5D%7B%7D%7C%5E$&+,:;=@~%3C%3E%22%60/x",
        ),
    ];
    for (raw, wanted) in table {
        assert_eq!(clean(raw), CleanPath::Redirect(wanted.to_owned()), "{raw}");
    }
}

#[test]
fn an_invalid_path_is_a_bad_request() {
    for raw in ["*", "x", "/v2/keys/%zz", "/v2/keys/%", "/v2/keys/%2", "/a\x01", "/a\x7f", "/%é"] {
        assert_eq!(clean(raw), CleanPath::Bad, "{raw:?}");
    }
}

#[test]
fn a_redirect_keeps_its_query() {
    for (query, wanted) in [("", "/p"), ("a=b&c=d;%zz#e", "/p?a=b&c=d;%zz#e"), ("ü=€", "/p?%c3%bc=%e2%82%ac")]
    {
        assert_eq!(location("/p", query), wanted);
    }
}
