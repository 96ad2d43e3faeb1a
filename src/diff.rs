//! Differences of two texts by lines, and unified diffs of them.
//!
//! Owns which lines count as changed and the unified format, as `diff -u` writes it. Promises that a diff of large texts
//! without a line in common takes time in proportion to their size. Leaves out colours, and what may be shown.

use std::fmt::Write as _;
use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

/// Two texts as lines, and the changes between them.
pub struct LineDiff<'a> {
    before: Vec<&'a str>,
    after: Vec<&'a str>,
    changes: Vec<Change>,
}

/// Lines of the first text which lines of the second replace. One of the ranges may be empty, never both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    before: Range<usize>,
    after: Range<usize>,
}

impl<'a> LineDiff<'a> {
    /// Compares two texts.
    #[must_use]
    pub fn new(before: &'a str, after: &'a str) -> Self {
        let input = InternedInput::new(before, after);
        let mut diff = Diff::compute(Algorithm::Myers, &input);
        diff.postprocess_lines(&input);
        let range = |range: Range<u32>| range.start as usize..range.end as usize;
        let changes = diff
            .hunks()
            .map(|hunk| Change { before: range(hunk.before), after: range(hunk.after) })
            .collect();
        Self {
            before: before.split_inclusive('\n').collect(),
            after: after.split_inclusive('\n').collect(),
            changes,
        }
    }

    /// Returns the changes, each as the lines that go and the lines that come, with their line ends.
    pub fn changes(&self) -> impl Iterator<Item = (Range<usize>, &[&'a str])> {
        self.changes.iter().map(|change| (change.before.clone(), &self.after[change.after.clone()]))
    }

    /// Returns the lines of the first text, with their line ends.
    #[must_use]
    pub fn before(&self) -> &[&'a str] {
        &self.before
    }

    /// Returns the unified diff with `context` unchanged lines around each change, under the names `from` and `to`. It is
    /// empty where the texts are equal.
    #[must_use]
    pub fn unified(&self, context: usize, from: &str, to: &str) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        for group in
            self.changes.chunk_by(|one, next| next.before.start - one.before.end <= context.saturating_mul(2))
        {
            if out.is_empty() {
                let _ = write!(out, "--- {from}\n+++ {to}\n");
            }
            self.hunk(group, context, &mut out);
        }
        out
    }

    /// Writes one hunk: changes so close that their context touches.
    fn hunk(&self, group: &[Change], context: usize, out: &mut String) {
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let leading = first.before.start.min(context);
        let trailing = (self.before.len() - last.before.end).min(context);
        let before = first.before.start - leading..last.before.end + trailing;
        let after = first.after.start - leading..last.after.end + trailing;
        let _ = writeln!(out, "@@ -{} +{} @@", position(&before), position(&after));
        let mut at = before.start;
        for change in group {
            lines(' ', &self.before[at..change.before.start], out);
            lines('-', &self.before[change.before.clone()], out);
            lines('+', &self.after[change.after.clone()], out);
            at = change.before.end;
        }
        lines(' ', &self.before[at..before.end], out);
    }
}

/// Returns a range of lines as the head of a hunk has it: the first line counts from 1, a length of 1 is left out, and an
/// empty range names the line before it.
fn position(range: &Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => (range.start + 1).to_string(),
        length => format!("{},{length}", range.start + 1),
    }
}

fn lines(mark: char, lines: &[&str], out: &mut String) {
    for line in lines {
        out.push(mark);
        out.push_str(line);
        if !line.ends_with('\n') {
            out.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    /// Returns what `diff -u` prints.
    fn by_diff(before: &str, after: &str, context: usize) -> String {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&a, before).unwrap();
        fs::write(&b, after).unwrap();
        let mut diff = Command::new("diff");
        diff.args(["--label", "from", "--label", "to", "-U", &context.to_string()]);
        String::from_utf8(diff.args([&a, &b]).output().expect("the diff program").stdout).unwrap()
    }

    #[test]
    fn a_unified_diff_is_byte_for_byte_that_of_the_diff_program() {
        let many: String = (0..40).map(|at| format!("line {at}\n")).collect();
        let changed =
            many.replace("line 3\n", "three\n").replace("line 10\n", "").replace("line 30", "thirty");
        let texts = [
            ("", "a\n"),
            ("a\n", ""),
            ("a", "a\n"),
            ("a\nb", "a\nc"),
            ("x\ny\n", "x\n"),
            ("one\n", "one\ntwo\n"),
            (&many, &changed),
            (&changed, &many),
        ];
        for (before, after) in texts {
            for context in [0, 1, 3, 100] {
                let wanted = by_diff(before, after, context);
                assert_eq!(LineDiff::new(before, after).unified(context, "from", "to"), wanted, "{before:?}");
            }
        }
        assert_eq!(LineDiff::new("a\n", "a\n").unified(3, "from", "to"), "");
        let all = LineDiff::new(&many, &changed);
        assert_eq!(all.unified(usize::MAX, "a", "b"), all.unified(1000, "a", "b"));
    }

    #[test]
    fn large_texts_without_a_common_line_are_compared_at_once() {
        let text = |word: &str| (0..100_000).map(|at| format!("{word} {at}\n")).collect::<String>();
        let (before, after) = (text("old"), text("new"));
        let start = Instant::now();
        assert_eq!(LineDiff::new(&before, &after).changes().count(), 1);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}
