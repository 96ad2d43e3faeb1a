//! Seeded requests through our proxy and through etcd's own, in front of the same members.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::test_proxy::{ProxyProgram, TestProxy};
use crate::store::requests::{NAMES, asked, chance, elsewhere, nonsense, read, write};
use crate::store::wire::{ClientConn, Reply, Request};
use crate::support::{EtcdCluster, http};

const REQUESTS: usize = 60;

/// Makes a script without watches, index conditions and figures that change all the time.
fn script(seed: u64) -> Vec<Request> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut script = Vec::new();
    while script.len() < REQUESTS {
        let request = match () {
            () if chance(&mut random, 50) => write(&mut random),
            () if chance(&mut random, 50) => read(&mut random),
            () if chance(&mut random, 30) => nonsense(&mut random),
            () => elsewhere(&mut random),
        };
        let text = request.to_string();
        let skipped = ["{", "wait", "/v2/stats/", "/metrics", "/debug/", "config/local"];
        if !skipped.iter().any(|part| text.contains(part)) {
            script.push(request);
        }
    }
    script
}

/// Removes everything, so that each script starts in the same state.
fn clean(client_conn: &mut ClientConn) {
    let all = ["recursive=true".to_owned()];
    for name in NAMES.iter().chain(&["%2F"]) {
        client_conn.ask(&asked("DELETE", &format!("/v2/keys/{name}"), &all)).unwrap();
    }
    let listed = client_conn.ask(&asked("GET", "/v2/keys", &[])).unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
    for node in listed["node"]["nodes"].as_array().into_iter().flatten() {
        let key = http::encode(node["key"].as_str().unwrap(), true);
        client_conn.ask(&asked("DELETE", &format!("/v2/keys{key}"), &all)).unwrap();
    }
}

/// Returns a response without its numbers, which depend on earlier requests, without the random order of a listing,
/// and without the framing of its connection.
fn plain(reply: Option<&Reply>) -> Option<(u16, Vec<String>, String)> {
    let reply = reply?;
    let numberless = |text: &str| {
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '0'..='9' if out.ends_with('#') => {}
                '0'..='9' => out.push('#'),
                _ => out.push(c),
            }
        }
        out
    };
    let mut headers: Vec<String> = reply
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "Date" | "Content-Length" | "Transfer-Encoding"))
        .map(|(name, value)| format!("{name}: {}", numberless(value)))
        .collect();
    headers.sort();
    let mut letters: Vec<char> = numberless(&String::from_utf8_lossy(&reply.body)).chars().collect();
    letters.sort_unstable();
    Some((reply.status, headers, letters.into_iter().collect()))
}

fn play(front: &TestProxy, script: &[Request]) -> Vec<Option<Reply>> {
    let mut client_conn = ClientConn::to(&front.address());
    clean(&mut client_conn);
    script.iter().map(|request| client_conn.ask(request)).collect()
}

fn compare(words: &[&str], seeds: std::ops::Range<u64>) {
    let Some(cluster) = EtcdCluster::start() else { return };
    let [ours, theirs] = [ProxyProgram::Ours, ProxyProgram::Etcds].map(|whose| {
        let mut front = TestProxy::prepare();
        front.run(whose, &cluster.list(), words);
        front.wait_for_members();
        front
    });
    for seed in seeds {
        let script = script(seed);
        let (ours, theirs) = (play(&ours, &script), play(&theirs, &script));
        for ((request, ours), theirs) in script.iter().zip(&ours).zip(&theirs) {
            let (left, right) = (plain(ours.as_ref()), plain(theirs.as_ref()));
            if left != right {
                let show = |reply: &Option<Reply>| {
                    reply.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string)
                };
                panic!("seed {seed}: {request}\nours: {}\ntheirs: {}", show(ours), show(theirs));
            }
        }
    }
}

#[test]
fn seeded_requests_get_the_same_responses_as_through_etcds_own_proxy() {
    // Without it ours refuses the writes of web pages.
    compare(&["--proxy", "on", "--cors", "*"], 0..8);
}

#[test]
fn allowed_origins_get_the_same_responses_as_from_etcds_own_proxy() {
    compare(&["--proxy", "on", "--cors", "http://example.com:80"], 100..102);
}

#[test]
fn a_readonly_proxy_allows_what_etcds_own_does() {
    let Some(cluster) = EtcdCluster::start() else { return };
    let words = ["--proxy", "readonly"];
    let fronts = [ProxyProgram::Ours, ProxyProgram::Etcds].map(|whose| {
        let mut front = TestProxy::prepare();
        front.run(whose, &cluster.list(), &words);
        front.wait_for_members();
        front
    });
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE", "PATCH", "FOO"] {
        for target in ["/v2/keys/a", "/v2/keys//a", "/v2/config/local/none", "/version", "/v2/members"] {
            let request = asked(method, target, &[]);
            let [ours, theirs] =
                fronts.each_ref().map(|front| plain(ClientConn::to(&front.address()).ask(&request).as_ref()));
            assert_eq!(ours, theirs, "{request}");
        }
    }
    let written = http::request(&fronts[0].address(), "PUT", "/v2/keys/a", None).unwrap();
    assert_eq!((written.status, written.body.as_str()), (501, ""));
    assert_eq!(http::request(&cluster.address(0), "GET", "/v2/keys/a", None).unwrap().status, 404);
}
