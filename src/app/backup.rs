//! `retune store backup` and `retune store restore`.

use std::io::IsTerminal as _;

use anyhow::Context as _;

use super::commands::could_not_run;
use super::exit::Exit;
use super::print;
use crate::client::{ClientError, Credentials};
use crate::consensus::{self, BackupWriter, OpenError};
use crate::settings::{Backup, Restore};
use crate::source;

/// The path at which a running member serves a snapshot of its state.
const PATH: &str = "/retune/snapshot";
/// Progress is printed each time after this many bytes.
const PROGRESS_STEP_BYTES: u64 = 4 << 20;

/// Saves a store to a file.
pub(super) async fn backup(source: source::Settings, what: Backup) -> Exit {
    let saved = match what.data_dir.clone() {
        None => fetch(source, &what).await,
        Some(data_dir) => {
            let work = tokio::task::spawn_blocking(move || {
                let saving = BackupWriter::begin(&what.file, what.force)?;
                let (copied, length) = consensus::save(&data_dir, saving)?;
                let (file, from) = (what.file.display(), data_dir.display());
                let consensus::BackupSummary { index, nodes } = copied;
                Ok::<String, OpenError>(format!(
                    "saved {nodes} keys up to index {index} from {from} to {file}, {length} bytes\n"
                ))
            });
            work.await.context("saving").and_then(|saved| Ok(saved?))
        }
    };
    match saved {
        Ok(message) => print(&message),
        Err(error) => could_not_run(&error),
    }
}

/// The two ways in which a download fails.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    File(#[from] OpenError),
}

async fn fetch(source: source::Settings, what: &Backup) -> anyhow::Result<String> {
    let (client, login) = (source.client()?, source.login.as_ref().map(Credentials::basic));
    let mut saving = BackupWriter::begin(&what.file, what.force)?;
    let terminal = std::io::stderr().is_terminal();
    let (mut got, mut shown) = (0_u64, 0_u64);
    let take = |bytes: &[u8]| -> Result<(), FetchError> {
        got += bytes.len() as u64;
        if terminal && got - shown >= PROGRESS_STEP_BYTES {
            shown = got;
            eprint!("\r{} MiB", got >> 20);
        }
        Ok(saving.write(bytes)?)
    };
    let fetched = client.download(PATH, login, take).await;
    if shown > 0 {
        eprint!("\r");
    }
    let fetched = fetched?;
    let (length, taken) = saving.finish()?;
    let index = fetched.index.unwrap_or_default();
    let (file, node, when) = (what.file.display(), fetched.node, date(taken));
    Ok(format!("saved everything up to index {index} from {node} to {file}, {length} bytes, taken {when}\n"))
}

/// Creates a member of a new cluster from a backup file.
pub(super) async fn restore(what: Restore) -> Exit {
    let work = tokio::task::spawn_blocking(move || {
        let restored = consensus::restore(&what.file, &what.member)?;
        Ok::<_, OpenError>((restored, what))
    });
    match work.await.context("restoring").and_then(|restored| Ok(restored?)) {
        Ok((restored, what)) => {
            let consensus::Restored { index, nodes, taken } = restored;
            let (file, to, when) = (what.file.display(), what.member.data_dir.display(), date(taken));
            print(&format!("restored {nodes} keys up to index {index} from {file}, taken {when}, to {to}\n"))
        }
        Err(error) => could_not_run(&error),
    }
}

fn date(time: crate::keyspace::Time) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time)).map_or_else(
        |_| "at an unknown time".to_owned(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}
