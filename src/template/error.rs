//! What goes wrong in a template, told so that its author can act.

use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::{Error, ErrorKind};

use super::Reads;
use super::loader::Loader;

/// What sort of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateErrorKind {
    /// There is no such template file.
    MissingTemplate,
    /// The template does not parse.
    Syntax,
    /// A key was asked for that the source does not hold or the resource may not see.
    MissingKey,
    /// A name without a value was printed or used.
    Undefined,
    /// The template used more time, memory or depth than it may.
    Limit,
    /// A function or filter refused its arguments, or anything else the engine reports.
    Function,
}

/// A template that could not be rendered: where, what and, for a key, what to ask for instead.
#[derive(Clone, Debug)]
pub struct TemplateError {
    kind: TemplateErrorKind,
    file: String,
    line: Option<usize>,
    what: String,
    excerpt: Option<String>,
    /// The templates that led here, outermost first; empty when it was the first.
    chain: Vec<String>,
    missing: Option<MissingKey>,
}

/// A render that failed, with what it had read by then: a missing key that appears is tried again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What went wrong.
    pub error: TemplateError,
    /// Everything read up to the failure.
    pub reads: Reads,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Failure {}

/// A key that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingKey {
    /// The absolute key.
    pub key: Arc<str>,
    /// As the template named it.
    pub asked: String,
    /// Whether the resource's `keys` leave it out, whatever the source holds.
    pub outside: bool,
    /// The nearest keys there are, as a template names them.
    pub nearest: Vec<String>,
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

/// Marks an engine's error as a limit.
#[derive(Debug)]
struct OverLimit;

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limit reached")
    }
}

impl std::error::Error for OverLimit {}

/// A function's refusal.
pub(super) fn fail(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what)
}

/// A function's refusal to use more than it may.
pub(super) fn over_limit(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.to_owned()).with_source(OverLimit)
}

/// A function's report of a missing key.
pub(super) fn missing_key(missing: MissingKey) -> Error {
    Error::new(ErrorKind::InvalidOperation, missing.to_string()).with_source(missing)
}

impl TemplateError {
    /// The template in which it happened, from the folder above the templates folder.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line in that file, from 1.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// What sort of mistake it is.
    #[must_use]
    pub fn kind(&self) -> TemplateErrorKind {
        self.kind
    }

    /// The cause alone, in one line without place or excerpt.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The key, when one is missing.
    #[must_use]
    pub fn missing(&self) -> Option<&MissingKey> {
        self.missing.as_ref()
    }

    pub(super) fn new(
        loader: &Loader,
        name: &str,
        error: &Error,
        source: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut chain = vec![name.to_owned()];
        let mut deepest = error;
        let mut missing = None;
        let mut limit = false;
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(link) = cause {
            if let Some(inner) = link.downcast_ref::<Error>() {
                deepest = inner;
                // Only an include is a step to another file; other wrappers repeat the place.
                if let Some(file) = inner.name()
                    && chain.last().is_none_or(|last| last != file)
                    && chain.len() < 200
                {
                    chain.push(file.to_owned());
                }
            }
            if let Some(found) = link.downcast_ref::<MissingKey>() {
                missing = Some(found.clone());
            }
            limit |= link.is::<OverLimit>();
            cause = link.source();
        }
        let last = deepest.name().or_else(|| chain.last().map(String::as_str)).unwrap_or(name).to_owned();
        chain.pop();
        let line = deepest.line();
        let kind = kind(deepest, missing.is_some(), limit);
        let text = line.and_then(|line| source(&last)?.lines().nth(line - 1).map(shorten));
        let mut what = describe(loader, deepest, kind);
        if kind == TemplateErrorKind::Limit && chain.len() > 3 {
            write!(what, "; the templates include each other: {}", links(&chain, &last))
                .expect("a string takes any text");
        }
        Self { kind, file: loader.display(&last), line, what, excerpt: text, chain, missing }
    }

    /// A failure outside any template's text.
    pub(super) fn plain(loader: &Loader, name: &str, kind: TemplateErrorKind, what: String) -> Self {
        let file = loader.display(name);
        Self { kind, file, line: None, what, excerpt: None, chain: Vec::new(), missing: None }
    }
}

fn kind(error: &Error, missing: bool, limit: bool) -> TemplateErrorKind {
    let detail = error.detail().unwrap_or_default();
    let too_much = ["recursion limit", "is too large", "too many elements", "maximum recursion"];
    match error.kind() {
        _ if missing => TemplateErrorKind::MissingKey,
        _ if limit => TemplateErrorKind::Limit,
        // Writing fails only when the output is full or the time is up.
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
    // A cycle repeats; its first turn tells all.
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

/// A text named in a message without being shown: it may be a password, and messages end up in logs.
pub(super) fn hidden(text: &str) -> String {
    match text.chars().count() {
        0 => "an empty text".to_owned(),
        count => format!("a text of {count} characters"),
    }
}
