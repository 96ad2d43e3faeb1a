//! The queue of log lines to standard error.
//!
//! Owns: a queue bounded in lines and in bytes, the thread that writes it, and the count of dropped lines.
//!
//! Promises: logging never waits for the reader of standard error. Lines keep their order. Where lines were
//! dropped, the log says how many, as soon as the reader continues. A flush ends at its deadline.
//!
//! Leaves out: the format of lines (`app::logging`).
//!
//! Our own code, since `tracing-appender` bounds its queue in lines only (a line may hold a command's whole output)
//! and does not log what it dropped.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lines that may wait to be written.
const MAX_LINES: usize = 10_000;
/// Bytes of lines that may wait.
const MAX_BYTES: usize = 4 << 20;
/// Bytes written at once.
const BATCH_BYTES: usize = 64 << 10;
/// How soon a write is retried when standard error is non-blocking and its pipe is full.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// The queue of this process.
static QUEUE: LogQueue = LogQueue::new(MAX_LINES, MAX_BYTES);

thread_local! {
    /// While set, the lines of this thread go here instead of the queue.
    static CAPTURED: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Starts the writer thread. Before that, and if it cannot be started, the logging threads write their own lines.
pub fn start() {
    let Ok(fd) = io::stderr().as_fd().try_clone_to_owned() else { return };
    // Not the standard library's handle: its lock would be held as long as nobody reads.
    let mut out = File::from(fd);
    QUEUE.lock().running = true;
    let thread = std::thread::Builder::new().name("log".to_owned());
    if thread.spawn(move || QUEUE.run(&mut out, notice)).is_err() {
        QUEUE.lock().running = false;
    }
}

/// Waits until everything logged so far is written, at most for `limit`.
pub fn flush(limit: Duration) {
    QUEUE.flush(limit);
}

/// Returns how many lines were dropped since the start.
#[must_use]
pub fn dropped() -> u64 {
    QUEUE.lock().dropped
}

/// A writer that takes one line per write.
#[derive(Debug)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let captured = CAPTURED.with_borrow_mut(|captured| match captured {
            Some(captured) => {
                captured.extend_from_slice(line);
                true
            }
            None => false,
        });
        if !captured && !QUEUE.push(line) {
            io::stderr().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the line that says how many are missing.
fn notice(missed: u64) -> Vec<u8> {
    let lines = if missed == 1 { "line was" } else { "lines were" };
    CAPTURED.set(Some(Vec::new()));
    // A warning, or an error where only errors are logged: then errors are missing.
    if tracing::enabled!(tracing::Level::WARN) {
        tracing::warn!("{missed} log {lines} dropped while standard error was not read");
    } else {
        tracing::error!("{missed} log {lines} dropped while standard error was not read");
    }
    CAPTURED.take().unwrap_or_default()
}

struct LogQueue {
    max_lines: usize,
    max_bytes: usize,
    state: Mutex<QueueState>,
    /// Signals that there is something to write.
    filled: Condvar,
    /// Signals that everything is written.
    emptied: Condvar,
}

struct QueueState {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Lines dropped after the last one in the queue.
    missed: u64,
    /// Lines dropped since the start.
    dropped: u64,
    /// Whether the writer thread exists.
    running: bool,
    /// Whether it waits for lines.
    waiting: bool,
}

struct LogLine {
    /// Lines dropped right before this one.
    missed: u64,
    text: Vec<u8>,
}

impl QueueState {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.missed == 0
    }
}

impl LogQueue {
    const fn new(max_lines: usize, max_bytes: usize) -> Self {
        let state = QueueState {
            lines: VecDeque::new(),
            bytes: 0,
            missed: 0,
            dropped: 0,
            running: false,
            waiting: false,
        };
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        Self { max_lines, max_bytes, state: Mutex::new(state), filled, emptied }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues or drops a line. Returns `false` when there is no writer thread.
    fn push(&self, line: &[u8]) -> bool {
        let mut state = self.lock();
        if !state.running {
            return false;
        }
        let (count, bytes) = (state.lines.len(), state.bytes);
        let full = count >= self.max_lines || bytes + line.len() > self.max_bytes;
        // Drop until half of the queue is free: otherwise a slow reader would get a notice before each line.
        let filling = state.missed > 0 && (count > self.max_lines / 2 || bytes > self.max_bytes / 2);
        if full || filling {
            state.missed += 1;
            state.dropped += 1;
        } else {
            let missed = std::mem::take(&mut state.missed);
            state.bytes += line.len();
            state.lines.push_back(LogLine { missed, text: line.to_vec() });
        }
        if std::mem::take(&mut state.waiting) {
            self.filled.notify_one();
        }
        true
    }

    fn flush(&self, limit: Duration) {
        let pending = |state: &mut QueueState| state.running && !(state.waiting && state.is_empty());
        // Past the limit there is nothing left to do.
        drop(self.emptied.wait_timeout_while(self.lock(), limit, pending));
    }

    /// Writes queued lines forever.
    fn run(&self, out: &mut dyn Write, notice: fn(u64) -> Vec<u8>) {
        loop {
            let (batch, count) = self.next_batch(notice);
            if write_all(out, &batch).is_err() {
                // The reader is gone for good.
                self.lock().dropped += count;
            }
        }
    }

    /// Returns the next bytes to write, and their number of lines.
    fn next_batch(&self, notice: fn(u64) -> Vec<u8>) -> (Vec<u8>, u64) {
        let mut state = self.lock();
        while state.is_empty() {
            state.waiting = true;
            self.emptied.notify_all();
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting = false;
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES
            && let Some(line) = state.lines.pop_front()
        {
            bytes += line.text.len();
            lines.push(line);
        }
        state.bytes -= bytes;
        let last_missed = if state.lines.is_empty() { std::mem::take(&mut state.missed) } else { 0 };
        drop(state);
        let count = lines.len() as u64;
        let mut batch = Vec::with_capacity(bytes);
        for LogLine { missed, text } in lines {
            if missed > 0 {
                batch.extend(notice(missed));
            }
            batch.extend(text);
        }
        if last_missed > 0 {
            batch.extend(notice(last_missed));
        }
        (batch, count)
    }
}

/// Writes everything, even if standard error is non-blocking.
fn write_all(out: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::park_timeout(RETRY_INTERVAL),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use std::time::Instant;

    /// A reader that accepts each write only on request.
    struct BlockingWriter {
        open: Receiver<()>,
        read: SyncSender<String>,
    }

    impl Write for BlockingWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without a sender it stays shut.
            while self.open.recv().is_err() {
                std::thread::park();
            }
            self.read.send(String::from_utf8_lossy(bytes).into_owned()).ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn started(max_lines: usize, max_bytes: usize) -> (&'static LogQueue, SyncSender<()>, Receiver<String>) {
        let queue: &LogQueue = Box::leak(Box::new(LogQueue::new(max_lines, max_bytes)));
        queue.lock().running = true;
        let ((opener, open), (read, reader)) = (sync_channel(100), sync_channel(100));
        std::thread::spawn(move || {
            let notice = |missed| format!("{missed} missed\n").into_bytes();
            queue.run(&mut BlockingWriter { open, read }, notice);
        });
        (queue, opener, reader)
    }

    /// Queues a first line and waits until its write blocks.
    fn block_writer(queue: &LogQueue) {
        assert!(queue.push(b"first\n"));
        while !queue.lock().lines.is_empty() {
            std::thread::yield_now();
        }
    }

    /// Returns the dropped lines and the queued bytes.
    fn counted(queue: &LogQueue) -> (u64, usize) {
        let state = queue.lock();
        (state.dropped, state.bytes)
    }

    #[test]
    fn a_full_queue_drops_lines_and_reports_how_many_at_the_gap() {
        let (queue, opener, reader) = started(4, 1000);
        block_writer(queue);
        for number in 0..10 {
            queue.push(format!("{number}\n").as_bytes());
        }
        assert_eq!(queue.lock().dropped, 6);
        // The writes up to the one with the notice; further ones find the gate open.
        for _ in 0..3 {
            opener.send(()).unwrap();
        }
        queue.flush(Duration::from_secs(60));
        queue.push(b"after\n");
        queue.flush(Duration::from_secs(60));
        drop(opener);
        let read: String = reader.try_iter().collect();
        assert_eq!(read, "first\n0\n1\n2\n3\n6 missed\nafter\n");
    }

    #[test]
    fn bytes_count_as_well_as_lines() {
        let (queue, _opener, _reader) = started(1000, 100);
        block_writer(queue);
        queue.push(&[b'a'; 60]);
        queue.push(&[b'b'; 60]);
        assert_eq!(counted(queue), (1, 60));
        // Not before half is free: the next line is dropped as well.
        queue.push(&[b'c'; 10]);
        assert_eq!(counted(queue), (2, 60));
    }

    #[test]
    fn a_line_larger_than_the_queue_is_dropped_and_reported_by_itself() {
        let (queue, opener, reader) = started(10, 100);
        queue.push(&[b'a'; 200]);
        opener.send(()).unwrap();
        assert_eq!(reader.recv_timeout(Duration::from_secs(60)).unwrap(), "1 missed\n");
    }

    #[test]
    fn a_flush_times_out_without_a_reader() {
        let (queue, _opener, _reader) = started(10, 1000);
        block_writer(queue);
        let begun = Instant::now();
        queue.flush(Duration::from_millis(50));
        assert!(begun.elapsed() >= Duration::from_millis(50), "the first line is not written");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn without_a_thread_nothing_is_queued() {
        let queue = LogQueue::new(10, 1000);
        assert!(!queue.push(b"a\n"));
        queue.flush(Duration::from_secs(60));
    }
}
