//! Strings, times and numbers in Go's form.

use super::*;

fn string(text: &[u8]) -> String {
    let mut out = Vec::new();
    json_bytes(&mut out, text);
    String::from_utf8(out).expect("JSON is UTF-8")
}

fn time(nanoseconds: i64) -> String {
    let mut out = Vec::new();
    json_timestamp(&mut out, nanoseconds);
    String::from_utf8(out).unwrap()
}

#[test]
fn strings_are_escaped_as_go_escapes_them() {
    let table: &[(&[u8], &str)] = &[
        (b"", r#""""#),
        (b"plain / text", r#""plain / text""#),
        (b"<a href=\"x\">&'\\", r#""\u003ca href=\"x\"\u003e\u0026'\\""#),
        (b"\t\n\r", r#""\t\n\r""#),
        (b"\0\x07\x08\x0b\x0c\x1b\x1f", r#""\u0000\u0007\u0008\u000b\u000c\u001b\u001f""#),
        (b"\x7f", "\"\x7f\""),
        ("ü€😀".as_bytes(), "\"ü€😀\""),
        ("a\u{2028}b\u{2029}\u{2027}\u{202a}".as_bytes(), "\"a\\u2028b\\u2029\u{2027}\u{202a}\""),
        (b"\xff", r#""\ufffd""#),
        (b"a\xe2\x82b", r#""a\ufffd\ufffdb""#),
        (b"\xf0\x9f\x98", r#""\ufffd\ufffd\ufffd""#),
        (b"\xed\xa0\x80", r#""\ufffd\ufffd\ufffd""#),
        (b"\xc0\xaf\xc3\xbc\x80", r#""\ufffd\ufffdü\ufffd""#),
    ];
    for (text, wanted) in table {
        assert_eq!(string(text), *wanted, "{text:?}");
    }
}

#[test]
fn bytes_that_need_an_escape_are_found_at_every_position_of_a_block() {
    for length in 0..70 {
        for at in 0..length {
            let marks: [(&[u8], &str); 5] = [
                (b"\"", "\\\""),
                (b"\xff", "\\ufffd"),
                (b"\x01", "\\u0001"),
                ("\u{2029}".as_bytes(), "\\u2029"),
                ("€".as_bytes(), "€"),
            ];
            for (mark, wanted) in marks {
                let (front, back) = ("x".repeat(at), "x".repeat(length - at - 1));
                let text = [front.as_bytes(), mark, back.as_bytes()].concat();
                assert_eq!(string(&text), format!("\"{front}{wanted}{back}\""));
            }
        }
    }
}

#[test]
fn times_have_the_digits_they_need() {
    let table = [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_000_000_000, "1970-01-01T00:00:01Z"),
        (1_100_000_000, "1970-01-01T00:00:01.1Z"),
        (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
        (1_795_217_992_304_669_187, "2026-11-20T23:39:52.304669187Z"),
        (4_102_444_799_120_000_000, "2099-12-31T23:59:59.12Z"),
        (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
        (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
    ];
    for (nanoseconds, wanted) in table {
        assert_eq!(time(nanoseconds), format!("\"{wanted}\""));
    }
}

#[test]
fn times_agree_with_the_calendar_on_every_day() {
    for day in -106_000..106_000_i64 {
        let nanoseconds = (day * 86_400 + day.rem_euclid(86_400)) * 1_000_000_000 + day.rem_euclid(7) * 10;
        let calendar = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap();
        assert_eq!(time(nanoseconds), format!("\"{calendar}\""));
    }
}

#[test]
fn numbers_are_written_whole() {
    for number in [0, 7, 10, 1_000, u64::MAX] {
        let mut out = Vec::new();
        json_number(&mut out, number);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
}
