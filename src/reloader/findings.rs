//! What `check` finds.

use std::path::{Path, PathBuf};

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Probably a mistake; the check still passes.
    Warning,
    /// It will fail, or do something unintended.
    Error,
}

/// One thing found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The rule that found it.
    pub rule: &'static str,
    /// The resource it belongs to, by name; empty when none.
    pub resource: String,
    /// The file.
    pub file: PathBuf,
    /// The line, counted from one; zero for the file as a whole.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
    /// The key outside of `keys` that it is about.
    #[serde(skip)]
    pub(super) outside: Option<String>,
}

/// Everything found, and what was checked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// In order of file and line.
    pub findings: Vec<Finding>,
    /// The names of all resources that were checked.
    pub resources: Vec<String>,
    /// The golden files that were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub written: Vec<PathBuf>,
}

/// A folder of expected results for `/etc/app.conf`: `DIR/etc/app.conf`, or `DIR/app.conf` where only that exists.
#[derive(Clone, Debug)]
pub struct Golden {
    /// The folder.
    pub dir: PathBuf,
    /// Write the renderings instead of comparing with them.
    pub update: bool,
}

impl Findings {
    /// Returns whether there is no error.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Warning)
    }

    pub(super) fn add(
        &mut self,
        severity: Severity,
        rule: &'static str,
        resource: &str,
        at: (&Path, usize),
        text: String,
    ) {
        let (file, line) = at;
        let finding = Finding {
            severity,
            rule,
            resource: resource.to_owned(),
            file: file.to_owned(),
            line,
            text,
            outside: None,
        };
        self.findings.push(finding);
    }

    /// Adds that a resource reads a key outside its `keys`.
    pub(super) fn add_outside(&mut self, resource: &str, at: (&Path, usize), key: &str, text: String) {
        self.add(Severity::Error, "outside_keys", resource, at, text);
        if let Some(finding) = self.findings.last_mut() {
            finding.outside = Some(key.to_owned());
        }
    }

    /// Returns whether a failed rendering has a cause that was found without data.
    pub(super) fn explains(&self, resource: &str, confdir: &Path, text: &str) -> bool {
        let stands_at = |finding: &Finding| {
            let file = finding.file.strip_prefix(confdir).unwrap_or(&finding.file).display();
            text.contains(&format!("{file}:{}:", finding.line))
        };
        self.findings.iter().filter(|finding| finding.resource == resource).any(|finding| {
            match finding.rule {
                "template" => true,
                "unknown_name" => stands_at(finding),
                _ => false,
            }
        })
    }
}
