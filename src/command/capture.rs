//! Bounded memory of a command's output: its beginning and its end.

use std::collections::VecDeque;

const HEAD_BYTES: usize = 4 * 1024;
const TAIL_BYTES: usize = 12 * 1024;

/// Keeps the first 4 KiB and the last 12 KiB, and counts the bytes between.
#[derive(Debug, Default)]
pub(super) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    cut: u64,
}

impl Capture {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (to_head, rest) = bytes.split_at(bytes.len().min(HEAD_BYTES - self.head.len()));
        self.head.extend_from_slice(to_head);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..over);
        self.cut += over as u64;
    }

    /// Returns the text, and whether something is missing from it.
    pub(super) fn finish(mut self) -> (String, bool) {
        if self.cut == 0 {
            // Joined before decoding: a character may be split between the two.
            self.head.extend(self.tail);
            return (String::from_utf8_lossy(&self.head).into_owned(), false);
        }
        let head = String::from_utf8_lossy(&self.head);
        let tail = String::from_utf8_lossy(self.tail.make_contiguous());
        (format!("{head}\n[... {} bytes cut ...]\n{tail}", self.cut), true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_within_the_limit_is_kept_even_with_a_character_across_the_boundary() {
        let text = format!("{}é and on", "a".repeat(HEAD_BYTES - 1));
        let mut capture = Capture::default();
        for byte in text.as_bytes() {
            capture.push(&[*byte]);
        }
        assert_eq!(capture.finish(), (text, false));
    }

    #[test]
    fn of_long_output_head_and_tail_are_kept_and_the_omitted_bytes_counted() {
        let mut capture = Capture::default();
        capture.push(b"first");
        for _ in 0..100 {
            capture.push(&[b'x'; 1000]);
        }
        capture.push(b"last");
        let (text, truncated) = capture.finish();
        assert!(truncated);
        assert!(text.starts_with("first") && text.ends_with("last"));
        let cut = 100_000 + 9 - HEAD_BYTES - TAIL_BYTES;
        assert!(text.contains(&format!("[... {cut} bytes cut ...]")));
        assert!(text.len() < HEAD_BYTES + TAIL_BYTES + 100);
    }
}
