//! The `SERVICE_*` settings: names, ids and tags.

use super::super::super::service::Service;
use super::*;

fn one(container: &Container) -> Service {
    let mut described = described(container, &Rules::default());
    assert_eq!(described.services.len(), 1, "{:?}", described.skipped);
    described.services.remove(0)
}

fn web() -> Container {
    container("web.1", "web").with("80", "8000")
}

#[test]
fn an_attribute_for_the_port_overrides_a_general_one_wherever_each_is_written() {
    let service = one(&web()
        .env("SERVICE_80_NAME", "port")
        .label("SERVICE_NAME", "all")
        .label("SERVICE_REGION", "eu")
        .env("SERVICE_80_REGION", "us"));
    assert_eq!((service.name.as_str(), service.attributes["region"].as_str()), ("port", "us"));
    let service = one(&web().env("SERVICE_80_NAME", "env").label("SERVICE_80_NAME", "label"));
    assert_eq!(service.name, "label");
    assert_eq!(one(&web().env("SERVICE_NAME", "a").env("SERVICE_NAME", "b")).name, "b");
}

#[test]
fn an_attribute_for_another_port_applies_to_no_differently_spelled_port() {
    let service = one(&web()
        .env("SERVICE_443_NAME", "other")
        .env("SERVICE_080_NAME", "padded")
        .env("SERVICE_+80_NAME", "signed")
        .env("SERVICE_8_0_NAME", "split"));
    assert_eq!(service.name, "web");
    assert!(service.attributes.is_empty(), "{:?}", service.attributes);
}

#[test]
fn an_attribute_for_a_port_number_applies_to_both_protocols() {
    let both = container("d", "d").with("53/tcp", "53").with("53/udp", "53").env("SERVICE_53_NAME", "dns");
    let described = described(&both, &Rules::default());
    assert!(described.services.iter().all(|service| service.name == "dns"));
    assert_eq!(described.services.len(), 2);
}

#[test]
fn only_the_uppercase_prefix_is_read_and_the_rest_is_lowercased() {
    let service = one(&web()
        .label("service_name", "small")
        .label("Service_Name", "mixed")
        .env("XSERVICE_NAME", "inside")
        .env("SERVICE_Check_HTTP", "/Health")
        .env("SERVICE_", "nothing")
        .env("SERVICE_80_", "nothing")
        .env("SERVICE_80", "number"));
    let attributes: Vec<_> = service.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(attributes, [("80", "number"), ("check_http", "/Health")]);
    assert_eq!(service.name, "web");
}

#[test]
fn name_id_tags_and_ignore_are_not_attributes_and_empty_ones_are_ignored() {
    let empty = one(&web()
        .env("SERVICE_NAME", "")
        .env("SERVICE_ID", "")
        .env("SERVICE_TAGS", "")
        .env("SERVICE_IGNORE", "")
        .env("SERVICE_REGION", ""));
    assert_eq!((empty.name.as_str(), empty.id.as_str()), ("web", "h1:web.1:80"));
    assert!(empty.tags.is_empty());
    assert_eq!(empty.attributes.len(), 1);
    assert_eq!(empty.attributes["region"], "");
    let full = one(&web().env("SERVICE_NAME", "n").env("SERVICE_ID", "i").env("SERVICE_TAGS", "t"));
    assert_eq!((full.name.as_str(), full.id.as_str()), ("n", "i"));
    assert!(full.attributes.is_empty());
}

#[test]
fn an_empty_attribute_for_the_port_removes_the_general_one() {
    let service = one(&web().env("SERVICE_NAME", "all").env("SERVICE_80_NAME", ""));
    assert_eq!(service.name, "web");
    assert_eq!(one(&web().env("SERVICE_IGNORE", "yes").env("SERVICE_80_IGNORE", "")).name, "web");
}

#[test]
fn explicit_skips_ports_without_a_name_from_their_container() {
    let rules = Rules { explicit: true, ..Rules::default() };
    let two = || container("c", "i").with("80", "1").with("443", "2");
    assert_eq!(ignored(&described(&two(), &rules)), ["service on port 80", "service on port 443"]);
    let one = described(&two().label("SERVICE_80_NAME", "web"), &rules);
    assert_eq!(pairs(&one), ["/web/h1:c:80 = 10.0.0.9:1"]);
    assert_eq!(ignored(&one), ["service on port 443"]);
    assert_eq!(described(&two().env("SERVICE_NAME", "web"), &rules).services.len(), 2);
}

#[test]
fn tags_keep_their_order_and_an_escaped_comma() {
    let tags = |text: &str| one(&web().env("SERVICE_TAGS", text)).tags;
    assert_eq!(tags("b,a"), ["b", "a"]);
    assert_eq!(tags(r"a\,b,c"), ["a,b", "c"]);
    assert_eq!(tags(",,a,,b,"), ["a", "b"]);
    assert_eq!(tags(r"\,"), [","]);
    assert_eq!(tags(r"a\b,c\"), [r"a\b", r"c\"]);
    assert!(tags(",").is_empty());
    let general = web().env("SERVICE_TAGS", "all").env("SERVICE_80_TAGS", "port");
    assert_eq!(one(&general).tags, ["port"]);
}

#[test]
fn default_tags_follow_the_containers_and_udp_is_tagged() {
    let rules = Rules { tags: vec!["all".to_owned()], ..Rules::default() };
    let dns = container("d", "d").with("53/tcp", "53").with("53/udp", "53").env("SERVICE_TAGS", "own");
    let described = described(&dns, &rules);
    assert_eq!(described.services[0].tags, ["own", "all"]);
    assert_eq!(described.services[1].tags, ["own", "all", "udp"]);
}

#[test]
fn a_name_comes_from_the_image_without_registry_tag_and_digest_or_else_from_the_container() {
    let id = "06a1f75304ba".repeat(6)[..64].to_owned();
    let (by_id, short, cut) = (format!("sha256:{id}"), &id[..12], &id[..13]);
    for (image, want) in [
        ("localhost:5000/a/foo:1", "foo"),
        ("redis", "redis"),
        ("progrium/redis:3", "redis"),
        ("redis@sha256:06a1f75304ba", "redis"),
        ("a.example/x/redis:7@sha256:06a1f75304ba", "redis"),
        (by_id.as_str(), "web.1"),
        (id.as_str(), "web.1"),
        (short, "web.1"),
        (cut, cut),
        ("", "web.1"),
        ("/", "web.1"),
    ] {
        assert_eq!(one(&Container { image: image.to_owned(), ..web() }).name, want, "{image}");
    }
}

#[test]
fn an_id_consists_of_node_container_port_and_protocol_unless_the_container_sets_one() {
    let all = container("c", "i").with("1/tcp", "1").with("1/udp", "1").with("1/sctp", "1");
    let ids = |container: &Container| -> Vec<String> {
        described(container, &Rules::default()).services.into_iter().map(|service| service.id).collect()
    };
    assert_eq!(ids(&all), ["h1:c:1", "h1:c:1:udp", "h1:c:1:sctp"]);
    let two = container("c", "i").with("80", "1").with("90", "2");
    assert_eq!(ids(&two.clone().env("SERVICE_ID", "x")), ["x", "x"]);
    assert_eq!(ids(&two.env("SERVICE_ID", "x").env("SERVICE_80_ID", "y")), ["y", "x"]);
}
