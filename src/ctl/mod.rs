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
mod dirs;
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
mod remove;
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
    match &call.job {
        Job::Say(message) => {
            print::out(message.stdout.as_bytes());
            if message.code == 0 {
                Ok(())
            } else {
                Err(End { code: message.code, message: message.stderr.clone() })
            }
        }
        Job::Backup(wanted) => backup::backup(wanted),
        Job::CompleteKeys => {
            complete::keys(call).await;
            Ok(())
        }
        Job::ClusterHealth { forever } => health::run(call, *forever).await,
        Job::MemberList => members::list(call).await,
        Job::MemberAdd => members::add(call).await,
        Job::MemberRemove => members::remove(call).await,
        Job::MemberUpdate => members::update(call).await,
        Job::AuthEnable => auth::enable(call, true).await,
        Job::AuthDisable => auth::enable(call, false).await,
        Job::UserAdd => user::add(call).await,
        Job::UserGet => user::get(call).await,
        Job::UserList => user::list(call).await,
        Job::UserRemove => user::remove(call).await,
        Job::UserGrant { roles } => user::regrant(call, roles, true).await,
        Job::UserRevoke { roles } => user::regrant(call, roles, false).await,
        Job::UserPasswd => user::passwd(call).await,
        Job::RoleAdd => role::add(call).await,
        Job::RoleGet => role::get(call).await,
        Job::RoleList => role::list(call).await,
        Job::RoleRemove => role::remove(call).await,
        Job::RoleGrant(what) => role::regrant(call, what, true).await,
        Job::RoleRevoke(what) => role::regrant(call, what, false).await,
        Job::Get { get } => keys::get(&session().await?, *get).await,
        Job::List { get, slash } => keys::list(&session().await?, *get, *slash).await,
        Job::Set { ttl, swap_value, swap_index } => {
            keys::set(&session().await?, *ttl, swap_value, *swap_index).await
        }
        Job::Make { ttl, in_order } => keys::make(&session().await?, *ttl, *in_order).await,
        Job::Update { ttl } => keys::update(&session().await?, *ttl).await,
        Job::MakeDir { ttl } => dirs::make(&session().await?, *ttl, Some(false)).await,
        Job::SetDir { ttl } => dirs::make(&session().await?, *ttl, None).await,
        Job::UpdateDir { ttl } => dirs::make(&session().await?, *ttl, Some(true)).await,
        Job::Remove { dir, recursive, with_value, with_index } => {
            remove::run(&session().await?, *dir, *recursive, with_value, *with_index).await
        }
        Job::RemoveDir => remove::run(&session().await?, true, false, b"", 0).await,
        Job::Watch { forever, after, recursive } => {
            watch::run(&session().await?, *forever, *after, *recursive).await
        }
        Job::ExecWatch { after, recursive } => exec_watch::run(&session().await?, *after, *recursive).await,
        Job::Export { format, ttl, quorum } => export::run(&session().await?, format, *ttl, *quorum).await,
        Job::Import { format, dry_run, prune } => {
            import::run(&session().await?, format, *dry_run, *prune).await
        }
        Job::ImportFrom(from) => migrate::run(&session().await?, from).await,
        Job::ImportSnapshot { path, hidden, clients } => {
            snapshot::run(&session().await?, path, hidden, *clients).await
        }
        Job::Diff { format } => diff::run(&session().await?, format).await,
        Job::Edit { format } => edit::run(&session().await?, format).await,
    }
}
