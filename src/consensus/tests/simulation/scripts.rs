//! The commands of the scripts in `consensus/tests/scripts`: a group without random faults, and what befalls it.
//!
//! Members are `m1`, `m2` … and, when added, `n1`, `n2` …; `leader` is whoever leads in the highest term. All checks of
//! the simulation hold after each step.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::oneshot;

use super::super::super::entry::RaftCommand;
use super::super::super::request::{DriverRequest, Proposal};
use super::super::super::state::Applied;
use super::plan::Plan;
use super::world::World;
use crate::keyspace::tests::golden::{Words, play_all};
use crate::keyspace::{Command, Operation};

/// How long a script waits for an answer, in milliseconds: longer than a member does.
const ANSWER_TIMEOUT_MS: u64 = 10_000;

#[test]
fn scripts() {
    play_all("consensus/tests/scripts", |world: &mut Option<World>, words| {
        let command = words.next();
        if command == "group" {
            let founders = words.option("members").unwrap_or(3);
            let mut group = World::planned(StdRng::seed_from_u64(1), Plan::calm(founders), false);
            group.healed = true;
            return settled(world.insert(group));
        }
        run(world.as_mut().unwrap_or_else(|| words.wrong("a group comes first")), &command, words)
    });
}

fn run(world: &mut World, command: &str, words: &mut Words) -> String {
    match command {
        "settle" => return settled(world),
        "wait" => {
            let until = world.now + words.option::<u64>("ms").unwrap_or(0);
            while world.now < until {
                world.pass();
            }
        }
        "cut" => {
            let one = world.named(&words.next());
            for other in world.members.keys().copied().filter(|other| *other != one) {
                world.network.cut.extend([(one, other), (other, one)]);
            }
        }
        "mend" => world.mend(),
        "crash" => {
            let id = world.named(&words.next());
            world.crash(id);
            world.members.get_mut(&id).expect("it is a member").up_at = None;
        }
        "start" => {
            let id = world.named(&words.next());
            world.members.get_mut(&id).expect("it is a member").up_at = Some(world.now);
        }
        "hand-over" => {
            let id = world.named(&words.next());
            world.send_request(id, DriverRequest::TransferLeadership).expect("it is taken");
        }
        "add" => {
            let command = world.propose_member();
            return world.proposed("leader", command);
        }
        "remove" => {
            let id = world.named(&words.next());
            return world.proposed("leader", RaftCommand::Remove { id });
        }
        "set" => {
            let (member, word) = (words.next(), words.next());
            let (key, value) = word.split_once('=').unwrap_or_else(|| words.wrong("no value"));
            let (key, value) = (key.as_bytes().into(), value.as_bytes().into());
            let operation = Operation::Set { key, dir: false, value, expires: None, refresh: false };
            let command = RaftCommand::Key(Command { at: 0, operation });
            let times = words.option("times").unwrap_or(1);
            return (0..times).map(|_| world.proposed(&member, command.clone())).last().unwrap_or_default();
        }
        "read" => {
            let (id, key) = (world.named(&words.next()), words.next());
            let (reply, mut answer) = oneshot::channel();
            world.send_request(id, DriverRequest::Read(reply)).expect("it is taken");
            let answered = world.advance_until(|_| answer.try_recv().ok());
            return answered.map_or("no answer".to_owned(), |()| world.value(id, &key));
        }
        // Without asking the others.
        "stale-read" => {
            let id = world.named(&words.next());
            return world.value(id, &words.next());
        }
        "status" => return world.status(),
        _ => words.wrong("no such command"),
    }
    String::new()
}

/// Waits until all members agree, and makes the checks of a run's end.
fn settled(world: &mut World) -> String {
    world.until_level().and_then(|()| world.finish()).unwrap_or_else(|broken| panic!("{broken}"));
    world.status()
}

impl World {
    fn named(&self, name: &str) -> u64 {
        let leaders = self.members.values().filter(|member| {
            name == "leader" && member.life.as_ref().is_some_and(|life| life.driver.replica.is_leader())
        });
        let leader = leaders.max_by_key(|member| member.life.as_ref().map(|life| life.driver.replica.term()));
        let named = self.members.values().find(|member| member.settings.name == name);
        leader.or(named).unwrap_or_else(|| panic!("there is no {name}")).id
    }

    fn name(&self, id: u64) -> &str {
        self.members.get(&id).map_or("nobody", |member| &member.settings.name)
    }

    /// Lets time pass until `done` has something, or for [`ANSWER_TIMEOUT_MS`].
    fn advance_until<T>(&mut self, mut done: impl FnMut(&Self) -> Option<T>) -> Option<T> {
        let limit = self.now + ANSWER_TIMEOUT_MS;
        loop {
            let found = done(self);
            if found.is_some() || self.now >= limit {
                return found;
            }
            self.pass();
        }
    }

    fn pass(&mut self) {
        self.advance(false).unwrap_or_else(|broken| panic!("{broken}"));
    }

    fn proposed(&mut self, member: &str, command: RaftCommand) -> String {
        let (id, (reply, mut answer)) = (self.named(member), oneshot::channel());
        self.send_request(id, DriverRequest::Propose(Proposal { command, reply, bytes: 0 }))
            .expect("it is taken");
        match self.advance_until(|_| answer.try_recv().ok()) {
            None => "no answer".to_owned(),
            Some(Ok((Applied::Key(Ok(event)), _))) => format!("index {}", event.index()),
            Some(Ok((Applied::Roster(Ok(())), _))) => "done".to_owned(),
            Some(Ok((Applied::Roster(Err(refused)), _))) => format!("refused: {refused:?}"),
            Some(Ok((applied, _))) => format!("{applied:?}"),
            Some(Err(refused)) => format!("{refused:?}"),
        }
    }

    fn value(&self, id: u64, key: &str) -> String {
        let Some(life) = self.members.get(&id).and_then(|member| member.life.as_ref()) else {
            return "it is down".to_owned();
        };
        let state = life.shared.read();
        let value = state.keyspace.get(key.as_bytes()).ok().and_then(|node| node.value().cloned());
        value.map_or("nothing".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
    }

    fn status(&self) -> String {
        let mut lines: Vec<_> = self
            .members
            .values()
            .map(|member| {
                let name = &member.settings.name;
                let Some(life) = &member.life else {
                    return format!("{name} {}", if member.left { "was removed" } else { "is down" });
                };
                let replica = &life.driver.replica;
                let role = if replica.is_leader() {
                    "leads".to_owned()
                } else {
                    format!("follows {}", self.name(replica.leader()))
                };
                let mut voters: Vec<_> = replica.voters().into_iter().map(|id| self.name(id)).collect();
                voters.sort_unstable();
                format!(
                    "{name} {role} in term {}, applied {}, log from {}, votes: {}",
                    replica.term(),
                    life.seen,
                    replica.log_ref().start().index + 1,
                    voters.join(" ")
                )
            })
            .collect();
        lines.sort();
        lines.join("\n")
    }
}
