//! Whether a connection is accepted and kept.
//!
//! Docker's proxy accepts in the name of every published port, and ends the connection when there is nothing behind it; an
//! accepted connection alone therefore says nothing.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::Target;
use super::net::{CheckStage, connect, error_text};

/// How long a connection has to stay.
const MIN_CONNECTION_AGE: Duration = Duration::from_millis(100);

/// `within` is the time of the whole check, of which at most half is spent on looking whether the connection stays.
pub(super) async fn probe(target: &Target, within: Duration, stage: &CheckStage) -> Result<(), String> {
    let mut stream = connect(target).await?;
    stage.now("connection that stays");
    let mut some = [0; 512];
    match timeout(MIN_CONNECTION_AGE.min(within / 2), stream.read(&mut some)).await {
        Ok(Ok(0)) => Err("accepted and ended at once: nothing listens behind the port".to_owned()),
        Ok(Err(error)) => Err(format!("accepted and broken off at once: {}", error_text(&error))),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}
