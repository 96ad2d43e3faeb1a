//! Clients: each sends one request after the other, to any member, and records the result.

use rand::RngExt as _;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::super::super::entry::RaftCommand;
use super::super::super::outcome::ProposeError;
use super::super::super::pending::ProposeResult;
use super::super::super::request::{DriverRequest, Proposal};
use super::super::super::state::Applied;
use super::checks::Check;
use super::checks::linear::{Act, Reply};
use super::checks::once::QUEUE;
use super::world::World;
use crate::keyspace::{Code, Command, Operation};

/// Keys that are written and read.
const KEY_COUNT: usize = 3;
/// A key that expires at once.
const EXPIRING_KEY: &str = "/fleeting";
/// Milliseconds after which a client gives up; a member does so earlier.
const REQUEST_TIMEOUT_MS: u64 = 9_000;

/// One client.
#[derive(Default)]
pub(super) struct Client {
    member: u64,
    asked: Option<PendingRequest>,
    next: u64,
}

/// The pending request.
struct PendingRequest {
    what: ClientOp,
    since: u64,
    member: u64,
    answer: Answer,
}

enum Answer {
    Outcome(oneshot::Receiver<ProposeResult>),
    Read(oneshot::Receiver<()>),
}

/// The operation of a request.
enum ClientOp {
    /// On a key, with this number in the history.
    Key { key: usize, number: u64 },
    /// An in-order key in the queue.
    Place(String),
    /// Any other.
    Else,
}

fn key(number: usize) -> String {
    format!("/key{number}")
}

impl Client {
    /// Returns whether it waits for a result.
    pub(super) fn waits(&self) -> bool {
        self.asked.is_some()
    }

    /// Returns what a stuck client waits for.
    pub(super) fn stuck(&self) -> Option<(u64, u64)> {
        self.asked.as_ref().map(|asked| (asked.member, asked.since))
    }
}

impl World {
    /// Each client takes its result, or sends a new request.
    pub(super) fn step_clients(&mut self, asking: bool) -> Check {
        for at in 0..self.clients.len() {
            let mut client = std::mem::take(&mut self.clients[at]);
            let turned = if client.asked.is_some() {
                self.take_answer(&mut client)
            } else if asking && client.next <= self.now {
                self.ask(&mut client)
            } else {
                Ok(())
            };
            self.clients[at] = client;
            turned?;
        }
        Ok(())
    }

    fn ask(&mut self, client: &mut Client) -> Check {
        let up = self.up();
        if up.is_empty() {
            return Ok(());
        }
        if !up.contains(&client.member) || self.random.random_bool(0.1) {
            client.member = up[self.random.random_range(0..up.len())];
        }
        let member = client.member;
        let number = self.moment();
        let key_number = self.random.random_range(0..KEY_COUNT);
        let name: crate::keyspace::Key = key(key_number).as_bytes().into();
        let text = number.to_string();
        let value: crate::keyspace::Value = text.as_bytes().into();
        let (what, act, operation) = match self.random.random_range(0..20) {
            0..6 => {
                let operation =
                    Operation::Set { key: name, dir: false, value, expires: None, refresh: false };
                (ClientOp::Key { key: key_number, number }, Some(Act::Set(number)), Some(operation))
            }
            6..9 => {
                let before = self.last_values[key_number];
                let prev_value = Some(before.to_string().as_bytes().into());
                let (prev_index, expires, refresh) = (None, None, false);
                let operation =
                    Operation::CompareAndSwap { key: name, prev_value, prev_index, value, expires, refresh };
                (ClientOp::Key { key: key_number, number }, Some(Act::Swap(before, number)), Some(operation))
            }
            9 => {
                let operation = Operation::Delete { key: name, dir: false, recursive: false };
                (ClientOp::Key { key: key_number, number }, Some(Act::Delete), Some(operation))
            }
            10..14 => {
                let (key, dir, expires, in_order) = (QUEUE.as_bytes().into(), false, None, true);
                self.once.proposed(&text);
                (ClientOp::Place(text), None, Some(Operation::Create { key, dir, value, expires, in_order }))
            }
            14 => {
                let (key, dir, expires, refresh) = (EXPIRING_KEY.as_bytes().into(), false, Some(1), false);
                (ClientOp::Else, None, Some(Operation::Set { key, dir, value, expires, refresh }))
            }
            _ => (ClientOp::Key { key: key_number, number }, Some(Act::Read), None),
        };
        if let Some(act) = act {
            self.linear.asks(key_number, act, number);
        }
        self.note(|| format!("client asks {member:x}: {number} {act:?}"));
        let answer = match operation {
            Some(operation) => {
                let (reply, answer) = oneshot::channel();
                let command =
                    RaftCommand::Key(Command { at: i64::try_from(self.now).unwrap_or(0), operation });
                self.send_request(member, DriverRequest::Propose(Proposal { command, reply, bytes: 0 }))?;
                Answer::Outcome(answer)
            }
            None => {
                let (reply, answer) = oneshot::channel();
                self.send_request(member, DriverRequest::Read(reply))?;
                Answer::Read(answer)
            }
        };
        client.asked = Some(PendingRequest { what, since: self.now, member, answer });
        Ok(())
    }

    fn take_answer(&mut self, client: &mut Client) -> Check {
        let Some(mut asked) = client.asked.take() else { return Ok(()) };
        let answered = match &mut asked.answer {
            Answer::Outcome(answer) => match answer.try_recv() {
                Ok(outcome) => Some(self.handle_result(&asked.what, outcome)),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Closed) => Some(Ok(())),
            },
            Answer::Read(answer) => match answer.try_recv() {
                Ok(()) => Some(self.read(&asked)),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Closed) => Some(Ok(())),
            },
        };
        if let Some(check) = answered {
            client.next = self.now + self.random.random_range(0..=self.plan.rest);
            return check;
        }
        if self.now < asked.since + REQUEST_TIMEOUT_MS {
            client.asked = Some(asked);
        }
        Ok(())
    }

    /// Handles the result of a proposal.
    fn handle_result(&mut self, what: &ClientOp, outcome: ProposeResult) -> Check {
        let moment = self.moment();
        let result = match outcome {
            Ok((Applied::Key(result), _)) => result,
            Ok((other, _)) => return Err(format!("once: a change of a key was answered with {other:?}")),
            Err(refusal) => {
                self.note(|| format!("client is told {refusal:?}"));
                let known = matches!(refusal, ProposeError::TimedOut | ProposeError::Stopping);
                return if known { Ok(()) } else { Err(format!("live: refused with {refusal:?}")) };
            }
        };
        self.note(|| {
            format!("client is told {:?}", result.as_ref().map(|event| (event.index(), event.action)))
        });
        if let Ok(event) = &result {
            self.durable.answered(event)?;
        }
        match (what, result) {
            (ClientOp::Key { key, number }, Ok(event)) => {
                if let Some(value) = event.node.value.as_deref() {
                    let text = String::from_utf8_lossy(value);
                    self.last_values[*key] = text.parse().unwrap_or(0);
                }
                self.linear.record_reply(*number, Reply::Done, moment);
            }
            (ClientOp::Key { number, .. }, Err(error)) => {
                let refused = matches!(error.code, Code::KeyNotFound | Code::CompareFailed);
                if !refused {
                    return Err(format!("linear: a change of a key was refused: {error}"));
                }
                self.linear.record_reply(*number, Reply::Refused, moment);
            }
            (ClientOp::Place(text), Ok(_)) => self.once.answered(text),
            (ClientOp::Place(_), Err(error)) => return Err(format!("once: no place in the queue: {error}")),
            (ClientOp::Else, _) => {}
        }
        self.answers += 1;
        Ok(())
    }

    /// Serves a read from the member's own state.
    fn read(&mut self, asked: &PendingRequest) -> Check {
        let ClientOp::Key { key: number_of_key, number } = asked.what else { return Ok(()) };
        let Some(life) = self.members.get(&asked.member).and_then(|member| member.life.as_ref()) else {
            return Ok(());
        };
        let state = life.shared.read();
        let value = state.keyspace.get(key(number_of_key).as_bytes()).ok();
        let value = value.and_then(|node| String::from_utf8_lossy(node.value()?).parse().ok());
        drop(state);
        let moment = self.moment();
        self.note(|| format!("client reads {value:?} from {:x} for {number}", asked.member));
        self.linear.record_reply(number, Reply::There(value), moment);
        self.answers += 1;
        Ok(())
    }
}
