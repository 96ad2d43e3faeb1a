//! Lists, commands and their output as parts of a log line.

/// A log line names at most this many resources or destinations.
const MAX_NAMES: usize = 5;

/// The longest text of a command in a log line, in bytes.
const MAX_LINE_BYTES: usize = 2048;
/// How much of the beginning of a longer one stays; the rest is its end, which usually holds the error.
const HEAD_BYTES: usize = 512;

/// Joins the names of a list, each once; of a long list, the first few and the number of the rest.
pub(super) fn named(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    let all = names.len();
    if all <= MAX_NAMES {
        return names.join(", ");
    }
    names.truncate(MAX_NAMES);
    format!("{} and {} more", names.join(", "), all - MAX_NAMES)
}

/// Joins the lines of a command or of its output, so that they are one line of the log, and bounds its length.
pub(super) fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let line = lines.join(" | ");
    if line.len() <= MAX_LINE_BYTES {
        return line;
    }
    let head = line.floor_char_boundary(HEAD_BYTES);
    let tail = line.ceil_char_boundary(line.len() - (MAX_LINE_BYTES - HEAD_BYTES));
    format!("{} [... {} bytes cut ...] {}", &line[..head], tail - head, &line[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_a_long_text_keeps_its_two_ends() {
        assert_eq!(one_line("exit status 1\n\n  one\r\ntwo\n"), "exit status 1 | one | two");
        let long = one_line(&format!("first\n{}last", "é\n".repeat(5000)));
        assert!(long.len() < MAX_LINE_BYTES + 40 && !long.contains('\n'), "{long}");
        assert!(
            long.starts_with("first | é") && long.ends_with("é | last") && long.contains("bytes cut"),
            "{long}"
        );
    }
}
