//! Findings as text for people, JSON for programs, JUnit for CI servers.

use std::fmt::Write as _;

use super::findings::{Finding, Findings, Severity};

impl Findings {
    /// Returns one finding a line, in the form that editors and CI servers jump to, then the totals.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for finding in &self.findings {
            let word = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            // Writing to a String cannot fail.
            let _ =
                writeln!(out, "{}: {word}[{}]: {}", place(finding), finding.rule, finding.text.trim_end());
        }
        for path in &self.written {
            let _ = writeln!(out, "wrote {}", path.display());
        }
        let errors = self.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        let warnings = self.findings.len() - errors;
        let _ = writeln!(out, "{} resources, {errors} errors, {warnings} warnings", self.resources.len());
        out
    }

    /// Returns a JUnit file: one test case a resource, and one for findings that belong to no resource.
    #[must_use]
    pub fn junit(&self) -> String {
        let mut cases = String::new();
        let (mut tests, mut failures) = (0, 0);
        let mut names: Vec<&str> = self.resources.iter().map(String::as_str).collect();
        if self.findings.iter().any(|finding| finding.resource.is_empty()) {
            names.push("");
        }
        for name in names {
            let errors: Vec<&Finding> = self
                .findings
                .iter()
                .filter(|finding| finding.resource == name && finding.severity == Severity::Error)
                .collect();
            let shown = if name.is_empty() { "conf.d" } else { name };
            tests += 1;
            failures += usize::from(!errors.is_empty());
            let _ = writeln!(cases, "  <testcase classname=\"retune.check\" name=\"{}\">", escape(shown));
            if !errors.is_empty() {
                let texts: Vec<String> =
                    errors.iter().map(|finding| format!("{}: {}", place(finding), finding.text)).collect();
                let first = errors.first().map_or("", |finding| finding.rule);
                let _ =
                    writeln!(cases, "    <failure type=\"{first}\">{}</failure>", escape(&texts.join("\n")));
            }
            cases.push_str("  </testcase>\n");
        }
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"retune check\" tests=\"{tests}\" \
             failures=\"{failures}\">\n{cases}</testsuite>\n"
        )
    }
}

fn place(finding: &Finding) -> String {
    match finding.line {
        0 => finding.file.display().to_string(),
        line => format!("{}:{line}", finding.file.display()),
    }
}

/// Escapes text for XML: its five special characters, and a replacement for control characters that it forbids.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_special_and_control_characters_never_break_the_file() {
        assert_eq!(escape("a<b>&\"'\u{1}\n"), "a&lt;b&gt;&amp;&quot;&apos;\u{fffd}\n");
    }
}
