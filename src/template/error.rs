//! Errors of a template, worded so that its author can act.

use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::{Error, ErrorKind};

use super::Reads;
use super::loader::Loader;

/// The type of mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateErrorKind {
    /// The template file is missing.
    MissingTemplate,
    /// The template does not parse.
    Syntax,
    /// The template read a key that the source does not have or the resource may not see.
    MissingKey,
    /// An undefined name was printed or used.
    Undefined,
    /// The template exceeded its time, memory or depth.
    Limit,
    /// A function or filter rejected its arguments, or any other error of the engine.
    Function,
}

/// A template that could not be rendered: where, why, and for a missing key, the nearest keys.
#[derive(Clone, Debug)]
pub struct TemplateError {
    /// The type of mistake.
    pub kind: TemplateErrorKind,
    /// The template that failed, relative to the parent of the templates folder.
    pub file: String,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The cause alone, in one line without place or excerpt.
    pub what: String,
    excerpt: Option<String>,
    /// The templates that included this one, outermost first; empty when it was the first.
    chain: Vec<String>,
}

/// A failed render, with what it had read so far: a missing key that appears makes it due again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct RenderFailure {
    /// What went wrong.
    pub error: TemplateError,
    /// Everything read up to the failure.
    pub reads: Reads,
}

/// A missing key.
#[derive(Debug)]
pub(super) struct MissingKey {
    /// The absolute key.
    pub(super) key: Arc<str>,
    /// The key as the template named it.
    pub(super) asked: String,
    /// Whether the resource's `keys` exclude it, whatever the source has.
    pub(super) outside: bool,
    /// The nearest existing keys, as a template names them.
    pub(super) nearest: Vec<String>,
}

impl fmt::Display for MissingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key does not exist: {}", self.key)?;
        if self.asked != *self.key {
            write!(f, " (asked for as {})", self.asked)?;
        }
        if self.outside {
            f.write_str("; it lies outside the resource's `keys`")?;
        }
        if !self.nearest.is_empty() {
            write!(f, "; nearest: {}", self.nearest.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for MissingKey {}

/// Marks an engine error as an exceeded limit.
#[derive(Debug, thiserror::Error)]
#[error("limit reached")]
struct OverLimit;

/// Returns the error of a function that rejects its arguments.
pub(super) fn fail(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

/// Returns the error of a function that would exceed a limit.
pub(super) fn over_limit(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned()).with_source(OverLimit)
}

/// Returns the error for a missing key.
pub(super) fn missing_key(missing: MissingKey) -> Error {
    Error::new(ErrorKind::InvalidOperation, missing.to_string()).with_source(missing)
}

impl TemplateError {
    pub(super) fn new(
        loader: &Loader,
        name: &str,
        error: &Error,
        source: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut chain = vec![name.to_owned()];
        let mut deepest = error;
        let (mut missing, mut limit) = (false, false);
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(link) = cause {
            if let Some(inner) = link.downcast_ref::<Error>() {
                deepest = inner;
                // Only an include leads to another file; other wrappers repeat the place.
                if let Some(file) = inner.name()
                    && chain.last().is_none_or(|last| last != file)
                    && chain.len() < 200
                {
                    chain.push(file.to_owned());
                }
            }
            missing |= link.is::<MissingKey>();
            limit |= link.is::<OverLimit>();
            cause = link.source();
        }
        let last = deepest.name().or_else(|| chain.last().map(String::as_str)).unwrap_or(name).to_owned();
        chain.pop();
        let line = deepest.line();
        let kind = kind(deepest, missing, limit);
        let text = line.and_then(|line| source(&last)?.lines().nth(line - 1).map(shorten));
        let mut what = describe(loader, deepest, kind);
        if kind == TemplateErrorKind::Limit && chain.len() > 3 {
            write!(what, "; the templates include each other: {}", links(&chain, &last))
                .expect("a string takes any text");
        }
        Self { kind, file: loader.display(&last), line, what, excerpt: text, chain }
    }

    /// Returns a failure outside the text of any template.
    pub(super) fn plain(loader: &Loader, name: &str, kind: TemplateErrorKind, what: String) -> Self {
        let file = loader.display(name);
        Self { kind, file, line: None, what, excerpt: None, chain: Vec::new() }
    }
}

fn kind(error: &Error, missing: bool, limit: bool) -> TemplateErrorKind {
    let detail = error.detail().unwrap_or_default();
    let too_much = ["recursion limit", "is too large", "too many elements", "maximum recursion"];
    match error.kind() {
        _ if missing => TemplateErrorKind::MissingKey,
        _ if limit => TemplateErrorKind::Limit,
        // Writing fails only when the output is full or the time is over.
        ErrorKind::OutOfFuel | ErrorKind::WriteFailure => TemplateErrorKind::Limit,
        ErrorKind::InvalidOperation | ErrorKind::BadInclude
            if too_much.iter().any(|said| detail.contains(said)) =>
        {
            TemplateErrorKind::Limit
        }
        ErrorKind::SyntaxError | ErrorKind::BadEscape | ErrorKind::UnknownFilter | ErrorKind::UnknownTest => {
            TemplateErrorKind::Syntax
        }
        ErrorKind::TemplateNotFound => TemplateErrorKind::MissingTemplate,
        ErrorKind::UndefinedError => TemplateErrorKind::Undefined,
        _ => TemplateErrorKind::Function,
    }
}

fn describe(loader: &Loader, error: &Error, kind: TemplateErrorKind) -> String {
    let said = match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    };
    match (kind, error.kind()) {
        (TemplateErrorKind::MissingTemplate, _) => {
            match said.split(['"', '\'']).nth(1).and_then(|name| loader.path(name)) {
                Some(path) => format!("no such template; looked for {}", path.display()),
                None => said,
            }
        }
        (TemplateErrorKind::Limit, ErrorKind::OutOfFuel) => {
            "the template runs too many steps; is there a loop without end?".into()
        }
        (_, ErrorKind::WriteFailure) => "the template prints too much or takes too long".to_owned(),
        (TemplateErrorKind::Syntax, ErrorKind::SyntaxError) => format!("syntax error: {said}"),
        (_, ErrorKind::InvalidOperation) => said,
        (_, other) if error.detail().is_some() => format!("{other}: {said}"),
        _ => said,
    }
}

fn links(chain: &[String], last: &str) -> String {
    // A cycle repeats itself; its first round is enough.
    let mut shown: Vec<&str> = Vec::new();
    for name in chain.iter().map(String::as_str).chain([last]) {
        let seen = shown.contains(&name);
        shown.push(name);
        if seen {
            break;
        }
    }
    shown.join(" -> ")
}

fn shorten(line: &str) -> String {
    let line = line.trim_end();
    match line.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)?;
        if let (Some(line), Some(text)) = (self.line, &self.excerpt) {
            write!(f, "\n  {line} | {text}")?;
        }
        if let Some(by) = self.chain.first()
            && self.kind != TemplateErrorKind::Limit
        {
            write!(f, "\n  included by {by}")?;
        }
        Ok(())
    }
}

impl std::error::Error for TemplateError {}

pub(super) fn binary(key: &str, bytes: &[u8]) -> Error {
    let at = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
    fail(format!("the value of {key} is not UTF-8 (byte {at}); getb64 takes it as base64"))
}

/// Describes a text in a message without showing it: it may be a password, and messages end up in logs.
pub(super) fn hidden(text: &str) -> String {
    match text.chars().count() {
        0 => "an empty text".to_owned(),
        count => format!("a text of {count} characters"),
    }
}
