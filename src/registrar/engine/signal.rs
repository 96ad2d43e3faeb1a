//! Signals by number and by name.

use nix::sys::signal::Signal;

/// The first and the last real-time signal. Engines count as glibc does, whatever their own C library.
const RT_MIN: i32 = 34;
const RT_MAX: i32 = 64;

/// Parses `15`, `SIGTERM`, `term` or `SIGRTMIN+3` into a number.
pub(super) fn number(text: &str) -> Option<i32> {
    let text = text.trim().to_ascii_uppercase();
    if let Ok(number) = text.parse() {
        return (1..=RT_MAX).contains(&number).then_some(number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    if let Some(after) = name.strip_prefix("RTMIN") {
        return real_time(RT_MIN, after, '+');
    }
    if let Some(before) = name.strip_prefix("RTMAX") {
        return real_time(RT_MAX, before, '-');
    }
    let name = match name {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        "UNUSED" => "SYS",
        name => name,
    };
    format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
}

fn real_time(from: i32, offset: &str, sign: char) -> Option<i32> {
    if offset.is_empty() {
        return Some(from);
    }
    let offset: i32 = offset.strip_prefix(sign)?.parse().ok()?;
    let number = if sign == '+' { from.checked_add(offset)? } else { from.checked_sub(offset)? };
    (RT_MIN..=RT_MAX).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_found_by_every_spelling() {
        for (text, wanted) in [
            ("15", Some(15)),
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("sigquit", Some(3)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN", Some(34)),
            ("SIGRTMAX-1", Some(63)),
            ("SIGIOT", Some(6)),
            ("SIGRTMIN+31", None),
            ("SIGRTMIN-1", None),
            ("0", None),
            ("65", None),
            ("", None),
            ("SIGNONSENSE", None),
        ] {
            assert_eq!(number(text), wanted, "{text}");
        }
    }
}
