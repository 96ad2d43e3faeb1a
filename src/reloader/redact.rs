//! Hides secret values: in diffs, in the output of commands, in plans.

use std::sync::Arc;

use crate::template::glob_matches;
use crate::values::Values;

/// Replaces a secret.
pub(super) const MASK: &str = "[redacted]";

/// A whole line in place of one that held a secret.
pub(super) const MASK_LINE: &str = "[redacted]\n";

/// The values to hide at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Redactor {
    /// Longest first, so that a value that contains another is hidden as a whole.
    secrets: Vec<Arc<str>>,
}

impl Redactor {
    /// Collects the values of every key that one of the globs matches. A multi-line secret is hidden line by line,
    /// since a diff shows lines.
    #[must_use]
    pub(super) fn new(globs: &[String], values: &Values) -> Self {
        if globs.is_empty() {
            return Self::default();
        }
        let mut secrets: Vec<Arc<str>> = Vec::new();
        for (key, datum) in values.iter() {
            if globs.iter().any(|glob| glob_matches(glob, key).unwrap_or(false)) {
                let text = String::from_utf8_lossy(datum.as_bytes());
                secrets.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Arc::from));
            }
        }
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// Returns the text with every secret masked.
    #[must_use]
    pub(super) fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(&**secret) {
                text = text.replace(&**secret, MASK);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Datum;

    #[test]
    fn values_of_matching_keys_are_masked_everywhere() {
        let entries =
            [("/app/db/password", "hunter2"), ("/app/db/host", "h"), ("/app/db/key", "line one\nline two")];
        let values: Values = entries.iter().map(|(k, v)| (Arc::from(*k), Datum::from(*v))).collect();
        let globs = ["/app/*/password".to_owned(), "/app/*/key".to_owned()];
        let redactor = Redactor::new(&globs, &values);
        let masked = redactor.mask("host h\npass=hunter2;\n+line two\n");
        assert_eq!(masked, "host h\npass=[redacted];\n+[redacted]\n");
    }

    #[test]
    fn a_secret_inside_a_longer_one_does_not_expose_the_rest() {
        let values: Values =
            [("/a", "abc"), ("/b", "abcdef")].iter().map(|(k, v)| (Arc::from(*k), Datum::from(*v))).collect();
        assert_eq!(Redactor::new(&["/*".to_owned()], &values).mask("abcdef"), MASK);
    }
}
