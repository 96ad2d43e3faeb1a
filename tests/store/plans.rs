//! Sequences of requests, each generated from a seed, each with a focus.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::requests::{
    FORM, asked, chance, elsewhere, key, nonsense, pick, read, spread, watch, write, write_at,
};
use super::wire::Request;

/// A step on both servers.
#[derive(Clone, Debug)]
pub enum Step {
    /// Send a request, and compare the responses.
    Ask(Request),
    /// Send a request, compare the heads, and leave the rest for `Collect`.
    Watch(Request),
    /// Compare what all watches received, and end them.
    Collect,
    /// This many writes, to fill the history.
    Flood(usize),
    /// Wait.
    Pause(Duration),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(request) => write!(f, "{request}"),
            Self::Watch(request) => write!(f, "watch {request}"),
            Self::Collect => write!(f, "what the watches brought"),
            Self::Flood(writes) => write!(f, "{writes} writes"),
            Self::Pause(time) => write!(f, "a pause of {time:?}"),
        }
    }
}

/// Returns the plan of this seed.
pub fn plan(seed: u64) -> Vec<Step> {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut steps = match seed % 8 {
        0 => many(random, 60, &[(75, write), (25, read)]),
        1 => many(random, 60, &[(60, few_keys), (20, write), (20, read)]),
        2 | 7 => watches(random),
        3 => many(random, 70, &[(80, nonsense), (20, write)]),
        4 => many(random, 60, &[(70, elsewhere), (15, write), (15, read)]),
        5 => history(random),
        _ => many(random, 60, &[(50, write), (20, read), (15, nonsense), (10, elsewhere), (5, watch)]),
    };
    steps.push(Step::Collect);
    steps.push(Step::Ask(asked("GET", "/v2/keys", &["recursive=true".to_owned()])));
    steps
}

type RequestMaker = fn(&mut StdRng) -> Request;

fn many(random: &mut StdRng, steps: usize, kinds: &[(u32, RequestMaker)]) -> Vec<Step> {
    let one = |random: &mut StdRng| {
        let mut roll = random.random_range(0..100);
        for (percent, kind) in kinds {
            if roll < *percent {
                return step(kind(random));
            }
            roll -= percent;
        }
        step(read(random))
    };
    (0..steps).map(|_| one(random)).collect()
}

/// Makes the step of a request; a request that may become a watch is not waited for.
fn step(request: Request) -> Step {
    let waits = request.method == "GET" && request.target.contains("wait");
    if waits { Step::Watch(request) } else { Step::Ask(request) }
}

/// Writes to very few keys, so that comparisons succeed and directories fill.
fn few_keys(random: &mut StdRng) -> Request {
    let path = pick(random, &["/v2/keys/a", "/v2/keys/a", "/v2/keys/d/_h", "/v2/keys/d", "/v2/keys/d/b/c"]);
    write_at(random, path)
}

fn watches(random: &mut StdRng) -> Vec<Step> {
    let mut steps = many(random, 8, &[(100, write)]);
    for _ in 0..random.random_range(3..6) {
        steps.extend((0..random.random_range(1..6)).map(|_| Step::Watch(watch(random))));
        steps.extend(compared(random));
        steps.extend(many(random, 8, &[(40, few_keys), (50, write)]));
        if chance(random, 30) {
            let gone =
                asked("DELETE", pick(random, &["/v2/keys/a", "/v2/keys/d"]), &["recursive=true".to_owned()]);
            steps.push(Step::Ask(gone));
        }
        steps.push(Step::Collect);
    }
    steps
}

/// Comparisons that hold, with a watch.
fn compared(random: &mut StdRng) -> Vec<Step> {
    let path = pick(random, &["/v2/keys/b/x", "/v2/keys/_h/x", "/v2/keys/foo"]);
    let once = ["wait=true", "wait=true&stream=true", "wait=true&recursive=true"];
    let mut ask = |method, parameters: &[&str]| {
        let parameters: Vec<_> = parameters.iter().map(|text| (*text).to_owned()).collect();
        if method == "PUT" {
            spread(random, method, path, &parameters)
        } else {
            asked(method, path, &parameters)
        }
    };
    let mut steps = vec![Step::Ask(ask("PUT", &["value=old"]))];
    steps.extend(once.map(|wait| Step::Watch(ask("GET", &[wait]))));
    steps.push(Step::Ask(ask("PUT", &["value=new", "prevValue=old", "prevIndex={now+0}"])));
    steps.push(Step::Watch(ask("GET", &["wait=true"])));
    steps.push(Step::Ask(ask("DELETE", &["prevValue=new", "prevIndex={now+0}"])));
    steps.push(Step::Watch(ask("GET", &["wait=true"])));
    steps.push(Step::Ask(ask("PUT", &["prevExist=false", "value=again"])));
    steps
}

/// Watches that start in the past, partly before the history.
fn history(random: &mut StdRng) -> Vec<Step> {
    let mut steps = many(random, 20, &[(50, few_keys), (50, write)]);
    steps.push(Step::Flood(random.random_range(940..1030)));
    steps.extend(many(random, 25, &[(50, few_keys), (50, write)]));
    for _ in 0..30 {
        let back = match random.random_range(0..4) {
            0 => random.random_range(996..1003),
            1 => random.random_range(0..1100),
            _ => random.random_range(0..60),
        };
        let wait = format!("waitIndex={{now-{back}}}");
        let mut parameters = vec!["wait=true".to_owned(), wait];
        if chance(random, 60) {
            parameters.push("recursive=true".to_owned());
        }
        if chance(random, 30) {
            parameters.push("stream=true".to_owned());
        }
        let path = key(random);
        steps.push(Step::Watch(asked("GET", &path, &parameters)));
        if chance(random, 30) {
            steps.push(Step::Ask(write(random)));
        }
    }
    steps
}

/// The checks after a restart: the tree, the past, and new writes.
pub fn after_restart(seed: u64) -> Vec<Step> {
    let random = &mut StdRng::seed_from_u64(seed);
    let everything = ["recursive=true".to_owned(), "sorted=true".to_owned()];
    let mut steps = vec![Step::Ask(asked("GET", "/v2/keys", &everything))];
    for back in 0..40 {
        let wait = ["wait=true".to_owned(), format!("waitIndex={{now-{back}}}"), "recursive=true".to_owned()];
        let path = if back % 2 == 0 { "/v2/keys".to_owned() } else { key(random) };
        steps.push(Step::Watch(asked("GET", &path, &wait)));
    }
    steps.push(Step::Collect);
    steps.extend(many(random, 20, &[(60, few_keys), (20, write), (20, read)]));
    steps
}

/// A plan in which keys expire. The TTL allows for a machine that stalls while the keys are written; after the
/// pause all of them are gone from both servers.
pub fn expiry(seed: u64) -> Vec<Step> {
    const TTL: &str = "ttl=2";
    let random = &mut StdRng::seed_from_u64(seed);
    let mut steps = many(random, 6, &[(100, write)]);
    steps.extend((0..4).map(|_| Step::Watch(watch(random))));
    for _ in 0..8 {
        let path =
            pick(random, &["/v2/keys/a", "/v2/keys/d/_h", "/v2/keys/d", "/v2/keys/_h/b", "/v2/keys/foo"]);
        let mut parameters = vec![TTL.to_owned()];
        parameters.extend(
            match random.random_range(0..8) {
                0 => &["dir=true"][..],
                1 => &["prevExist=true", "dir=true"],
                2 => &["refresh=true", "prevExist=true"],
                3 => &["refresh=true"],
                4 => &["value=x", "prevExist=false"],
                _ => &["value=x"],
            }
            .iter()
            .map(|text| (*text).to_owned()),
        );
        let method = if chance(random, 15) { "POST" } else { "PUT" };
        steps.push(Step::Ask(spread(random, method, path, &parameters)));
        if chance(random, 20) {
            steps.push(Step::Ask(asked(
                "GET",
                path,
                &["recursive=true".to_owned(), "sorted=true".to_owned()],
            )));
        }
        if chance(random, 15) {
            let mut keep = asked("PUT", path, &[]);
            keep.headers.push(("Content-Type", FORM.to_owned()));
            keep.body = Some("value=kept".to_owned());
            steps.push(Step::Ask(keep));
        }
    }
    steps.push(Step::Ask(expiring_write(random)));
    steps.push(Step::Pause(Duration::from_millis(3300)));
    steps.push(Step::Collect);
    steps.push(Step::Ask(asked("GET", "/v2/keys", &["recursive=true".to_owned(), "sorted=true".to_owned()])));
    for back in 0..10 {
        let parameters =
            ["wait=true".to_owned(), format!("waitIndex={{now-{back}}}"), "recursive=true".to_owned()];
        let path =
            pick(random, &["/v2/keys", "/v2/keys/a", "/v2/keys/d", "/v2/keys/d/_h/x", "/v2/keys/foobar"]);
        steps.push(Step::Watch(asked("GET", path, &parameters)));
    }
    steps.push(Step::Ask(write(random)));
    steps.push(Step::Collect);
    steps
}

/// A write whose key expires at the server's next check, so that nothing may follow it.
fn expiring_write(random: &mut StdRng) -> Request {
    let path = pick(random, &["/v2/keys/a", "/v2/keys/foo", "/v2/keys/d"]);
    let ttl = pick(random, &["ttl=0", "ttl=10000000000", "ttl=9223372036", "ttl=18446744073709551615"]);
    let condition = pick(random, &["prevExist=true", "prevExist=true", "prevValue=x", "unknown="]);
    spread(random, "PUT", path, &["value=x", ttl, condition].map(str::to_owned))
}
