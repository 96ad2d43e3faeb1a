//! Renders templates: one environment for a configuration, shared by all rendering threads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, Template, UndefinedBehavior, Value};

use super::bounded::{self, bounded};
use super::current::{Current, LimitedBuffer, RenderGuard};
use super::error::{RenderFailure, TemplateError, TemplateErrorKind};
use super::functions;
use super::generation::generation_of;
use super::loader::Loader;
use super::unknown::{UnknownName, unknown};
use super::{Limits, Reads, number};
use crate::values::View;

/// The templates of one configuration, each read once.
#[derive(Debug)]
pub struct Engine {
    env: Environment<'static>,
    loader: Arc<Loader>,
    limits: Limits,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loader")
    }
}

/// The result of a render.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Everything the text depends on.
    pub reads: Reads,
    /// The generation, if the template printed it.
    pub generation: Option<String>,
}

impl Engine {
    /// Returns an engine over a folder of templates; reads nothing yet.
    #[must_use]
    pub fn new(templates_dir: &Path, limits: Limits) -> Self {
        let loader = Arc::new(Loader::new(templates_dir, bounded));
        let mut env = functions::build();
        let read = Arc::clone(&loader);
        env.set_loader(move |name| match read.short(name) {
            Some(text) => Ok(Some(text.to_string())),
            None => read.load_prepared(name),
        });
        env.set_auto_reload(false);
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()
            .expect("the default delimiters are valid");
        env.set_syntax(syntax);
        // By default minijinja prints every value of `x.yaml` as JSON, but not of `x.yaml.tmpl`.
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        env.set_formatter(|out, _, value| number::print(out, value));
        env.set_fuel(Some(limits.fuel));
        // An include takes ten of the engine's levels.
        env.set_recursion_limit(limits.depth.saturating_mul(10));
        Self { env, loader, limits }
    }

    /// Renders a template, named by its path below the folder, with what a resource sees; `vars` are extra names.
    ///
    /// # Errors
    /// The template's mistake, with what it had read so far.
    pub fn render(
        &self,
        name: &str,
        view: &View,
        vars: &BTreeMap<String, Value>,
    ) -> Result<Rendered, Box<RenderFailure>> {
        let current = Current::new(view, self.limits, vars, name);
        let end = current.deadline;
        let first = self.run(name, current, |out| self.render_to(name, vars, out))?;
        if first.generation.is_none() {
            return Ok(first);
        }
        let mut current = Current::new(view, self.limits, vars, name);
        // Both renderings share one time limit.
        (current.deadline, current.generation) = (end, generation_of(first.text.as_bytes()));
        match self.run(name, current, |out| self.render_to(name, vars, out)) {
            Ok(mut second) => {
                second.reads.merge(first.reads);
                Ok(second)
            }
            Err(mut failure) => {
                failure.reads.merge(first.reads);
                Err(failure)
            }
        }
    }

    /// Renders a short text of a resource file, with what its template sees and the generation of its output.
    ///
    /// # Errors
    /// The text's mistake, with what it had read so far.
    pub fn render_text(
        &self,
        (name, source): (&str, &str),
        view: &View,
        vars: &BTreeMap<String, Value>,
        generation: &str,
    ) -> Result<Rendered, Box<RenderFailure>> {
        let mut current = Current::new(view, self.limits, vars, name);
        generation.clone_into(&mut current.generation);
        self.run(name, current, |out| {
            let source = bounded(source)?;
            let template = self.env.template_from_named_str(name, &source)?;
            template.render_captured_to(Value::from_pairs(vars.clone()), out).map(drop)
        })
    }

    /// Renders once, within the limits.
    fn run(
        &self,
        name: &str,
        current: Current,
        render: impl FnOnce(&mut LimitedBuffer) -> Result<(), Error>,
    ) -> Result<Rendered, Box<RenderFailure>> {
        let guard = RenderGuard::enter(current);
        let mut out = LimitedBuffer::new(self.limits.output);
        let result = render(&mut out);
        let (reads, generation) = match guard.finish() {
            Some(current) => (current.reads, current.generation_used.then_some(current.generation)),
            None => (Reads::default(), None),
        };
        let error = match result {
            _ if out.full => {
                let what = format!("the output is larger than the {} bytes it may be", self.limits.output);
                TemplateError::plain(&self.loader, name, TemplateErrorKind::Limit, what)
            }
            Err(error) => self.explain(name, &error),
            Ok(()) => match String::from_utf8(out.bytes) {
                Ok(text) => return Ok(Rendered { text, reads, generation }),
                Err(error) => TemplateError::plain(
                    &self.loader,
                    name,
                    TemplateErrorKind::Function,
                    format!("not UTF-8: {error}"),
                ),
            },
        };
        Err(Box::new(RenderFailure { error, reads }))
    }

    fn render_to(
        &self,
        name: &str,
        vars: &BTreeMap<String, Value>,
        out: &mut LimitedBuffer,
    ) -> Result<(), Error> {
        // Many renders of one template are the entries of a `for_each`.
        let short = if vars.is_empty() { self.loader.short(name) } else { None };
        let template = match &short {
            Some(source) => self.env.template_from_named_str(name, source)?,
            None => self.env.get_template(name)?,
        };
        template.render_captured_to(Value::from_pairs(vars.clone()), &mut *out)?;
        keep_final_newline(template.source(), &mut out.bytes);
        Ok(())
    }

    /// Parses a template without rendering it.
    ///
    /// # Errors
    /// The template is missing or does not parse.
    pub fn check(&self, name: &str) -> Result<(), Box<TemplateError>> {
        self.with_template(name, |_| ()).map_err(|error| Box::new(self.explain(name, &error)))
    }

    /// Returns the functions, filters and tests that a template uses and that do not exist; none when it does not
    /// parse.
    #[must_use]
    pub fn unknown(&self, name: &str) -> Vec<UnknownName> {
        self.with_template(name, |template| unknown(&self.env, &template)).unwrap_or_default()
    }

    fn with_template<T>(&self, name: &str, act: impl FnOnce(Template<'_, '_>) -> T) -> Result<T, Error> {
        match self.loader.short(name) {
            Some(source) => self.env.template_from_named_str(name, &source).map(act),
            None => self.env.get_template(name).map(act),
        }
    }

    /// Returns every file that was read or looked up so far, so that it can be watched for changes.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.loader.files()
    }

    fn explain(&self, name: &str, error: &Error) -> TemplateError {
        TemplateError::new(&self.loader, name, error, |file| {
            let compiled = match self.loader.short(file) {
                Some(source) => Some(source.to_string()),
                None => self.env.get_template(file).ok().map(|template| template.source().to_owned()),
            };
            // A text with checks of ours is not what its author wrote.
            match compiled.filter(|source| !source.contains(bounded::FUNCTION)) {
                Some(source) => Some(source),
                None => self.loader.load(file).ok().flatten(),
            }
        })
    }
}

/// Checks whether a short text of a resource file parses.
///
/// # Errors
/// The syntax error.
pub fn check_text(source: &str) -> Result<(), String> {
    let error = functions::build().template_from_str(source).map(drop).err();
    error.map_or(Ok(()), |error| Err(error.detail().map_or_else(|| error.to_string(), str::to_owned)))
}

/// Restores a final newline. Block trimming removes the newline after a tag, even at the end of the template. If the
/// template ends in a newline, the file must too (HAProxy and cron require it), unless the template ends in `-%}`.
fn keep_final_newline(source: &str, bytes: &mut Vec<u8>) {
    let Some(body) = source.strip_suffix('\n') else { return };
    let body = body.strip_suffix('\r').unwrap_or(body);
    let trimmed = ["-%}", "-}}", "-#}"].iter().any(|end| body.ends_with(end));
    if !trimmed && !bytes.is_empty() && !bytes.ends_with(b"\n") {
        bytes.extend_from_slice(&source.as_bytes()[body.len()..]);
    }
}
