//! An HTTP response, parsed as it arrives and only as far as the measurements need.

use std::io;

/// The longest line of a head or chunk size.
const LINE: usize = 8 * 1024;

/// The next part expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParseState {
    Status,
    Header,
    Body(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    Nothing,
}

/// One response, as far as it has arrived.
#[derive(Debug)]
pub struct Answer {
    /// The status code; 0 before it has arrived.
    pub status: u16,
    /// The body so far, without chunk headers.
    pub body: Vec<u8>,
    due: ParseState,
    line: Vec<u8>,
    length: Option<usize>,
    chunked: bool,
}

impl Answer {
    /// Returns an empty response.
    pub fn new() -> Self {
        Self {
            status: 0,
            body: Vec::new(),
            due: ParseState::Status,
            line: Vec::new(),
            length: None,
            chunked: false,
        }
    }

    /// Clears the response, but keeps its memory for the next one.
    pub fn clear(&mut self) {
        let (mut body, mut line) = (std::mem::take(&mut self.body), std::mem::take(&mut self.line));
        body.clear();
        line.clear();
        *self = Self { body, line, ..Self::new() };
    }

    /// Returns whether the head has arrived.
    pub fn has_head(&self) -> bool {
        !matches!(self.due, ParseState::Status | ParseState::Header)
    }

    /// Returns whether the body contains a whole event of a watch.
    pub fn has_event(&self) -> bool {
        self.has_head() && self.body.last() == Some(&b'\n')
    }

    /// Returns whether all of it has arrived.
    pub fn is_whole(&self) -> bool {
        self.due == ParseState::Nothing
    }

    /// Parses the next bytes.
    pub fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.due {
                ParseState::Nothing => return Err(broken("bytes after the end of the answer")),
                ParseState::Body(left) | ParseState::Chunk(left) => {
                    let (now, later) = bytes.split_at(left.min(bytes.len()));
                    self.body.extend_from_slice(now);
                    bytes = later;
                    let left = left - now.len();
                    self.due = match self.due {
                        ParseState::Body(_) if left == 0 => ParseState::Nothing,
                        ParseState::Body(_) => ParseState::Body(left),
                        _ if left == 0 => ParseState::ChunkEnd,
                        _ => ParseState::Chunk(left),
                    };
                }
                ParseState::Status
                | ParseState::Header
                | ParseState::ChunkSize
                | ParseState::ChunkEnd
                | ParseState::Trailer => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let (now, later) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
                    self.line.extend_from_slice(now);
                    bytes = later;
                    if self.line.len() > LINE {
                        return Err(broken("a line without end"));
                    }
                    if end.is_some() {
                        self.line_ended()?;
                        self.line.clear();
                    }
                }
            }
        }
        Ok(())
    }

    fn line_ended(&mut self) -> io::Result<()> {
        let line = self.line.trim_ascii();
        self.due = match self.due {
            ParseState::Status => {
                let code = line.get(9..12).and_then(|code| str::from_utf8(code).ok());
                self.status = code.and_then(|code| code.parse().ok()).ok_or_else(|| broken("no status"))?;
                ParseState::Header
            }
            ParseState::Header if line.is_empty() => match (self.chunked, self.length) {
                (true, _) => ParseState::ChunkSize,
                (false, Some(0)) => ParseState::Nothing,
                (false, Some(length)) => ParseState::Body(length),
                (false, None) => return Err(broken("a body without a length")),
            },
            ParseState::Header => {
                if let Some(length) = header(line, b"content-length:") {
                    let length = str::from_utf8(length).ok().and_then(|length| length.parse().ok());
                    self.length = Some(length.ok_or_else(|| broken("no length"))?);
                } else if let Some(coding) = header(line, b"transfer-encoding:") {
                    self.chunked = coding.eq_ignore_ascii_case(b"chunked");
                }
                ParseState::Header
            }
            ParseState::ChunkSize => {
                let size = str::from_utf8(line).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
                match size.ok_or_else(|| broken("no chunk size"))? {
                    0 => ParseState::Trailer,
                    size => ParseState::Chunk(size),
                }
            }
            ParseState::ChunkEnd => ParseState::ChunkSize,
            ParseState::Trailer if line.is_empty() => ParseState::Nothing,
            due => due,
        };
        Ok(())
    }
}

fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
