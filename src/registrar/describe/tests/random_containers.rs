//! For any container, the result is keys or messages; nothing panics.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::super::settings::{Layout, Suffix, Value};
use super::*;
use crate::key;

const PIECES: [&str; 24] = [
    "SERVICE_", "service_", "80", "443", "0", "-1", "_", "NAME", "ID", "TAGS", "IGNORE", "NETWORK", "/",
    "..", ".", ",", "\\", "\\,", "\n", "é", "日本", "\u{202e}", " ", "x",
];

fn text(rng: &mut StdRng) -> String {
    (0..rng.random_range(0..7)).map(|_| PIECES[rng.random_range(0..PIECES.len())]).collect()
}

fn pick<'p>(rng: &mut StdRng, all: &[&'p str]) -> &'p str {
    all[rng.random_range(0..all.len())]
}

fn any_key(rng: &mut StdRng) -> String {
    if rng.random_bool(0.7) { format!("SERVICE_{}", text(rng)) } else { text(rng) }
}

fn any_port(rng: &mut StdRng) -> Port {
    port(pick(rng, &["80", "443", "53/udp", "53", "0", "9/sctp", "65535"]))
}

fn any_published(rng: &mut StdRng) -> Vec<PublishedPort> {
    let ips = ["", "0.0.0.0", "::", "127.0.0.1", "10.1.1.1", "2001:db8::1", "x"];
    let ports = ["", "0", "80", "8000", "1-2", "65536", "y"];
    (0..rng.random_range(0..3)).map(|_| at(pick(rng, &ips), pick(rng, &ports))).collect()
}

fn any_container(rng: &mut StdRng) -> Container {
    let mut all = Container {
        id: text(rng),
        name: text(rng),
        image: text(rng),
        network_mode: pick(rng, &["", "default", "bridge", "host", "none", "a", "container:x", "container:"])
            .to_owned(),
        run_state: if rng.random_bool(0.5) { ContainerState::Running } else { ContainerState::NotRunning },
        ..Container::default()
    };
    for _ in 0..rng.random_range(0..8) {
        all.env.push((any_key(rng), text(rng)));
        all.labels.insert(any_key(rng), text(rng));
        all.exposed.push(any_port(rng));
        all.ports.insert(any_port(rng), any_published(rng));
        all.configured_ports.insert(any_port(rng), any_published(rng));
    }
    for name in ["a", "bridge", "x"] {
        if rng.random_bool(0.4) {
            let v4 = rng.random_bool(0.5).then(|| IpAddr::from([172, 17, 0, rng.random_range(0..9)]));
            all.networks.insert(name.to_owned(), Network { v4, v6: None });
        }
    }
    all
}

fn any_rules(rng: &mut StdRng) -> Rules {
    let template = "{{ name }}/{{ attrs.x|default(id) }}/{{ tags }}";
    Rules {
        ip: rng.random_bool(0.2).then(|| text(rng)),
        internal: rng.random_bool(0.3),
        explicit: rng.random_bool(0.2),
        ip_label: rng.random_bool(0.2).then(|| any_key(rng)),
        tags: vec![text(rng)],
        suffix: [Suffix::Exposed, Suffix::Published, Suffix::Always, Suffix::Never][rng.random_range(0..4)],
        layout: match rng.random_range(0..4) {
            0 => Layout::Dockreg { directory: text(rng) },
            1 => Layout::Skydns { domain: text(rng) },
            2 => Layout::Template { key: template.to_owned(), value: None },
            _ => Layout::Registrator,
        },
        value: if rng.random_bool(0.5) { Value::Address } else { Value::Json },
        prefix: pick(rng, &["/", "/p", "/p/q"]).to_owned(),
    }
}

#[test]
fn for_any_container_the_keys_are_clean_unique_and_below_the_prefix() {
    let mut keys = 0;
    for seed in 0..2_000 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let (container, rules, lender) = (any_container(rng), any_rules(rng), any_container(rng));
        let described = describe(&container, &context(&rules), &|_| Some(lender.clone()));
        let mut seen = std::collections::BTreeSet::new();
        for service in &described.services {
            let all = &service.key;
            assert_eq!(*all, key::clean(all), "seed {seed}");
            assert!(
                all != "/" && !all.contains(char::is_control) && seen.insert(all.clone()),
                "seed {seed}: {all:?}"
            );
            let skydns = matches!(rules.layout, Layout::Skydns { .. });
            assert!(key::contains(if skydns { "/skydns" } else { &rules.prefix }, all), "seed {seed}: {all}");
            assert!(!all.starts_with("/_retune/") && service.public != 0, "seed {seed}: {all}");
            let nowhere = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
            assert!(
                !service.ip.is_empty() && !service.ip.parse().is_ok_and(nowhere),
                "seed {seed}: {}",
                service.ip
            );
        }
        assert!(!described.services.is_empty() || !described.skipped.is_empty(), "seed {seed}: no word");
        for skipped in &described.skipped {
            let (Skipped::Ignored(text) | Skipped::Refused(text) | Skipped::UnknownAttribute(text)) = skipped;
            assert!(!text.contains(char::is_control), "seed {seed}: {text:?}");
        }
        assert_eq!(
            described,
            describe(&container, &context(&rules), &|_| Some(lender.clone())),
            "seed {seed}"
        );
        keys += described.services.len();
    }
    assert!(keys > 500, "the nonsense makes so little sense that nothing was tried: {keys}");
}
