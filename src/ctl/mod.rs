//! The etcdctl command set over `client`, and more: whole subtrees as documents.
//!
//! Owns: each command's requests, output and exit code; documents ([`document`]) and the writes that make a store match
//! one ([`plan`]); snapshots of etcd 0.4; candidates for shell completion.
//! Promises: stdout, stderr and exit codes of etcdctl's commands are etcdctl's. Exit codes: 0 done, 1 invalid arguments
//! or a refusal before the store was asked (also every failure of `member`, `user`, `role` and `auth`), 2 no
//! connection, 3 unknown command, 4 the store rejected the request or did not respond, 5 a cluster that is not fully
//! healthy. A write that depends on an earlier read has the condition that nothing changed since. A password is typed
//! unseen, and never shown.
//! Leaves out: parsing the command line (`settings`), and starting the runtime (`app`).

mod access;
mod auth;
mod backup;
mod complete;
mod diff;
mod document;
mod edit;
mod end;
mod exec_watch;
mod export;
mod follow;
mod health;
mod import;
mod import_from;
mod job;
mod keys;
mod live;
mod members;
mod migrate;
mod plan;
mod print;
mod prompt;
mod role;
mod session;
mod snapshot;
mod user;
mod watch;

pub use access::{Access, Discovery};
pub use job::{Backup, From, Invocation, Job, Message, PermissionChange};

use end::End;
use session::Session;

/// Runs one call to its end: prints its output and returns the exit code. Needs a tokio runtime with IO and time.
pub async fn run(invocation: Invocation) -> u8 {
    // Notes would disturb a shell that completes a word.
    let quiet = matches!(invocation.job, Job::CompleteKeys);
    for note in invocation.notes.iter().filter(|_| !quiet) {
        print::error(&format!("{note}\n"));
    }
    match dispatch(&invocation).await {
        Ok(()) => 0,
        Err(end) => {
            print::error(&end.message);
            end.code
        }
    }
}

/// Runs the job. There is no wildcard arm, so a job without an arm does not compile.
async fn dispatch(call: &Invocation) -> Result<(), End> {
    // These commands check their arguments only after the cluster was found, as etcdctl does.
    let session = || Session::open(call);
    let text = match &call.job {
        Job::Say(message) => {
            print::out(&message.stdout);
            if message.code == 0 && message.stderr.is_empty() {
                return Ok(());
            }
            return Err(End { code: message.code, message: message.stderr.clone() });
        }
        Job::Backup(wanted) => backup::backup(wanted)?,
        Job::CompleteKeys => complete::keys(call).await.unwrap_or_default(),
        Job::ClusterHealth { forever } => return health::run(call, *forever).await,
        Job::MemberList => members::list(call).await?,
        Job::MemberAdd => members::add(call).await?,
        Job::MemberRemove => members::remove(call).await?,
        Job::MemberUpdate => members::update(call).await?,
        Job::Auth { enable } => auth::enable(call, *enable).await?,
        Job::UserAdd => user::add(call).await?,
        Job::UserGet => user::get(call).await?,
        Job::UserList => user::list(call).await?,
        Job::UserRemove => user::remove(call).await?,
        Job::UserRoles { roles, grant } => user::regrant(call, roles, *grant).await?,
        Job::UserPasswd => user::passwd(call).await?,
        Job::RoleAdd => role::add(call).await?,
        Job::RoleGet => role::get(call).await?,
        Job::RoleList => role::list(call).await?,
        Job::RoleRemove => role::remove(call).await?,
        Job::RolePermissions { change, grant } => role::regrant(call, change, *grant).await?,
        Job::Get(how) => keys::get(&session().await?, *how).await?,
        Job::List { get, slash } => keys::list(&session().await?, *get, *slash).await?,
        Job::Set(how) => keys::set(&session().await?, how).await?,
        Job::MakeInOrder { ttl } => keys::make_in_order(&session().await?, *ttl).await?,
        Job::Remove(how) => keys::remove(&session().await?, how).await?,
        Job::Watch { forever, after, recursive } => {
            return watch::run(&session().await?, *forever, *after, *recursive).await;
        }
        Job::ExecWatch { after, recursive } => {
            return exec_watch::run(&session().await?, *after, *recursive).await;
        }
        Job::Export { format, ttl, quorum } => {
            return export::run(&session().await?, format, *ttl, *quorum).await;
        }
        Job::Import { format, dry_run, prune } => {
            return import::run(&session().await?, format, *dry_run, *prune).await;
        }
        Job::ImportFrom(from) => return migrate::run(&session().await?, from).await,
        Job::ImportSnapshot { path, hidden, clients } => {
            snapshot::run(&session().await?, path, hidden, *clients).await?
        }
        Job::Diff { format } => return diff::run(&session().await?, format).await,
        Job::Edit { format } => return edit::run(&session().await?, format).await,
    };
    print::out(&text);
    Ok(())
}
