//! Clients that work on a few keys and record their requests and responses.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::history::{Op, Precondition, Step, Value};
use crate::durable::wire::{Answer, Wire};
use crate::support::rng::TestRng;

/// Keys that all clients share.
pub const KEYS: usize = 5;
/// The pause of a client between two operations: a thousand events must last for seconds.
const THINK_TIME: Duration = Duration::from_millis(8);

/// Shared by all clients.
#[derive(Debug, Default)]
pub struct Shared {
    pub stop: AtomicBool,
    /// Acknowledged writes so far.
    pub written: AtomicU64,
}

/// An in-order key that a client created.
#[derive(Clone, Debug)]
pub struct InOrderPost {
    pub value: String,
    /// Its key, if the response arrived.
    pub key: Option<String>,
    pub index: Option<u64>,
}

/// The record of one client.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub ops: Vec<Op>,
    pub posts: Vec<InOrderPost>,
    /// Responses that are wrong on their own.
    pub faults: Vec<String>,
    /// When each write was acknowledged.
    pub acknowledged: Vec<Instant>,
    /// Requests that were refused or got no response, with the error and the duration.
    pub failures: Vec<(Instant, Duration, String)>,
}

/// One client.
pub struct Client {
    pub number: usize,
    /// The members it knows; it stays with one as long as that one responds.
    pub addresses: Vec<String>,
    pub rng: TestRng,
    /// The timeout of a response.
    pub limit: Duration,
}

impl Client {
    /// Works until asked to stop.
    pub fn work(self, shared: &Shared) -> Log {
        let wires = self.addresses.iter().map(|address| Wire::to(address).with_timeout(self.limit)).collect();
        let at = self.number % self.addresses.len();
        let mut worker =
            Worker { client: self, shared, wires, at, serial: 0, seen: [None; KEYS], log: Log::default() };
        while !shared.stop.load(Ordering::Relaxed) {
            worker.step();
            sleep(THINK_TIME);
        }
        worker.log
    }
}

struct Worker<'s> {
    client: Client,
    shared: &'s Shared,
    wires: Vec<Wire>,
    at: usize,
    serial: u64,
    /// The last seen value of each key.
    seen: [Option<Value>; KEYS],
    log: Log,
}

impl Worker<'_> {
    fn step(&mut self) {
        let key = self.client.rng.index(KEYS);
        let value = self.value();
        let set = Some(Some(value));
        match (self.client.rng.below(12), self.seen[key]) {
            (0, _) => self.post(value),
            (1, _) => {
                let asked = Step { need: Precondition::Present, then: Some(None) };
                self.send_operation(key, asked, ("DELETE", String::new(), None));
            }
            (2, _) => {
                let asked = Step { need: Precondition::Is(None), then: set };
                self.send_operation(key, asked, ("PUT", "?prevExist=false".to_owned(), Some(value)));
            }
            (3..6, Some(was)) => {
                let asked = Step { need: Precondition::Is(Some(was)), then: set };
                self.send_operation(key, asked, ("PUT", format!("?prevValue={was}"), Some(value)));
            }
            (6..9, _) => {
                let asked = Step { need: Precondition::Anything, then: None };
                self.send_operation(key, asked, ("GET", "?quorum=true".to_owned(), None));
            }
            _ => {
                let asked = Step { need: Precondition::Anything, then: set };
                self.send_operation(key, asked, ("PUT", String::new(), Some(value)));
            }
        }
    }

    /// Returns a value that no other write uses.
    fn value(&mut self) -> Value {
        self.serial += 1;
        (self.client.number as u64 + 1) * 1_000_000 + self.serial
    }

    fn send_operation(
        &mut self,
        key: usize,
        asked: Step,
        (method, query, value): (&str, String, Option<Value>),
    ) {
        let form = value.map(|value| format!("value={value}"));
        let path = format!("/v2/keys/h/k{key}{query}");
        let sent = Instant::now();
        let answer = self.send(method, &path, form.as_deref());
        let mut op = Op { client: self.client.number, key, sent, asked, told: None, index: None };
        match answer {
            SendOutcome::Refused => return,
            SendOutcome::Unknown => {}
            SendOutcome::Answered(answer) => match reported_effect(asked, &answer) {
                Ok(step) => {
                    op.told = Some((Instant::now(), step));
                    if step.then.is_some() {
                        op.index = answer.json()["node"]["modifiedIndex"].as_u64();
                        self.acknowledged();
                    }
                    self.seen[key] = match (step.then, step.need) {
                        (Some(value), _) | (None, Precondition::Is(value)) => value,
                        _ => self.seen[key],
                    };
                }
                Err(why) => self.log.faults.push(format!("{method} {path}: {why}")),
            },
        }
        self.log.ops.push(op);
    }

    fn post(&mut self, value: Value) {
        let value = value.to_string();
        let form = format!("value={value}");
        let mut post = InOrderPost { value, key: None, index: None };
        match self.send("POST", "/v2/keys/h/posts", Some(&form)) {
            SendOutcome::Refused => return,
            SendOutcome::Unknown => {}
            SendOutcome::Answered(answer) => {
                let node = &answer.json()["node"];
                post.key = node["key"].as_str().map(str::to_owned);
                post.index = node["createdIndex"].as_u64();
                if answer.status == 201 {
                    self.acknowledged();
                } else {
                    self.log.faults.push(format!("POST: {} {}", answer.status, answer.text()));
                }
            }
        }
        self.log.posts.push(post);
    }

    fn acknowledged(&mut self) {
        self.shared.written.fetch_add(1, Ordering::Relaxed);
        self.log.acknowledged.push(Instant::now());
    }

    /// Sends one request; after a failure the next goes to the next member.
    fn send(&mut self, method: &str, path: &str, form: Option<&str>) -> SendOutcome {
        let begun = Instant::now();
        let (sent, why) = match self.wires[self.at].request(method, path, form) {
            Ok(answer) if answer.status < 500 => return SendOutcome::Answered(answer),
            Ok(answer) => (SendOutcome::Unknown, format!("{} {}", answer.status, answer.text())),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                (SendOutcome::Refused, error.to_string())
            }
            Err(error) => (SendOutcome::Unknown, error.to_string()),
        };
        let why = format!("{method} at {}: {why}", self.client.addresses[self.at]);
        self.log.failures.push((begun, begun.elapsed(), why));
        self.at = (self.at + 1) % self.wires.len();
        sent
    }
}

enum SendOutcome {
    Answered(Answer),
    /// It was not sent.
    Refused,
    Unknown,
}

/// Returns the effect that a response reports.
fn reported_effect(asked: Step, answer: &Answer) -> Result<Step, String> {
    let json = answer.json();
    let number = |node: &str| json[node]["value"].as_str().and_then(|text| text.parse::<Value>().ok());
    let writes = asked.then.is_some();
    let need = match (answer.status, answer.code()) {
        (200, 0) if !writes => Precondition::Is(number("node")),
        (200 | 201, 0) if asked.need == Precondition::Is(None) => Precondition::Is(None),
        (200 | 201, 0) => Precondition::Is(number("prevNode")),
        (404, 100) => return Ok(Step { need: Precondition::Is(None), then: None }),
        (412, 105) if asked.need == Precondition::Is(None) => {
            return Ok(Step { need: Precondition::Present, then: None });
        }
        (412, 101) => {
            // `[given != present]`
            let cause = json["cause"].as_str().unwrap_or_default().trim_matches(['[', ']']);
            let present = cause.split(" != ").nth(1).and_then(|text| text.parse::<Value>().ok());
            let present = present.ok_or_else(|| format!("a cause without a value: {}", answer.text()))?;
            return Ok(Step { need: Precondition::Is(Some(present)), then: None });
        }
        _ => return Err(format!("{} {}", answer.status, answer.text())),
    };
    if let (Precondition::Is(Some(_)), Precondition::Is(None)) = (asked.need, need) {
        return Err(format!("a swap that replaced nothing: {}", answer.text()));
    }
    Ok(Step { need, then: asked.then })
}
