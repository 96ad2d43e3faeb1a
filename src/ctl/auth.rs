//! `auth enable` and `disable`.

use super::end::End;
use super::job::Invocation;
use super::print;
use super::session::{Session, no_words};

pub(super) async fn enable(call: &Invocation, on: bool) -> Result<(), End> {
    no_words(call)?;
    let session = Session::open(call).await?;
    session.auth().enable(on).await.map_err(|error| End::bare(&error))?;
    print::out(if on { b"Authentication Enabled\n" } else { b"Authentication Disabled\n" });
    Ok(())
}
