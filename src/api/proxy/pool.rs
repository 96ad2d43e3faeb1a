//! Connections to members, kept for the next request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, Response};

use super::dial::Dialer;
use super::line::{Line, Question, Trouble};
use super::site::Site;

/// How many connections may rest for each endpoint, as in etcd.
const RESTING: usize = 128;
/// How long one may rest.
const REST: Duration = Duration::from_secs(90);

/// Resting connections by the URL they lead to.
#[derive(Debug)]
pub(super) struct Pool {
    dialer: Dialer,
    resting: Mutex<HashMap<String, Vec<(Line, Instant)>>>,
}

impl Pool {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, resting: Mutex::new(HashMap::new()) }
    }

    /// Asks one member. A connection that rested may have been closed meanwhile without this side having heard of
    /// it; then the question is asked again over another, if it was not sent or does no harm twice.
    pub(super) async fn ask(
        &self,
        site: &Site,
        mut question: Question,
    ) -> Result<(Response<Incoming>, Line), String> {
        let again = harmless(&question).then(|| question.clone());
        while let Some(mut line) = self.rested(site) {
            match (line.ask(question).await, &again) {
                (Ok(answer), _) => return Ok((answer, line)),
                (Err(Trouble::Unsent(unsent)), _) => question = *unsent,
                (Err(Trouble::Lost(_)), Some(again)) => question = again.clone(),
                (Err(Trouble::Lost(why)), None) => return Err(self.dialer.explain(site, why)),
            }
        }
        let mut line = self.dialer.connect(site).await.map_err(|error| error.to_string())?;
        match line.ask(question).await {
            Ok(answer) => Ok((answer, line)),
            Err(Trouble::Unsent(_)) => Err("the connection closed at once".to_owned()),
            Err(Trouble::Lost(why)) => Err(self.dialer.explain(site, why)),
        }
    }

    /// Takes a connection back, if it can serve again.
    pub(super) fn rest(&self, site: &Site, mut line: Line) {
        if !line.rests() {
            return;
        }
        let mut resting = self.lock();
        if let Some(lines) = resting.get_mut(&site.url) {
            if lines.len() < RESTING {
                lines.push((line, Instant::now()));
            }
        } else {
            resting.insert(site.url.clone(), vec![(line, Instant::now())]);
        }
    }

    /// Lets go of connections that were closed, rested for long, or lead to none of these.
    pub(super) fn tidy(&self, sites: &[Site]) {
        self.lock().retain(|url, lines| {
            lines.retain_mut(|(line, since)| since.elapsed() < REST && line.rests());
            !lines.is_empty() && sites.iter().any(|site| site.url == *url)
        });
    }

    /// The one that rested last, of those that are still good.
    fn rested(&self, site: &Site) -> Option<Line> {
        loop {
            let (mut line, since) = self.lock().get_mut(&site.url)?.pop()?;
            if since.elapsed() < REST && line.rests() {
                return Some(line);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<(Line, Instant)>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it changes nothing to be asked twice.
fn harmless(question: &Question) -> bool {
    matches!(*question.method(), Method::GET | Method::HEAD)
}
