//! `auth enable` and `disable`.

use super::end::End;
use super::job::Invocation;
use super::session::Session;

pub(super) async fn enable(call: &Invocation, on: bool) -> Result<String, End> {
    call.no_words()?;
    Session::open(call).await?.auth().enable(on).await.map_err(End::bare)?;
    Ok(format!("Authentication {}\n", if on { "Enabled" } else { "Disabled" }))
}
