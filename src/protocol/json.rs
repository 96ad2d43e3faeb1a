//! Writes bytes as JSON text in the form of Go's encoder, which clients of etcd expect.

/// Whether a byte of a valid text may have to be replaced.
const SPECIAL: [bool; 256] = specials();
/// The first byte of the line and paragraph separators, which end a line in JavaScript, so Go escapes them.
const SEPARATOR_LEAD_BYTE: u8 = 0xe2;

const fn specials() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        // Go also escapes the three that matter in HTML, and leaves 0x7f as it is.
        table[byte] = matches!(byte as u8, 0..0x20 | b'"' | b'\\' | b'<' | b'>' | b'&' | SEPARATOR_LEAD_BYTE);
        byte += 1;
    }
    table
}

/// Writes `text` as a JSON string with its quotes, escaped as Go does; each invalid UTF-8 byte is `\ufffd`.
pub fn bytes(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    if let Ok(text) = str::from_utf8(text) {
        valid(out, text.as_bytes());
    } else {
        for chunk in text.utf8_chunks() {
            valid(out, chunk.valid().as_bytes());
            for _ in chunk.invalid() {
                out.extend_from_slice(b"\\ufffd");
            }
        }
    }
    out.push(b'"');
}

/// Works in blocks, most of which need no change in a listing; runs are copied whole.
fn valid(out: &mut Vec<u8>, text: &[u8]) {
    const BLOCK_BYTES: usize = 16;
    let mut start = 0;
    for (number, block) in text.chunks(BLOCK_BYTES).enumerate() {
        if !block.iter().fold(false, |found, byte| found | SPECIAL[usize::from(*byte)]) {
            continue;
        }
        for (offset, &byte) in block.iter().enumerate() {
            if SPECIAL[usize::from(byte)] {
                let at = number * BLOCK_BYTES + offset;
                let length = match text[at..] {
                    [SEPARATOR_LEAD_BYTE, 0x80, 0xa8 | 0xa9, ..] => 3,
                    [SEPARATOR_LEAD_BYTE, ..] => continue,
                    _ => 1,
                };
                out.extend_from_slice(&text[start..at]);
                escape(out, &text[at..at + length]);
                start = at + length;
            }
        }
    }
    out.extend_from_slice(&text[start..]);
}

fn escape(out: &mut Vec<u8>, letter: &[u8]) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    match letter {
        b"\"" => out.extend_from_slice(b"\\\""),
        b"\\" => out.extend_from_slice(b"\\\\"),
        b"\n" => out.extend_from_slice(b"\\n"),
        b"\r" => out.extend_from_slice(b"\\r"),
        b"\t" => out.extend_from_slice(b"\\t"),
        [byte] => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
        [.., 0xa8] => out.extend_from_slice(b"\\u2028"),
        _ => out.extend_from_slice(b"\\u2029"),
    }
}

/// Writes nanoseconds since 1970 as RFC 3339 in UTC with up to nine digits, trailing zeros cut, in quotes.
pub fn timestamp(out: &mut Vec<u8>, nanoseconds: i64) {
    const NANOS_PER_SECOND: i64 = 1_000_000_000;
    let (seconds, fraction) =
        (nanoseconds.div_euclid(NANOS_PER_SECOND), nanoseconds.rem_euclid(NANOS_PER_SECOND));
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, date) = civil(day);
    let mut text = *b"\"0000-00-00T00:00:00.000000000";
    digits(&mut text[1..5], year);
    digits(&mut text[6..8], month);
    digits(&mut text[9..11], date);
    digits(&mut text[12..14], second / 3600);
    digits(&mut text[15..17], second / 60 % 60);
    digits(&mut text[18..20], second % 60);
    digits(&mut text[21..], fraction);
    let end = match fraction {
        0 => 20,
        _ => text.iter().rposition(|byte| *byte != b'0').map_or(20, |last| last + 1),
    };
    out.extend_from_slice(&text[..end]);
    out.extend_from_slice(b"Z\"");
}

/// Returns year, month and day for a number of days since 1970, in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last one: then months have a closed formula.
const fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, date)
}

/// Fills `place` with the last decimal digits of a non-negative number.
fn digits(place: &mut [u8], mut number: i64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Writes a number in decimal.
pub fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut text = [0; 20];
    let mut start = text.len();
    loop {
        start -= 1;
        text[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[start..]);
}
