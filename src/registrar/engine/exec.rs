//! Runs a command inside a container, and returns its output and exit code.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::send::{EngineRequest, REQUEST_TIMEOUT, ResponseLimits, read_response};
use super::{Engine, EngineError, ExecResult};
use crate::registrar::container::short;

/// How much of a command's output is kept; engines keep as much of their own health checks.
const MAX_OUTPUT_BYTES: usize = 4096;
const MAX_RESPONSE_BYTES: usize = 1 << 20;

impl Engine {
    /// Runs a command in a container. A timeout is an error; the command may keep running inside.
    pub(in crate::registrar) async fn exec(
        &self,
        id: &str,
        argv: &[String],
        within: Duration,
    ) -> Result<ExecResult, EngineError> {
        timeout(within, self.run_to_completion(id, argv)).await.unwrap_or_else(|_| {
            // Show a name in full.
            let container = if id.len() == 64 { short(id) } else { id };
            let shown = &self.address.shown;
            let why = format!("{shown}: the command in container {container} did not end within {within:?}");
            Err(EngineError::new(why))
        })
    }

    async fn run_to_completion(&self, id: &str, argv: &[String]) -> Result<ExecResult, EngineError> {
        let bound = ResponseLimits { bytes: MAX_RESPONSE_BYTES, within: REQUEST_TIMEOUT };
        let body = json!({ "AttachStdout": true, "AttachStderr": true, "Cmd": argv });
        let created =
            self.send(&EngineRequest::post(&["containers", id, "exec"], &[], Some(&body)), bound).await?;
        if !created.status.is_success() {
            return Err(created.refusal());
        }
        let reply: Value = created.json()?;
        let Some(exec) = reply["Id"].as_str().filter(|exec| !exec.is_empty()) else {
            return Err(created.context.fault("the response has no command Id"));
        };
        let output = self.output(exec).await?;
        let code = self.exit_code(exec, bound).await?;
        Ok(ExecResult { code, output })
    }

    async fn output(&self, exec: &str) -> Result<String, EngineError> {
        let body = json!({ "Detach": false, "Tty": false });
        let path = ["exec", exec, "start"];
        let (request, context) = self.prepare(&EngineRequest::post(&path, &[], Some(&body))).await?;
        let mut response = request.send().await.map_err(|error| context.broken(&error))?;
        if !response.status().is_success() {
            return Err(read_response(response, context, MAX_RESPONSE_BYTES).await?.refusal());
        }
        let mut output = Output::default();
        while let Some(chunk) = response.chunk().await.map_err(|error| context.broken(&error))? {
            output.take(&chunk);
        }
        Ok(String::from_utf8_lossy(&output.kept).into_owned())
    }

    /// Returns the exit code. The output may end a moment before the engine knows that the command has exited.
    async fn exit_code(&self, exec: &str, bound: ResponseLimits) -> Result<i64, EngineError> {
        let mut pause = Duration::from_millis(20);
        loop {
            let response = self.send(&EngineRequest::get(&["exec", exec, "json"], &[]), bound).await?;
            if !response.status.is_success() {
                return Err(response.refusal());
            }
            let reply: Value = response.json()?;
            match (reply["Running"].as_bool(), reply["ExitCode"].as_i64()) {
                (Some(true), _) => {}
                (_, Some(code)) => return Ok(code),
                (_, None) => return Err(response.context.fault("the response has no ExitCode")),
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }
}

/// Decodes framed output and keeps its beginning. A frame: a stream number, three zeros, four bytes of length, the
/// text.
#[derive(Debug, Default)]
struct Output {
    kept: Vec<u8>,
    head: Vec<u8>,
    /// How much of the current frame is still to come.
    left: usize,
    /// The output has no frames: it is plain text.
    bare: bool,
}

impl Output {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.bare {
                self.keep(bytes);
                return;
            }
            let wanted = if self.left > 0 { self.left } else { 8 - self.head.len() };
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if self.left > 0 {
                self.left -= now.len();
                self.keep(now);
                continue;
            }
            self.head.extend_from_slice(now);
            if !looks_framed(&self.head) {
                self.bare = true;
                let head = std::mem::take(&mut self.head);
                self.keep(&head);
            } else if let Ok([_, _, _, _, length @ ..]) = <[u8; 8]>::try_from(self.head.as_slice()) {
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.head.clear();
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_OUTPUT_BYTES - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn looks_framed(head: &[u8]) -> bool {
    head.iter().take(4).enumerate().all(|(at, byte)| if at == 0 { *byte <= 3 } else { *byte == 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u8, text: &[u8]) -> Vec<u8> {
        let mut out = vec![stream, 0, 0, 0];
        out.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        out.extend(text);
        out
    }

    #[test]
    fn frames_are_joined_across_chunks() {
        let all = [frame(1, b"one "), frame(2, b""), frame(2, b"two "), frame(1, b"three")].concat();
        for size in 1..=all.len() {
            let mut output = Output::default();
            all.chunks(size).for_each(|chunk| output.take(chunk));
            assert_eq!(output.kept, b"one two three", "in pieces of {size}");
        }
    }

    #[test]
    fn only_the_beginning_of_long_output_is_kept() {
        let mut output = Output::default();
        output.take(&frame(1, &[b'a'; 4000]));
        output.take(&frame(2, &[b'b'; 4000]));
        output.take(&frame(1, b"c"));
        assert_eq!(output.kept.len(), MAX_OUTPUT_BYTES);
        assert_eq!((output.kept[3999], output.kept[4000], output.kept[4095]), (b'a', b'b', b'b'));
    }

    #[test]
    fn unframed_output_is_used_as_it_is() {
        let mut output = Output::default();
        output.take(b"plain text");
        output.take(b", more of it");
        assert_eq!(output.kept, b"plain text, more of it");
    }
}
