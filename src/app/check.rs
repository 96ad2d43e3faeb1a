//! `retune check`: checks a confdir without a store.

use std::path::Path;
use std::sync::Arc;

use super::commands::could_not_run;
use super::exit::Exit;
use super::print;
use crate::reloader::{self, Golden, lint};
use crate::settings::{Check, CheckFormat};
use crate::source::{self, Backend, Source, SourceError};
use crate::values::Values;

/// Lints, and with `--data` renders; `--expect` compares.
pub(super) async fn check(settings: &reloader::Settings, what: &Check) -> Exit {
    if what.expect.is_some() && what.data.is_none() {
        return could_not_run(&anyhow::anyhow!(
            "--expect needs --data: without values nothing can be rendered"
        ));
    }
    let values = match &what.data {
        None => None,
        Some(path) => match read(path).await {
            Ok(values) => Some(Arc::new(values)),
            Err(error) => return could_not_run(&error.into()),
        },
    };
    let settings = settings.clone();
    let expect = what.expect.clone().map(|dir| Golden { dir, update: what.update });
    let work = move || lint(&settings, values.as_ref(), expect.as_ref());
    // On a thread with the deep stack that templates may need.
    let findings = tokio::task::spawn_blocking(work).await.expect("linting does not panic");
    let text = match what.format {
        CheckFormat::Text => findings.text(),
        CheckFormat::Junit => findings.junit(),
        CheckFormat::Json => match serde_json::to_string_pretty(&findings) {
            Ok(text) => text + "\n",
            Err(error) => return could_not_run(&error.into()),
        },
    };
    match print(&text) {
        Exit::Done => Exit::clean(findings.is_clean()),
        exit => exit,
    }
}

/// Reads the values of a fixture file, as the file source does.
async fn read(path: &Path) -> Result<Values, SourceError> {
    let settings =
        source::Settings { backend: Backend::File, files: vec![path.to_owned()], ..Default::default() };
    let snapshot = Source::new(settings)?.fetch(&["/".to_owned()]).await?;
    Ok(snapshot.entries.into_iter().collect())
}
