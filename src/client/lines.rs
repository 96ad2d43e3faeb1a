//! Reads lines from a streamed response.

use std::time::Duration;

use futures_util::FutureExt;

use super::error_text;

/// The longest accepted line; no store sends a longer event.
const MAX_LINE_BYTES: usize = 64 << 20;

/// The lines of a streamed response. Reading is cancel-safe: received bytes stay in the buffer.
#[derive(Debug)]
pub(crate) struct Lines {
    response: reqwest::Response,
    buffer: Vec<u8>,
    /// There is no line end before this position, so no byte is scanned twice.
    scanned: usize,
    /// How much of the buffer's front was already returned.
    consumed: usize,
}

impl Lines {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self { response, buffer: Vec::new(), scanned: 0, consumed: 0 }
    }

    /// Returns the next line without its end, `None` at the end of the response. Skips empty lines. The error is the
    /// reason as text.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(Some(line));
            }
            if !self.receive().await? {
                return Ok(self.take_rest());
            }
        }
    }

    /// Returns a line that has already arrived, without waiting.
    pub(crate) fn ready(&mut self) -> Option<Result<Vec<u8>, String>> {
        loop {
            if let Some(line) = self.buffered() {
                return Some(Ok(line));
            }
            match self.receive().now_or_never()? {
                Ok(true) => {}
                // The next read that may wait finds the end again.
                Ok(false) => return None,
                Err(why) => return Some(Err(why)),
            }
        }
    }

    /// Returns the next line, or an error when none comes in time.
    pub(crate) async fn next_within(&mut self, limit: Duration) -> Result<Option<Vec<u8>>, String> {
        match tokio::time::timeout(limit, self.next()).await {
            Ok(line) => line,
            Err(_) => Err(error_text::timeout_message(limit)),
        }
    }

    async fn receive(&mut self) -> Result<bool, String> {
        let Some(chunk) = self.response.chunk().await.map_err(|error| error_text::reason(&error))? else {
            return Ok(false);
        };
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
            self.scanned -= self.consumed;
            self.consumed = 0;
        }
        if self.buffer.len() + chunk.len() > MAX_LINE_BYTES {
            return Err(format!("a line longer than {} MiB", MAX_LINE_BYTES >> 20));
        }
        self.buffer.extend_from_slice(&chunk);
        Ok(true)
    }

    fn buffered(&mut self) -> Option<Vec<u8>> {
        loop {
            let Some(at) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.buffer.len();
                return None;
            };
            let end = self.scanned + at;
            let line = self.buffer[self.consumed..end].trim_ascii().to_vec();
            self.consumed = end + 1;
            self.scanned = self.consumed;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }

    fn take_rest(&mut self) -> Option<Vec<u8>> {
        let line = self.buffer[self.consumed..].trim_ascii().to_vec();
        self.buffer.clear();
        self.scanned = 0;
        self.consumed = 0;
        (!line.is_empty()).then_some(line)
    }
}
