//! The event stream: one JSON object after another, for as long as the engine runs.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use super::send::{EngineRequest, REQUEST_TIMEOUT, RequestContext, read_response};
use super::{Engine, EngineError, EngineEvent, EventSubject, signal};
use crate::client::timeout_message;

/// Old Podman sends nothing, not even a status, before the first event; every other engine responds sooner than this.
const RESPONSE_HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest event; it holds all labels of its container.
const MAX_EVENT_BYTES: usize = 1 << 20;
const MAX_ERROR_BYTES: usize = 64 << 10;

type ResponseHead = Pin<Box<dyn Future<Output = Result<Response, EngineError>> + Send>>;

/// An event stream that the engine has accepted.
#[derive(Debug)]
pub(in crate::registrar) struct Events {
    context: RequestContext,
    phase: StreamPhase,
    objects: Objects,
}

/// How far the response has come.
enum StreamPhase {
    /// The status has not arrived.
    Asked(ResponseHead),
    Open(Response),
    Ended,
}

impl fmt::Debug for StreamPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked(_) => "Asked",
            Self::Open(_) => "Open",
            Self::Ended => "Ended",
        })
    }
}

impl Engine {
    /// Subscribes to events of containers, images, networks and the engine itself, from `since` on: nanoseconds since
    /// 1970 by the engine's clock. Returns when the engine has accepted, or after 2 seconds, because some engines send
    /// nothing before the first event; a later error then comes from [`Events::next`].
    pub(in crate::registrar) async fn events(&self, since: Option<i64>) -> Result<Events, EngineError> {
        let filters = r#"{"type":["container","image","network","daemon"]}"#;
        let since = since.map(|at| {
            let at = at.max(0);
            format!("{}.{:09}", at / 1_000_000_000, at % 1_000_000_000)
        });
        let mut query = vec![("filters", filters)];
        query.extend(since.as_deref().map(|since| ("since", since)));
        let (request, context) = self.prepare(&EngineRequest::get(&["events"], &query)).await?;
        let at = context.clone();
        let mut head: ResponseHead = Box::pin(async move {
            let response = request.send().await.map_err(|error| at.broken(&error))?;
            if response.status() == StatusCode::OK {
                return Ok(response);
            }
            let refused =
                timeout(REQUEST_TIMEOUT, read_response(response, at.clone(), MAX_ERROR_BYTES)).await;
            Err(refused.map_err(|_| at.fault(&timeout_message(REQUEST_TIMEOUT)))??.refusal())
        });
        let phase = match timeout(RESPONSE_HEAD_TIMEOUT, &mut head).await {
            Ok(response) => StreamPhase::Open(response?),
            Err(_) => StreamPhase::Asked(head),
        };
        Ok(Events { context, phase, objects: Objects::default() })
    }
}

impl Events {
    /// Returns the next relevant event; `None`: the engine ended the stream. Has no timeout. Cancel-safe.
    pub(in crate::registrar) async fn next(&mut self) -> Result<Option<EngineEvent>, EngineError> {
        loop {
            while let Some(object) = self.objects.next().map_err(|why| self.context.fault(why))? {
                if let Some(event) = serde_json::from_slice(&object).ok().and_then(|reply| read(&reply)) {
                    return Ok(Some(event));
                }
            }
            match &mut self.phase {
                StreamPhase::Asked(head) => {
                    let opened = head.await;
                    self.phase = StreamPhase::Ended;
                    self.phase = StreamPhase::Open(opened?);
                }
                StreamPhase::Open(response) => match response.chunk().await {
                    Ok(Some(chunk)) => self.objects.add(&chunk),
                    Ok(None) => self.phase = StreamPhase::Ended,
                    Err(error) => {
                        self.phase = StreamPhase::Ended;
                        return Err(self.context.broken(&error));
                    }
                },
                StreamPhase::Ended if self.objects.is_empty() => return Ok(None),
                StreamPhase::Ended => {
                    self.objects = Objects::default();
                    return Err(self.context.fault("the event stream ended in the middle of an event"));
                }
            }
        }
    }
}

/// Splits a byte stream into JSON objects by their braces: some engines write a newline after each, some nothing.
#[derive(Debug, Default)]
pub(super) struct Objects {
    buffer: Vec<u8>,
    /// How much of the buffer's front was already returned.
    taken: usize,
    /// How much of the buffer was scanned, and the state of the scan.
    seen: usize,
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Objects {
    pub(super) fn add(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.taken);
        self.seen -= self.taken;
        self.taken = 0;
        self.buffer.extend_from_slice(chunk);
    }

    fn is_empty(&self) -> bool {
        self.depth == 0 && self.taken == self.buffer.len()
    }

    /// Returns the next complete object.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, &'static str> {
        while let Some(byte) = self.buffer.get(self.seen) {
            self.seen += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.quoted => self.escaped = true,
                b'"' if self.depth > 0 => self.quoted = !self.quoted,
                _ if self.quoted => {}
                b'{' => self.depth += 1,
                b'}' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let object = self.buffer[self.taken..self.seen].to_vec();
                        self.taken = self.seen;
                        return Ok(Some(object));
                    }
                }
                byte if self.depth == 0 && byte.is_ascii_whitespace() => self.taken = self.seen,
                _ if self.depth == 0 => {
                    return Err("the event stream is not JSON: is this a container engine?");
                }
                _ => {}
            }
            if self.seen - self.taken > MAX_EVENT_BYTES {
                return Err("an event is larger than 1 MiB");
            }
        }
        Ok(None)
    }
}

/// Returns what an event causes. The words of both engines, by type:
///
/// | type | action | leads to |
/// |---|---|---|
/// | container | `kill` with a signal that ends it, `die` (Podman: `died`) | its keys are removed at once, then it is inspected |
/// | container | `create`, `init`, `start`, `restart`, `stop`, `oom`, `pause`, `unpause`, `rename`, `update`, `health_status`, `destroy` (Podman: `remove`, `cleanup`), `checkpoint`, `restore`, and every unknown action | it is inspected |
/// | container | `IGNORED_ACTIONS`, `exec…` | nothing: the container is unchanged |
/// | network | `connect`, `disconnect` | the container is inspected; Docker names it in an attribute, Podman as the actor |
/// | network | `create`, `destroy`, `remove`, `update`, `prune` | nothing: no container is in it, or each has its own event |
/// | image | every one | images are listed |
/// | daemon | `reload` | the host's information is fetched again, and containers are listed |
/// | daemon | `shutdown` | nothing: the stream ends |
/// | volume, plugin, node, service, secret, config, builder; Podman's pod, system, volume, machine | every one | nothing: they do not affect ports, names or health |
pub(super) fn read(reply: &Value) -> Option<EngineEvent> {
    let word = |newer: &Value, older: &Value| {
        let newer = newer.as_str().filter(|word| !word.is_empty());
        newer.or(older.as_str()).unwrap_or("").to_owned()
    };
    let action = word(&reply["Action"], &reply["status"]);
    let action = action.split(':').next().unwrap_or("").trim();
    let id = word(&reply["Actor"]["ID"], &reply["id"]);
    let kind = reply["Type"].as_str().unwrap_or_else(|| kind_of_old(action));
    let (of, id) = match (kind, action) {
        (_, "") => return None,
        ("container", action) if is_harmless(action) => return None,
        ("container", _) => (EventSubject::Container, id),
        ("network", "connect" | "disconnect") => {
            let container = reply["Actor"]["Attributes"]["container"].as_str();
            (EventSubject::Container, container.map_or(id, str::to_owned))
        }
        ("image", _) => (EventSubject::Image, id),
        ("daemon", "reload") => (EventSubject::Host, id),
        _ => return None,
    };
    if of == EventSubject::Container && id.is_empty() {
        return None;
    }
    let action = match (kind, action) {
        ("container", "died") => "die",
        ("container", "remove") => "destroy",
        (_, action) => action,
    };
    let at = reply["timeNano"].as_i64().filter(|at| *at > 0);
    let at = at.or_else(|| reply["time"].as_i64()?.checked_mul(1_000_000_000)).filter(|at| *at > 0);
    let attribute = &reply["Actor"]["Attributes"]["signal"];
    let signal = attribute.as_str().and_then(signal::number).or_else(|| attribute.as_i64()?.try_into().ok());
    Some(EngineEvent { of, action: action.to_owned(), id, at, signal })
}

/// Returns the type of an action for engines before API 1.22, which send no type; their images have few actions.
fn kind_of_old(action: &str) -> &'static str {
    match action {
        "delete" | "import" | "load" | "pull" | "push" | "save" | "tag" | "untag" => "image",
        _ => "container",
    }
}

/// Actions that leave a container unchanged. Some are frequent: each HEALTHCHECK is three commands.
const IGNORED_ACTIONS: [&str; 13] = [
    "archive-path",
    "attach",
    "commit",
    "copy",
    "detach",
    "exec",
    "export",
    "extract-to-dir",
    "mount",
    "resize",
    "sync",
    "top",
    "unmount",
];

fn is_harmless(action: &str) -> bool {
    IGNORED_ACTIONS.contains(&action) || action.starts_with("exec_")
}

#[cfg(test)]
#[path = "tests/events.rs"]
mod tests;
