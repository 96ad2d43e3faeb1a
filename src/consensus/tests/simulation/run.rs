//! One seed from start to last check.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rand::RngExt as _;

use super::super::super::request::DriverRequest;
use super::checks::{Check, handover, live};
use super::plant::cut_power_after;
use super::world::{STEP_MS, World};

/// The figures of a successful run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) answers: usize,
    pub(super) terms: usize,
    pub(super) changes: usize,
    pub(super) virtual_ms: u64,
}

/// Runs a seed, as bad as possible when `stormy`. The error is the violated invariant, with the last events when
/// `telling`.
pub(super) fn run(seed: u64, stormy: bool, telling: bool) -> Result<Figures, String> {
    let mut world = World::new(seed, stormy, telling);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.whole()));
    cut_power_after(None);
    let broken = match outcome {
        Ok(Ok(())) => return Ok(world.figures()),
        Ok(Err(broken)) => broken,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            format!("panic: {}", text.unwrap_or_default())
        }
    };
    let lines = world.lines.take().into_iter().flatten().collect::<Vec<_>>().join("\n");
    Err(if telling { format!("{lines}\n{:?}\n{broken}", world.plan) } else { broken })
}

impl World {
    fn whole(&mut self) -> Check {
        while self.now < self.plan.trouble {
            self.advance(true)?;
        }
        self.heal();
        self.until_level()?;
        self.ask_once_more()?;
        self.hand_over()?;
        self.finish()
    }

    /// Ends all faults.
    fn heal(&mut self) {
        self.note(|| "all is well from here on".to_owned());
        self.healed = true;
        (self.plan.lost, self.plan.twice) = (0.0, 0.0);
        (self.plan.delay, self.plan.lump, self.plan.ticks) = (self.plan.delay.min(20), 1, 10);
        self.mend();
        for member in self.members.values_mut().filter(|member| member.life.is_none() && !member.left) {
            member.up_at = Some(self.now + 100);
        }
    }

    pub(super) fn until_level(&mut self) -> Check {
        let limit = self.now + live::LIMIT_MS;
        loop {
            self.advance(false)?;
            let why = match live::level(&self.members) {
                Ok(_) if !self.clients.iter().any(super::clients::Client::waits) => return Ok(()),
                Ok(_) => "clients wait".to_owned(),
                Err(why) => why,
            };
            if self.now > limit {
                let stuck: Vec<_> = self.clients.iter().filter_map(super::clients::Client::stuck).collect();
                return Err(format!(
                    "live: after {} s without trouble {why}; {stuck:x?}",
                    live::LIMIT_MS / 1000
                ));
            }
        }
    }

    /// Checks that clients get results after everything has healed.
    fn ask_once_more(&mut self) -> Check {
        let (until, before) = (self.now + 500, self.answers);
        while self.now < until {
            self.advance(true)?;
        }
        self.until_level()?;
        if self.answers == before {
            Err("live: nobody is answered while all is well".to_owned())
        } else {
            Ok(())
        }
    }

    fn hand_over(&mut self) -> Check {
        let leader = live::level(&self.members)?;
        let alone =
            self.members[&leader].life.as_ref().is_some_and(|life| life.driver.replica.voters().len() < 2);
        if alone || self.random.random_bool(0.5) {
            return Ok(());
        }
        self.note(|| format!("{leader:x} is asked to hand over"));
        self.send_request(leader, DriverRequest::TransferLeadership)?;
        let limit = self.now + handover::LIMIT_MS;
        while handover::successor(&self.members, leader).is_none() {
            self.advance(true)?;
            if self.now > limit {
                return Err(format!("handover: {leader:x} has no successor after {} ms", handover::LIMIT_MS));
            }
        }
        self.until_level()
    }

    /// Does the checks that are only possible at the end.
    pub(super) fn finish(&mut self) -> Check {
        let leader = live::level(&self.members)?;
        let life = self.members[&leader].life.as_ref().ok_or("it leads and is down")?;
        let state = life.shared.read();
        self.membership.end(leader, &state.roster)?;
        self.durable.end(&state.keyspace)?;
        self.once.end(&state.keyspace)?;
        self.linear.end()
    }

    fn figures(&self) -> Figures {
        Figures {
            answers: self.answers,
            terms: self.election.count(),
            changes: self.durable.count(),
            virtual_ms: self.now / STEP_MS * STEP_MS,
        }
    }
}
