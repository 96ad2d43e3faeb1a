//! `retune check`: checks a confdir without a store.

use std::path::Path;
use std::sync::Arc;

use super::exit::Exit;
use super::{json, print};
use crate::reloader::{self, Golden, lint};
use crate::settings::{Check, CheckFormat};
use crate::source::{self, Backend, Source, SourceError};
use crate::values::Values;

/// Lints, and with `--data` renders; `--expect` compares.
pub(super) async fn check(settings: reloader::Settings, what: Check) -> anyhow::Result<Exit> {
    let Check { data, expect, update, format } = what;
    anyhow::ensure!(
        expect.is_none() || data.is_some(),
        "--expect needs --data: without values nothing can be rendered"
    );
    let values = match &data {
        None => None,
        Some(path) => Some(Arc::new(read(path).await?)),
    };
    let expect = expect.map(|dir| Golden { dir, update });
    let work = move || lint(&settings, values.as_ref(), expect.as_ref());
    // On a thread with the deep stack that templates may need.
    let findings = tokio::task::spawn_blocking(work).await.expect("linting does not panic");
    let text = match format {
        CheckFormat::Text => findings.text(),
        CheckFormat::Junit => findings.junit(),
        CheckFormat::Json => json(&findings)?,
    };
    Ok(print(&text).and(Exit::clean(findings.is_clean())))
}

/// Reads the values of a fixture file, as the file source does.
async fn read(path: &Path) -> Result<Values, SourceError> {
    let settings =
        source::Settings { backend: Backend::File, files: vec![path.to_owned()], ..Default::default() };
    let snapshot = Source::new(settings)?.fetch(&["/".to_owned()]).await?;
    Ok(snapshot.entries.into_iter().collect())
}
