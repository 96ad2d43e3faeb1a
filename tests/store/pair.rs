//! Two servers that get the same requests and must give the same responses.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::answers::difference;
use super::json::Comparison;
use super::plans::Step;
use super::requests::{FORM, NAMES, asked};
use super::wire::{ClientConn, Exchange, Reply, Request};
use crate::support::{WAIT_TIMEOUT, eventually, scaled};

/// How long watches must be quiet before their events are considered complete.
const QUIET_DELAY: Duration = Duration::from_millis(60);

/// One of the two servers.
struct Side {
    address: String,
    client_conn: ClientConn,
    /// The watches whose events are not collected yet.
    watches: Vec<(Request, Exchange)>,
}

impl Side {
    fn new(address: String) -> Self {
        Self { client_conn: ClientConn::to(&address), address, watches: Vec::new() }
    }

    /// Hides its own address, which always differs.
    fn hide(&self, mut reply: Reply) -> Reply {
        reply.body = String::from_utf8_lossy(&reply.body).replace(&self.address, "ADDRESS").into_bytes();
        reply
    }

    fn ask(&mut self, request: &Request) -> Option<Reply> {
        self.client_conn.ask(request).map(|reply| self.hide(reply))
    }
}

/// Both servers at the same index.
pub struct Pair {
    left: Side,
    right: Side,
    pub index: u64,
    /// Whether users, roles or their rights were written since the oldest watch that is not collected.
    rights_changed: bool,
    /// The error codes and actions in the responses.
    pub met: BTreeSet<String>,
}

impl Pair {
    /// Returns two servers that were just started.
    pub fn fresh(left: String, right: String) -> Self {
        for address in [&left, &right] {
            let mut client_conn = ClientConn::to(address);
            let read = asked("GET", "/v2/keys", &[]);
            // Its own first entries are applied; the first key will get index 4.
            eventually("a fresh server is at index 3", WAIT_TIMEOUT, || {
                client_conn.ask(&read).is_some_and(|reply| reply.header("X-Etcd-Index") == Some("3"))
            });
        }
        Self {
            left: Side::new(left),
            right: Side::new(right),
            index: 3,
            rights_changed: false,
            met: BTreeSet::new(),
        }
    }

    /// The same servers, just restarted: each takes an index for that, slightly later than it starts serving.
    pub fn again(self) -> Self {
        let Self { left, right, index, met, .. } = self;
        let (mut left, mut right) = (Side::new(left.address), Side::new(right.address));
        let read = asked("GET", "/v2/keys", &[]);
        let wanted = (index + 1).to_string();
        let mut seen = [None, None];
        eventually(&format!("both are at index {wanted} again"), WAIT_TIMEOUT, || {
            seen = [&mut left, &mut right]
                .map(|side| side.ask(&read).and_then(|reply| Some(reply.header("X-Etcd-Index")?.to_owned())));
            seen.iter().all(|index| index.as_ref() == Some(&wanted))
        });
        Self { left, right, index: index + 1, rights_changed: false, met }
    }

    /// Removes everything that a plan may have left.
    pub fn clean(&mut self) -> Result<(), String> {
        self.left.watches.clear();
        self.right.watches.clear();
        let everything = ["recursive=true".to_owned()];
        for name in NAMES.iter().chain(&["%2F"]) {
            self.ask(&asked("DELETE", &format!("/v2/keys/{name}"), &everything))?;
        }
        // Only in-order keys are left, whose names are numbers.
        let listed = self.left.ask(&asked("GET", "/v2/keys", &[])).unwrap();
        let listed: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
        for node in listed["node"]["nodes"].as_array().into_iter().flatten() {
            let key = crate::support::http::encode(node["key"].as_str().unwrap(), true);
            self.ask(&asked("DELETE", &format!("/v2/keys{key}"), &everything))?;
        }
        self.ask(&asked("GET", "/v2/keys", &everything))
    }

    /// Returns one server's response status to this request.
    pub fn alone(address: &str, request: &Request) -> Option<u16> {
        ClientConn::to(address).ask(request).map(|reply| reply.status)
    }

    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Ask(request) => self.ask(&self.filled(request)),
            Step::Watch(request) => self.watch(&self.filled(request)),
            Step::Collect => self.collect(),
            Step::Flood(writes) => self.flood(*writes),
            Step::Pause(time) => {
                sleep(*time);
                Ok(())
            }
        }
    }

    /// Replaces `{now…}` and `{new…}` in a request.
    fn filled(&self, request: &Request) -> Request {
        let mut request = request.clone();
        request.target = fill(&request.target, self.index);
        request.body = request.body.map(|body| fill(&body, self.index));
        request
    }

    pub fn ask(&mut self, request: &Request) -> Result<(), String> {
        let is_watched = !self.left.watches.is_empty();
        self.rights_changed |=
            is_watched && request.target.starts_with("/v2/auth/") && request.method != "GET";
        let (left, right) = std::thread::scope(|scope| {
            let left = scope.spawn(|| self.left.ask(request));
            let right = self.right.ask(request);
            (left.join().unwrap(), right)
        });
        self.compare(request, left, right)
    }

    fn compare(
        &mut self,
        request: &Request,
        left: Option<Reply>,
        right: Option<Reply>,
    ) -> Result<(), String> {
        let index = left.as_ref().and_then(|reply| reply.header("X-Etcd-Index")?.parse().ok());
        self.index = index.filter(|index| *index > 0).unwrap_or(self.index);
        let (left, right) = match (left, right) {
            (Some(left), Some(right)) => (left, right),
            (None, None) => return Ok(()),
            (left, right) => return Err(describe("only one answered", request, left, right)),
        };
        match difference(&left, &right, comparison(request)) {
            None => {
                self.met.extend(kind(&left));
                Ok(())
            }
            Some(what) => Err(describe(&what, request, Some(left), Some(right))),
        }
    }

    fn watch(&mut self, request: &Request) -> Result<(), String> {
        let mut heads = Vec::new();
        for side in [&mut self.left, &mut self.right] {
            let mut talk = Exchange::start(&side.address, request).map_err(|error| error.to_string())?;
            heads.push(talk.until(|_| true).map(|reply| Reply {
                body: Vec::new(),
                complete: false,
                ..reply
            }));
            side.watches.push((request.clone(), talk));
        }
        let (right, left) = (heads.pop().flatten(), heads.pop().flatten());
        self.compare(request, left, right)
    }

    /// Reads until both have received the same and nothing more arrives; returns the difference as an error.
    fn collect(&mut self) -> Result<(), String> {
        let (start, limit) = (Instant::now(), scaled(Duration::from_secs(3)));
        let mut last_news = start;
        loop {
            let mut news = false;
            for (_, talk) in self.left.watches.iter_mut().chain(&mut self.right.watches) {
                news |= talk.listen(Duration::from_millis(1));
            }
            if news {
                last_news = Instant::now();
            } else if last_news.elapsed() > QUIET_DELAY {
                let found = self.compare_watches();
                if found.is_ok() || start.elapsed() > limit {
                    self.left.watches.clear();
                    self.right.watches.clear();
                    self.rights_changed = false;
                    return found;
                }
            }
            sleep(Duration::from_millis(2));
        }
    }

    fn compare_watches(&mut self) -> Result<(), String> {
        for ((request, left), (_, right)) in self.left.watches.iter().zip(&self.right.watches) {
            let left = left.reply().map(|reply| self.left.hide(reply));
            let right = right.reply().map(|reply| self.right.hide(reply));
            let what = match (&left, &right) {
                // A watch of ours ends when its client's right or password changes, etcd's lives on.
                (Some(left), Some(right)) if self.rights_changed && right.body.is_empty() => {
                    let left = Reply { body: Vec::new(), complete: right.complete, ..left.clone() };
                    difference(&left, right, comparison(request))
                }
                (Some(left), Some(right)) => difference(left, right, comparison(request)),
                _ => (left.is_some() != right.is_some()).then(|| "only one answered".to_owned()),
            };
            if let Some(what) = what {
                return Err(describe(&what, request, left, right));
            }
            self.met.extend(left.as_ref().and_then(kind).map(|kind| format!("watched {kind}")));
        }
        Ok(())
    }

    fn flood(&mut self, writes: usize) -> Result<(), String> {
        // An overrun watch would differ.
        self.collect()?;
        let mut request = asked("PUT", "/v2/keys/c/flood", &[]);
        request.headers.push(("Content-Type", FORM.to_owned()));
        (0..writes).try_for_each(|number| {
            request.target = format!("/v2/keys/c/{}", number % 7);
            request.body = Some(format!("value={number}"));
            self.ask(&request)
        })
    }
}

fn fill(text: &str, index: u64) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{n") {
        let (token, next) = after.split_once('}').expect("a closed token");
        let number = index.saturating_add_signed(token[2..].parse().expect("a signed number"));
        out.push_str(before);
        let digits = if token.starts_with("ew") { 20 } else { 1 };
        write!(out, "{number:0digits$}").unwrap();
        rest = next;
    }
    out + rest
}

/// Returns the error code or the action at the start of a response; `None` for other responses.
fn kind(reply: &Reply) -> Option<String> {
    let line = reply.body.split(|byte| *byte == b'\n').next()?;
    let body: serde_json::Value = serde_json::from_slice(line).ok()?;
    let code = body.get("errorCode").map(ToString::to_string);
    code.or_else(|| Some(body.get("action")?.as_str()?.to_owned()))
}

/// Returns which parts of the response to this request are compared.
fn comparison(request: &Request) -> Comparison {
    let path = request.target.trim_start_matches('/');
    if path.starts_with("metrics") || path.starts_with("debug") {
        return Comparison::Nothing;
    }
    if path.starts_with("v2/auth") {
        return Comparison::Ordered;
    }
    if !path.starts_with("v2/keys") && request.method == "GET" {
        return Comparison::Shape;
    }
    let sorted = ["sorted=true", "sorted=1", "sorted=T"].iter().any(|word| request.target.contains(word));
    if sorted { Comparison::Ordered } else { Comparison::Unordered }
}

fn describe(what: &str, request: &Request, left: Option<Reply>, right: Option<Reply>) -> String {
    let shown = |reply: Option<Reply>| reply.map_or_else(|| "nothing".to_owned(), |reply| reply.to_string());
    let (left, right) = (shown(left), shown(right));
    format!("different: {what}\n  request: {request}\n  etcd: {left}\n  other: {right}")
}

#[test]
fn placeholders_become_indexes() {
    assert_eq!(fill("a{now-2}b{new+1}c{now+0}", 40), "a38b00000000000000000041c40");
    assert_eq!(fill("{now-9}", 4), "0");
}
