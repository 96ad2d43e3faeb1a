//! `auth enable` and `disable`.

use super::command::Invocation;
use super::error::CommandError;
use super::session::Session;

pub(super) async fn enable(call: &Invocation, on: bool) -> Result<String, CommandError> {
    call.no_args()?;
    Session::open(call).await?.auth().enable(on).await.map_err(CommandError::without_prefix)?;
    Ok(format!("Authentication {}\n", if on { "Enabled" } else { "Disabled" }))
}
