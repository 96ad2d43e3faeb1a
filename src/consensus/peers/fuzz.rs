//! Fuzzing of frames: how their content is read.

use super::frame::{self, Frame};

/// Reads the bytes as the content of a frame; messages that were read are written and read as the same.
pub(in crate::consensus) fn frame(data: &[u8]) {
    let Ok(Frame::Messages { time, messages }) = frame::parse(data) else { return };
    let mut out = Vec::new();
    frame::put_messages(&mut out, time, &messages);
    let Ok(Frame::Messages { messages: again, .. }) = frame::parse(&out[frame::HEADER_BYTES..]) else {
        panic!("a frame that was written cannot be read");
    };
    assert_eq!(again, messages);
}
