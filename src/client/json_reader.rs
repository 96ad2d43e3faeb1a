//! Reads JSON piece by piece as it arrives, without recursion.
//!
//! A response is never kept as text: a builder keeps what it needs of it. So a response costs what its content costs,
//! and its depth costs nothing. The size of both is limited.

use json_event_parser::{JsonEvent, LowLevelJsonParser, LowLevelJsonParserResult};

/// The deepest accepted nesting. A tree of this depth would take a store hundreds of gigabytes.
const MAX_LEVELS: usize = 1 << 20;

/// Takes the parts of a document and makes a value of them.
pub(super) trait Builder {
    /// The value.
    type Built;

    /// Takes the next part. The error is the reason as text.
    fn take(&mut self, part: JsonEvent<'_>) -> Result<(), String>;

    /// Returns about how many bytes of memory the value takes so far.
    fn size(&self) -> usize;

    /// Returns the value of a complete document.
    fn finish(self) -> Result<Self::Built, String>;
}

/// Why a document could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// It is not JSON, or not what the builder expects.
    Invalid(String),
    /// It, or what becomes of it, is larger than the limit.
    TooLarge,
}

/// A document that is being read.
pub(super) struct JsonReader<B> {
    parser: LowLevelJsonParser,
    builder: B,
    /// The most bytes of the document, and the most memory for its content.
    limit: usize,
    received: usize,
    /// The beginning of a word or text whose end has not arrived.
    pub(super) rest: Vec<u8>,
    /// How long `rest` must be before it is parsed again, so that a long text in many pieces is not scanned for each.
    parse_at: usize,
}

impl<B: Builder> JsonReader<B> {
    pub(super) fn new(builder: B, limit: usize) -> Self {
        let parser = LowLevelJsonParser::new().with_max_stack_size(2 * MAX_LEVELS);
        Self { parser, builder, limit, received: 0, rest: Vec::new(), parse_at: 0 }
    }

    /// Takes the next piece.
    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<(), JsonError> {
        self.received = self.received.saturating_add(piece.len());
        if self.received > self.limit {
            return Err(JsonError::TooLarge);
        }
        if self.rest.is_empty() {
            let used = self.parse(piece, false)?;
            self.rest.extend_from_slice(&piece[used..]);
        } else {
            self.rest.extend_from_slice(piece);
            if self.rest.len() < self.parse_at {
                return self.check_size();
            }
            let mut rest = std::mem::take(&mut self.rest);
            let used = self.parse(&rest, false)?;
            rest.drain(..used);
            self.rest = rest;
        }
        self.parse_at = self.rest.len().saturating_mul(2);
        self.check_size()
    }

    /// Returns the value, after the last piece.
    pub(super) fn finish(mut self) -> Result<B::Built, JsonError> {
        let rest = std::mem::take(&mut self.rest);
        self.parse(&rest, true)?;
        drop(rest);
        self.check_size()?;
        self.builder.finish().map_err(JsonError::Invalid)
    }

    /// Parses as much as possible and returns how much that was.
    fn parse(&mut self, bytes: &[u8], last: bool) -> Result<usize, JsonError> {
        let mut used = 0;
        loop {
            let LowLevelJsonParserResult { consumed_bytes, event } =
                self.parser.parse_next(&bytes[used..], last);
            used += consumed_bytes;
            match event {
                None | Some(Ok(JsonEvent::Eof)) => return Ok(used),
                Some(Ok(part)) => self.builder.take(part).map_err(JsonError::Invalid)?,
                Some(Err(error)) => {
                    let at = error.location().start.offset;
                    return Err(JsonError::Invalid(format!("{} at byte {at}", error.message())));
                }
            }
        }
    }

    fn check_size(&self) -> Result<(), JsonError> {
        // A growing buffer may hold its old and its new copy for a moment.
        let size = self.builder.size().saturating_add(self.rest.capacity().saturating_mul(2));
        if size > self.limit { Err(JsonError::TooLarge) } else { Ok(()) }
    }
}

/// Reads a whole document.
pub(super) fn read<B: Builder>(builder: B, text: &[u8], limit: usize) -> Result<B::Built, JsonError> {
    let mut reader = JsonReader::new(builder, limit);
    reader.received = text.len();
    reader.parse(text, true)?;
    reader.check_size()?;
    reader.builder.finish().map_err(JsonError::Invalid)
}

/// Skips what a builder does not need: a value of an unknown name, however deep.
#[derive(Default)]
pub(super) struct Skip(usize);

impl Skip {
    /// Skips the list or object that has just begun.
    pub(super) fn begin(&mut self) {
        self.0 = 1;
    }

    /// Returns whether this part belongs to a skipped value.
    pub(super) fn covers(&mut self, part: &JsonEvent<'_>) -> bool {
        if self.0 == 0 {
            return false;
        }
        match part {
            JsonEvent::StartArray | JsonEvent::StartObject => self.0 += 1,
            JsonEvent::EndArray | JsonEvent::EndObject => self.0 -= 1,
            _ => {}
        }
        true
    }
}
