//! The TCP check: whether a connection is accepted and stays open.
//!
//! Docker's proxy accepts connections on every published port, and closes them when nothing listens behind it. An
//! accepted connection alone therefore proves nothing.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::CheckTarget;
use super::net::{CheckStage, connect};
use crate::http::error::without_number;

/// How long a connection must stay open.
const MIN_CONNECTION_AGE: Duration = Duration::from_millis(100);

/// `within` is the time limit of the whole check; at most half of it is spent watching whether the connection stays.
pub(super) async fn probe(target: &CheckTarget, within: Duration, stage: &CheckStage) -> Result<(), String> {
    let mut stream = connect(target).await?;
    stage.now("connection that stays");
    let mut some = [0; 512];
    match timeout(MIN_CONNECTION_AGE.min(within / 2), stream.read(&mut some)).await {
        Ok(Ok(0)) => Err("accepted and closed at once: nothing listens behind the port".to_owned()),
        Ok(Err(error)) => Err(format!("accepted, then broken at once: {}", without_number(&error))),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}
