//! Whole renders: files, views and values in, text and reads out.

mod backends;
mod docs;
mod errors;
mod generation;
mod limits;
mod output;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::values::{Datum, Scope, Touched, Values, View};

/// A folder of templates with an engine over it.
struct TestEngine {
    dir: TempDir,
    engine: Engine,
}

impl TestEngine {
    fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, Limits::default())
    }

    fn with(files: &[(&str, &str)], limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let templates = dir.path().join("templates");
        for (name, text) in files {
            let path = templates.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let engine = Engine::new(&templates, limits);
        Self { dir, engine }
    }

    fn render(&self, name: &str, view: &View) -> Result<Rendered, Box<RenderFailure>> {
        self.engine.render(name, view, &BTreeMap::new())
    }
}

fn view_of(prefix: &str, keys: &[&str], values: &[(&str, &str)]) -> View {
    let values: Values = values.iter().map(|(key, text)| (Arc::from(*key), Datum::from(*text))).collect();
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    View { values: Arc::new(values), scope: Arc::new(Scope::new(prefix, &keys)) }
}

fn view(values: &[(&str, &str)]) -> View {
    view_of("/", &["/"], values)
}

fn try_text(template: &str, view: &View) -> Result<Rendered, Box<RenderFailure>> {
    TestEngine::new(&[("t", template)]).render("t", view)
}

#[track_caller]
fn text(template: &str, view: &View) -> String {
    match try_text(template, view) {
        Ok(rendered) => rendered.text,
        Err(failure) => panic!("{template}: {failure}"),
    }
}

#[track_caller]
fn error(template: &str, view: &View) -> TemplateError {
    match try_text(template, view) {
        Ok(rendered) => panic!("{template}: rendered {:?}", rendered.text),
        Err(failure) => failure.error,
    }
}

fn sorted(set: &std::collections::HashSet<Arc<str>>) -> Vec<&str> {
    let mut all: Vec<&str> = set.iter().map(|text| &**text).collect();
    all.sort_unstable();
    all
}
