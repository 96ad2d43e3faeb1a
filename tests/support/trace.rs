//! Parses the output of `strace -f -y -xx`: each call with its arguments, its result, its start and its end.
//!
//! Time is counted in lines: a call that another thread's call interrupts begins at its first line and ends at its
//! second.

use std::collections::HashMap;
use std::path::PathBuf;

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// The line it began at.
    pub start: usize,
    /// The line it ended at.
    pub end: usize,
    pub name: String,
    /// The arguments as strace printed them.
    pub args: Vec<String>,
    /// Its result; negative for an error.
    pub ret: i64,
}

/// Returns every call of a trace that has ended, in the order of their ends. A call that the end of the trace cuts off
/// is left out.
///
/// # Errors
/// A line that is neither a call nor a note of a signal or an exit.
pub fn parse(text: &str) -> Result<Vec<Syscall>, String> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<&str, (usize, String)> = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').ok_or_else(|| format!("line {at}: {}", short(line)))?;
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (at, head.to_owned()));
            continue;
        }
        let (start, whole) = match rest.strip_prefix("<... ") {
            Some(tail) => {
                let tail = tail.split_once(" resumed>").map(|(_, tail)| tail);
                match (unfinished.remove(thread), tail) {
                    (Some((start, head)), Some(tail)) => (start, head + tail),
                    _ => return Err(format!("line {at} resumes what never began: {}", short(line))),
                }
            }
            None => (at, rest.to_owned()),
        };
        calls.extend(call(start, at, &whole).map_err(|why| format!("line {at}: {why}: {}", short(line)))?);
    }
    Ok(calls)
}

fn short(line: &str) -> String {
    line.chars().take(200).collect()
}

/// Returns `None` for a call without a result, because its process ended.
fn call(start: usize, end: usize, text: &str) -> Result<Option<Syscall>, String> {
    let (name, rest) = text.split_once('(').ok_or("no arguments")?;
    let close = rest.rfind(") ").ok_or("no end")?;
    let answer = rest[close + 1..].trim_start().strip_prefix('=').ok_or("no answer")?.trim_start();
    let word = answer.split([' ', '<']).next().unwrap_or_default();
    if word == "?" {
        return Ok(None);
    }
    let ret = match word.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).unwrap_or(0),
        None => word.parse().map_err(|_| format!("what answer is {word:?}"))?,
    };
    Ok(Some(Syscall { start, end, name: name.to_owned(), args: split(&rest[..close]), ret }))
}

/// Splits at the commas outside quotes and brackets. Bytes are written as `\x2c`, so that quoted text contains no
/// quotes.
fn split(text: &str) -> Vec<String> {
    let (mut args, mut depth, mut from, mut at) = (Vec::new(), 0_i32, 0, 0);
    while let Some(next) = text[at..].find(['"', '[', ']', '{', '}', '(', ')', ',']) {
        at += next;
        match text.as_bytes()[at] {
            b'"' => at += text[at + 1..].find('"').map_or(text.len() - at - 1, |end| end + 1),
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth -= 1,
            _ if depth == 0 => {
                args.push(text[from..at].trim().to_owned());
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    if !text[from..].trim().is_empty() {
        args.push(text[from..].trim().to_owned());
    }
    args
}

/// Returns the bytes of a string such as `"\x41\x42"`.
///
/// # Errors
/// The string is truncated, or it is not one.
pub fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    unescape(inner.ok_or_else(|| format!("no whole string: {}", short(text)))?)
}

/// Optimised for speed: a trace has hundreds of megabytes, and tests are built without optimisation.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let text = text.as_bytes();
    let mut out = Vec::with_capacity(text.len() / 4);
    let mut at = 0;
    while at < text.len() {
        if at + 4 > text.len() || text[at] != b'\\' || text[at + 1] != b'x' {
            return Err("a string that is not in hexadecimal".to_owned());
        }
        let (high, low) = (DIGITS[text[at + 2] as usize], DIGITS[text[at + 3] as usize]);
        if high > 15 || low > 15 {
            return Err("a string that is not in hexadecimal".to_owned());
        }
        out.push(high << 4 | low);
        at += 4;
    }
    Ok(out)
}

/// The value of each hexadecimal digit, 255 for everything else.
const DIGITS: [u8; 256] = {
    let mut digits = [255; 256];
    let mut at = 0;
    while at < 16 {
        digits[b"0123456789abcdef"[at] as usize] = at as u8;
        at += 1;
    }
    digits
};

/// Returns the strings of an `iovec` list, joined.
///
/// # Errors
/// As for `bytes`.
pub fn joined(text: &str) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    for part in text.split("iov_base=").skip(1) {
        let end = part.get(1..).and_then(|rest| rest.find('"')).ok_or("an iovec without a string")? + 2;
        if part[end..].starts_with("...") {
            return Err(format!("cut short: {}", short(part)));
        }
        all.extend(bytes(&part[..end])?);
    }
    Ok(all)
}

/// Parses a file descriptor such as `13<\x2f\x74>`: its number and its path. `AT_FDCWD` has the number -100.
///
/// # Errors
/// It is not a descriptor.
pub fn descriptor(text: &str) -> Result<(i64, PathBuf), String> {
    let (number, rest) = text.split_once('<').unwrap_or((text, ""));
    let number = if number == "AT_FDCWD" { Ok(-100) } else { number.parse() };
    let number = number.map_err(|_| format!("no descriptor: {}", short(text)))?;
    let path = rest.strip_suffix('>').unwrap_or(rest);
    let path =
        unescape(path).map_or_else(|_| path.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((number, PathBuf::from(path)))
}

mod tests {
    use super::*;

    #[test]
    fn a_call_has_its_arguments_and_its_result() {
        let line =
            r#"7 openat(AT_FDCWD<\x2f\x72>, "\x61\x2c", O_RDWR|O_CREAT, 0666) = 13<\x2f\x72\x2f\x61\x2c>"#;
        let calls = parse(line).unwrap();
        assert_eq!((calls[0].name.as_str(), calls[0].ret), ("openat", 13));
        assert_eq!(descriptor(&calls[0].args[0]), Ok((-100, PathBuf::from("/r"))));
        assert_eq!(bytes(&calls[0].args[1]), Ok(b"a,".to_vec()));
        assert_eq!(calls[0].args[2..], ["O_RDWR|O_CREAT", "0666"]);
        assert_eq!(parse("7 unlink(\"\\x61\") = -1 ENOENT (No such file or directory)").unwrap()[0].ret, -1);
        assert_eq!(parse("7 mmap(NULL, 1) = 0x7f00").unwrap()[0].ret, 0x7f00);
    }

    #[test]
    fn calls_split_by_thread_switches_are_joined() {
        let text = "1 fdatasync(3<\\x61> <unfinished ...>\n2 write(4<\\x62>, \"\\x41\", 1 <unfinished ...>\n\
                    1 <... fdatasync resumed>)          = 0\n2 <... write resumed>) = 1\n2 +++ exited with 0 +++";
        let calls = parse(text).unwrap();
        let times: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.start, call.end)).collect();
        assert_eq!(times, [("fdatasync", 0, 2), ("write", 1, 3)]);
        assert_eq!(calls[1].args, ["4<\\x62>", "\"\\x41\"", "1"]);
    }

    #[test]
    fn an_unfinished_call_is_skipped_and_an_invalid_line_is_an_error() {
        assert_eq!(parse("1 fsync(3<\\x61> <unfinished ...>\n1 --- SIGKILL ---"), Ok(vec![]));
        assert_eq!(parse("1 exit_group(0) = ?"), Ok(vec![]));
        assert!(parse("1 <... fsync resumed>) = 0").is_err());
        assert!(parse("1 nonsense").is_err());
    }

    #[test]
    fn buffer_lists_are_joined_and_truncated_strings_are_errors() {
        let list = r#"[{iov_base="\x41\x42", iov_len=2}, {iov_base="\x43", iov_len=1}]"#;
        assert_eq!(joined(list), Ok(b"ABC".to_vec()));
        assert!(bytes(r#""\x41"..."#).is_err());
        assert!(joined(r#"[{iov_base="\x41"..., iov_len=2}]"#).is_err());
    }
}
