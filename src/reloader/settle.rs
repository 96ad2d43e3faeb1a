//! Paying owed reloads: run each once, see that the service took it, go back where it did not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::deliver::Deliverer;
use super::outcome::{Line, Outcome, Step};
use super::owed::Debt;
use super::probe::Verify;
use super::reload::Action;
use super::verify::verify;
use super::want::{Content, Want, unrendered};
use crate::backoff::Backoff;

/// How many resources or destinations a log line names.
const NAMED: usize = 5;

/// A reload that has to run, and for whom.
pub(super) struct Owed {
    /// `None` where only a verification is due.
    action: Option<Action>,
    /// Its paper, if it has one.
    debt: Option<Debt>,
    wants: Vec<Want>,
    backoff: Backoff,
    not_before: Option<Instant>,
    /// It ran, and what proves it is not known before a template renders: until then it would run in vain.
    waits_for_render: bool,
}

impl Owed {
    pub(super) fn new(action: Option<Action>) -> Self {
        let (backoff, waits_for_render) = (retry_backoff(), false);
        Self { action, debt: None, wants: Vec::new(), backoff, not_before: None, waits_for_render }
    }

    /// One more destination wants this reload: it is due at once, whatever it waited for.
    pub(super) fn add(&mut self, want: Want, debt: Option<Debt>) {
        self.debt = debt.or(self.debt.take());
        (self.not_before, self.waits_for_render) = (None, false);
        match self.wants.iter_mut().find(|present| present.dest == want.dest) {
            // The way back leads to what was there before the first swap that is not yet verified.
            Some(present) => {
                let previous = present.previous.take().or(want.previous);
                *present = Want { previous, ..want };
            }
            None => self.wants.push(want),
        }
    }

    /// Takes a destination back that was here before; the wait goes on.
    pub(super) fn add_waiting(&mut self, want: Want) {
        self.waits_for_render &= want.is_unknown();
        self.wants.push(want);
    }

    pub(super) fn take_wants(&mut self) -> Vec<Want> {
        std::mem::take(&mut self.wants)
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.wants.is_empty()
    }

    pub(super) fn is_verified(&self) -> bool {
        self.wants.iter().any(|want| want.resource.verify.is_some())
    }

    /// The file at `dest` was rendered again and is the one in place: from now on its service is asked this.
    fn learn(&mut self, dest: &Path, verify: &Arc<Verify>) {
        for want in self.wants.iter_mut().filter(|want| want.dest == dest) {
            if matches!(want.content, Content::Swapped(_) | Content::Present) {
                want.verify = Some(Arc::clone(verify));
                if std::mem::take(&mut self.waits_for_render) {
                    self.not_before = None;
                }
            }
        }
    }

    fn interval(&self) -> Duration {
        self.wants.iter().map(|want| want.resource.min_reload_interval).max().unwrap_or_default()
    }

    fn describe(&self) -> String {
        self.action.as_ref().map_or_else(|| "verification".to_owned(), Action::describe)
    }

    /// The resources it runs for, as the log names them.
    fn resources(&self) -> String {
        named(self.wants.iter().map(|want| want.resource.name.clone()))
    }

    /// The destinations it runs for, as the log names them.
    fn dests(&self) -> String {
        named(self.wants.iter().map(|want| want.dest.display().to_string()))
    }

    /// What lies on the disk while the reload has not succeeded.
    fn state(&self) -> &'static str {
        let any = |wanted: fn(&Content) -> bool| self.wants.iter().any(|want| wanted(&want.content));
        if any(|content| matches!(content, Content::Swapped(_))) {
            "the new file is in place, but the service has not taken it"
        } else if any(|content| *content == Content::Removed) {
            "the file is removed, but the service has not been told"
        } else if any(|content| *content == Content::PutBack) {
            "the previous file is in place, but the service has not taken it"
        } else {
            "the file in place is the wanted one, but the service has not taken it"
        }
    }
}

/// The names of a list, each once; of a long one the first few and how many there are.
fn named(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    let all = names.len();
    if all <= NAMED {
        return names.join(", ");
    }
    names.truncate(NAMED);
    format!("{} and {} more", names.join(", "), all - NAMED)
}

impl Deliverer {
    /// Takes in what proves the file in place at `dest`, for the reloads that are still owed to it.
    pub(super) fn learn(&mut self, dest: &Path, verify: Option<&Arc<Verify>>) {
        if let Some(verify) = verify {
            self.owed.values_mut().for_each(|owed| owed.learn(dest, verify));
        }
    }

    /// When the next owed reload may be tried, if any is owed that does not wait for a template.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let timed = self.owed.values().filter(|owed| !owed.waits_for_render);
        timed.map(|owed| owed.not_before.unwrap_or_else(Instant::now)).min()
    }

    /// Whether any reload is owed.
    pub(super) fn is_owing(&self) -> bool {
        !self.owed.is_empty()
    }

    /// Runs every owed reload whose time has come. Once the stop was asked for, no further one is started: what is
    /// still owed is on paper.
    pub(super) async fn settle_due(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let now = Instant::now();
        let due = |owed: &Owed| !owed.waits_for_render && owed.not_before.is_none_or(|at| at <= now);
        let keys: Vec<String> =
            self.owed.iter().filter(|(_, owed)| due(owed)).map(|(key, _)| key.clone()).collect();
        let mut ran = false;
        for key in keys {
            if ran && self.stop.requested() {
                break;
            }
            let Some(mut owed) = self.owed.remove(&key) else { continue };
            if let Some(at) = self.throttled(&key, &owed) {
                let why = format!("{} ran less than {:?} ago", owed.describe(), owed.interval());
                tracing::info!(dest = %owed.dests(), "Reload throttled: {why}; it runs when that time is over");
                lines.extend(owed.wants.iter().map(|want| want.told(Outcome::Owed { why: why.clone() })));
                owed.not_before = Some(at);
                self.owed.insert(key, owed);
                continue;
            }
            ran = true;
            lines.extend(self.settle(key, owed).await);
        }
        lines
    }

    fn throttled(&self, key: &str, owed: &Owed) -> Option<Instant> {
        let at = *self.last_run.get(key)? + owed.interval();
        (at > Instant::now()).then_some(at)
    }

    async fn settle(&mut self, key: String, mut owed: Owed) -> Vec<Line> {
        if let Err(text) = self.run(&key, &owed).await {
            let wait = owed.backoff.next();
            let (state, again) = (owed.state(), self.tried_again(wait));
            tracing::error!(
                resource = %owed.resources(),
                dest = %owed.dests(),
                reload = %owed.describe(),
                "reload failed; {state}; {again}: {text}"
            );
            let outcome = Outcome::failed(Step::Reload, format!("{}: {text}", owed.describe()));
            let lines = owed.wants.iter().map(|want| want.told(outcome.clone())).collect();
            owed.not_before = Some(Instant::now() + wait);
            self.owed.insert(key, owed);
            return lines;
        }
        match self.verify_all(&owed.wants).await {
            Ok(()) => {
                let (unknown, done): (Vec<_>, Vec<_>) =
                    owed.take_wants().into_iter().partition(Want::is_unknown);
                for want in &done {
                    self.held.remove(&want.dest);
                }
                owed.wants = unknown;
                if owed.is_wanted() {
                    self.wait_for_render(key, owed);
                } else {
                    self.strike_off(&owed);
                }
                done.iter().filter_map(Want::done).collect()
            }
            Err(text) => self.roll_back(key, owed, &text).await,
        }
    }

    /// The reload ran, but what its service must answer is not known before the template renders. It stays owed, and
    /// does not run again before that: it would tell nothing.
    fn wait_for_render(&mut self, key: String, mut owed: Owed) {
        for want in &owed.wants {
            let dest = want.dest.display();
            tracing::warn!(
                "{dest} was reloaded; it is verified, after one more reload, once its template renders"
            );
        }
        owed.waits_for_render = true;
        self.owed.insert(key, owed);
    }

    /// When a reload that failed runs again. A one-shot ends before that.
    fn tried_again(&self, wait: Duration) -> String {
        match (self.one_shot, &self.settings.state_dir) {
            (false, _) => format!("tried again in {wait:.1?}"),
            (true, Some(_)) => "the next render or watch tries it again".to_owned(),
            (true, None) => {
                "nothing tries it again, since no state folder remembers it: run it by hand".to_owned()
            }
        }
    }

    /// Runs the reload, if there is one. The error is masked.
    async fn run(&mut self, key: &str, owed: &Owed) -> Result<(), String> {
        let Some(action) = &owed.action else { return Ok(()) };
        let result = action.run().await;
        if result.is_ok() {
            tracing::info!(reload = %owed.describe(), "reloaded for {}", owed.dests());
        }
        if owed.interval() > Duration::ZERO {
            self.last_run.insert(key.to_owned(), Instant::now());
        }
        result.map_err(|text| self.redactor.mask(&text))
    }

    fn strike_off(&self, owed: &Owed) {
        let Some(debt) = &owed.debt else { return };
        if let Err(error) = self.ledger.paid(debt) {
            tracing::warn!(
                "{} ran, but its debt stays on paper and it will run again: {error}",
                owed.describe()
            );
        }
    }

    async fn verify_all(&self, wants: &[Want]) -> Result<(), String> {
        let mut asked = Vec::new();
        for check in wants.iter().filter_map(|want| want.verify.as_deref()) {
            if !asked.contains(&check) {
                verify(check).await.map_err(|text| self.redactor.mask(&text))?;
                asked.push(check);
            }
        }
        Ok(())
    }

    /// Puts every file back that this reload brought in, reloads once more, and remembers what was refused.
    async fn roll_back(&mut self, key: String, mut owed: Owed, text: &str) -> Vec<Line> {
        tracing::error!(
            resource = %owed.resources(),
            dest = %owed.dests(),
            reload = %owed.describe(),
            "verification failed, going back: {text}"
        );
        let mut lines = Vec::new();
        let mut any = false;
        for want in &mut owed.wants {
            let outcome = match put_back(want) {
                Ok(()) => {
                    any = true;
                    if let Content::Swapped(digest) = &want.content {
                        self.held.insert(want.dest.clone(), digest.clone());
                    }
                    if want.content == Content::Removed {
                        // Ours again; should this not get on paper, the file merely stays when its entry goes.
                        self.manifest.add(&want.resource.name, vec![want.dest.clone()]).ok();
                    }
                    want.content = Content::PutBack;
                    want.verify = unrendered(&want.resource);
                    let back = match &want.previous {
                        Some((_, None)) => "there was no file before, so it was removed again",
                        _ => "the previous file is back in service",
                    };
                    let (dest, held) = (want.dest.display(), tried_anew(self.one_shot));
                    tracing::warn!(resource = %want.resource.name, %dest, "{back}; {held}");
                    format!("{text}; {back}")
                }
                Err(error) => {
                    let (dest, says) = (want.dest.display(), "the previous file could not be put back");
                    tracing::error!(resource = %want.resource.name, %dest, "{says}: {error}");
                    format!("{text}; {says}: {error}")
                }
            };
            lines.push(want.told(Outcome::failed(Step::Verify, outcome)));
        }
        if any {
            self.reload_the_previous(key, owed).await;
        } else {
            // Nothing to go back to: the service may yet come round, and until then it is not known to run this.
            owed.not_before = Some(Instant::now() + owed.backoff.next());
            self.owed.insert(key, owed);
        }
        lines
    }

    /// The way back owes a reload just as the way there did, and a crash must not forget it either.
    async fn reload_the_previous(&mut self, key: String, mut owed: Owed) {
        for want in &mut owed.wants {
            want.previous = None;
        }
        if owed.action.is_none() {
            return;
        }
        let mut debt = Debt::new(key.clone());
        debt.files = owed.wants.iter().map(Want::on_paper).collect();
        if let Err(error) = self.ledger.owe(&debt) {
            tracing::warn!("the reload after going back could not be written down: {error}");
        }
        owed.debt = Some(debt);
        match self.run(&key, &owed).await {
            Ok(()) => self.strike_off(&owed),
            Err(text) => {
                let wait = owed.backoff.next();
                let again = self.tried_again(wait);
                tracing::error!(
                    dest = %owed.dests(),
                    reload = %owed.describe(),
                    "the reload after going back failed; {again}: {text}"
                );
                owed.not_before = Some(Instant::now() + wait);
                self.owed.insert(key, owed);
            }
        }
    }
}

/// When a content that failed its verification is tried again: a daemon remembers it, a one-shot ends.
const fn tried_anew(one_shot: bool) -> &'static str {
    if one_shot {
        "the next render tries the new content again"
    } else {
        "the new content is not tried again until its input changes"
    }
}

/// Puts back what was there before: the previous file, or no file.
fn put_back(want: &Want) -> Result<(), String> {
    let Some((target, previous)) = &want.previous else { return Err("it was not kept".to_owned()) };
    target.restore(previous.as_ref()).map_err(|error| error.to_string())
}

/// The wait between two tries of something that failed.
pub(super) fn retry_backoff() -> Backoff {
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60))
}
