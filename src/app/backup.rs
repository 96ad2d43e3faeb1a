//! `retune store backup` and `retune store restore`.

use std::io::IsTerminal as _;

use anyhow::Context as _;

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
pub(super) async fn backup(source: source::Settings, what: Backup) -> anyhow::Result<Exit> {
    let Some(data_dir) = what.data_dir.clone() else { return Ok(print(&fetch(source, &what).await?)) };
    let work = tokio::task::spawn_blocking(move || {
        let saving = BackupWriter::begin(&what.file, what.force)?;
        let (copied, length) = consensus::save(&data_dir, saving)?;
        let (file, from) = (what.file.display(), data_dir.display());
        let consensus::BackupSummary { index, nodes } = copied;
        Ok::<_, OpenError>(format!(
            "saved {nodes} keys up to index {index} from {from} to {file}, {length} bytes\n"
        ))
    });
    Ok(print(&work.await.context("saving")??))
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
pub(super) async fn restore(what: Restore) -> anyhow::Result<Exit> {
    let Restore { file, member } = what;
    let (shown, to) = (file.display().to_string(), member.data_dir.display().to_string());
    let work = tokio::task::spawn_blocking(move || consensus::restore(&file, &member));
    let consensus::Restored { index, nodes, taken } = work.await.context("restoring")??;
    let when = date(taken);
    Ok(print(&format!("restored {nodes} keys up to index {index} from {shown}, taken {when}, to {to}\n")))
}

fn date(time: crate::keyspace::Time) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time)).map_or_else(
        |_| "at an unknown time".to_owned(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}
