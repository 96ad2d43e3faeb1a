//! `cluster-health`: the health of every member.

use std::time::Duration;

use crate::client::cluster::{Health, Member, Members};

use super::command::Invocation;
use super::error::{CommandError, EXIT_UNHEALTHY};
use super::print;
use super::session::Session;
use super::watch::until_interrupted;

const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Asks every member for its health, once or until interrupted.
pub(super) async fn run(call: &Invocation, forever: bool) -> Result<(), CommandError> {
    let session = Session::open_without_sync(call).await?;
    if call.access.debug {
        print::debug(&format!("Cluster-Endpoints: {}", session.cluster.endpoints().join(", ")));
    }
    // Each endpoint has a timeout, the list as a whole has none.
    let members = Members::new(&session.cluster, None);
    let all = match members.list().await {
        Ok(all) => all,
        Err(error) => {
            print::out("cluster may be unhealthy: failed to list members\n");
            return Err(error.into());
        }
    };
    if !forever {
        return check(&session, &all).await;
    }
    until_interrupted(async {
        loop {
            // The result of this round is printed; the next one may differ.
            check(&session, &all).await.ok();
            print::out_until_read("\nnext check after 10 second...\n\n".to_owned()).await;
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    })
    .await
}

async fn check(session: &Session<'_>, all: &[Member]) -> Result<(), CommandError> {
    let mut good = 0;
    for member in all {
        if is_healthy(session, member).await {
            good += 1;
        }
    }
    let (verdict, code) = match good {
        good if good == all.len() => ("healthy", 0),
        0 => ("unavailable", EXIT_UNHEALTHY),
        _ => ("degraded", EXIT_UNHEALTHY),
    };
    print::out_until_read(format!("cluster is {verdict}\n")).await;
    if code == 0 { Ok(()) } else { Err(CommandError { code, message: String::new() }) }
}

/// Returns whether the member reports that it is healthy.
async fn is_healthy(session: &Session<'_>, member: &Member) -> bool {
    let id = &member.id;
    if member.clients.is_empty() {
        let line = format!("member {id} is unreachable: no available published client urls\n");
        print::out_until_read(line).await;
        return false;
    }
    // A member that accepts a connection and does not respond must not delay the result for ever.
    let limit = session.call.access.total_timeout;
    for url in &member.clients {
        let (line, good) = match session.members().health(url, limit).await {
            Health::Healthy => (format!("member {id} is healthy: got healthy result from {url}\n"), true),
            Health::Unhealthy => {
                (format!("member {id} is unhealthy: got unhealthy result from {url}\n"), false)
            }
            Health::Unknown(why) => {
                let line = format!("failed to check the health of member {id} on {url}: {why}\n");
                print::out_until_read(line).await;
                continue;
            }
        };
        print::out_until_read(line).await;
        return good;
    }
    let clients = member.clients.join(" ");
    print::out(&format!("member {id} is unreachable: [{clients}] are all unreachable\n"));
    false
}
