//! The render that runs on this thread: what it may see, what it has read, and its remaining limits.
//!
//! Functions use this and not the template's state, because an imported macro does not see its caller's context, and
//! renders on several threads share the environment with its functions.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::backends::Nodes;
use super::error::{fail, over_limit};
use super::{Limits, Reads};
use crate::values::View;

/// How long one render may take, including DNS queries.
pub(super) const RENDER_TIMEOUT: Duration = Duration::from_secs(60);

/// The placeholder in the first rendering, as long as a hash.
pub(super) const GENERATION_PLACEHOLDER: &str = "0000000000000000";

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// Bytes that may still be printed; a cell of its own, because every printed value counts against it.
    static OUTPUT_LEFT: Cell<usize> = const { Cell::new(0) };
    static TICKS: Cell<u32> = const { Cell::new(0) };
    /// Bytes of texts and lists built since memory was last checked.
    static MADE: Cell<usize> = const { Cell::new(0) };
}

/// How much is built between two checks of memory.
const MEMORY_CHECK_INTERVAL: usize = 1 << 20;

pub(super) struct Current {
    pub(super) view: View,
    pub(super) reads: Reads,
    pub(super) limits: Limits,
    pub(super) vars: BTreeMap<String, Value>,
    /// Templates being rendered by the include function, outermost first.
    pub(super) chain: Vec<String>,
    pub(super) deadline: Instant,
    /// The node records, once a function has read them.
    pub(super) nodes: Option<Arc<Nodes>>,
    /// The return value of `generation()`, and whether it was called.
    pub(super) generation: String,
    pub(super) generation_used: bool,
    /// The memory of the process at the first check.
    memory_before: Option<usize>,
    left: usize,
}

impl Current {
    pub(super) fn new(view: &View, limits: Limits, vars: &BTreeMap<String, Value>, name: &str) -> Self {
        Self {
            view: view.clone(),
            reads: Reads::default(),
            limits,
            vars: vars.clone(),
            chain: vec![name.to_owned()],
            deadline: Instant::now() + RENDER_TIMEOUT,
            nodes: None,
            generation: GENERATION_PLACEHOLDER.to_owned(),
            generation_used: false,
            memory_before: None,
            // Captured text counts twice: once when captured, once when printed.
            left: limits.output.saturating_mul(4),
        }
    }
}

/// Holds the slot; when dropped, also by a panic of the render, it restores the earlier content.
pub(super) struct RenderGuard {
    before: Option<Current>,
}

impl RenderGuard {
    pub(super) fn enter(current: Current) -> Self {
        OUTPUT_LEFT.set(current.left);
        Self { before: CURRENT.replace(Some(current)) }
    }

    /// Takes what the render left in the slot.
    pub(super) fn finish(self) -> Option<Current> {
        take()
    }
}

impl Drop for RenderGuard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            OUTPUT_LEFT.set(before.left);
        }
        drop(CURRENT.replace(self.before.take()));
    }
}

/// Calls `act` with the current render.
pub(super) fn with<T>(act: impl FnOnce(&mut Current) -> Result<T, Error>) -> Result<T, Error> {
    CURRENT.with_borrow_mut(|slot| match slot {
        Some(current) => act(current),
        None => Err(fail("this function works only while a template is rendered")),
    })
}

/// Marks the result as depending on something whose changes no source reports.
pub(super) fn volatile() -> Result<(), Error> {
    with(|current| {
        current.reads.volatile = true;
        Ok(())
    })
}

/// Takes the slot off this thread, so that an include can run on another one.
pub(super) fn take() -> Option<Current> {
    let mut current = CURRENT.take();
    if let Some(current) = &mut current {
        current.left = OUTPUT_LEFT.get();
    }
    current
}

/// Restores what `take` took.
pub(super) fn restore(current: Current) {
    OUTPUT_LEFT.set(current.left);
    drop(CURRENT.replace(Some(current)));
}

/// Counts text that is about to be printed.
pub(super) fn count(bytes: usize) -> Result<(), Error> {
    match OUTPUT_LEFT.get().checked_sub(bytes) {
        Some(left) => OUTPUT_LEFT.set(left),
        None => return Err(over_limit("the output is too large")),
    }
    tick()
}

/// Ends a render that takes too long; checks the clock only at intervals.
pub(super) fn tick() -> Result<(), Error> {
    let ticks = TICKS.get().wrapping_add(1);
    TICKS.set(ticks);
    if !ticks.is_multiple_of(1024) {
        return Ok(());
    }
    check_deadline()?;
    check_memory()
}

/// Checks a value that was just built, and returns it.
pub(super) fn made(value: Value) -> Result<Value, Error> {
    let bytes = match value.as_str() {
        Some(text) => {
            if text.len() > MEMORY_CHECK_INTERVAL / 4 {
                check_size(Some(text.len()), "this")?;
            }
            text.len()
        }
        None if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map) => {
            let items = value.len().unwrap_or(0);
            check_item_count(items, "this")?;
            items.saturating_mul(size_of::<Value>())
        }
        None => return Ok(value),
    };
    let sum = MADE.get().saturating_add(bytes);
    if sum < MEMORY_CHECK_INTERVAL {
        MADE.set(sum);
    } else {
        MADE.set(0);
        check_memory()?;
    }
    Ok(value)
}

/// Ends a render during which the process grows too much. Renders on other threads count as well: the machine has
/// one memory.
fn check_memory() -> Result<(), Error> {
    let Some(now) = resident_bytes() else { return Ok(()) };
    CURRENT.with_borrow_mut(|slot| {
        let Some(current) = slot else { return Ok(()) };
        let before = *current.memory_before.get_or_insert(now);
        let limit = current.limits.memory;
        if now.saturating_sub(before) <= limit {
            return Ok(());
        }
        let mib = limit >> 20;
        Err(over_limit(&format!(
            "the render takes more than {mib} MiB of memory; does a loop double a text?"
        )))
    })
}

/// Returns how much memory this process has now, where the system tells.
fn resident_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split(' ').nth(1)?.parse().ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    pages.checked_mul(usize::try_from(page).ok()?)
}

/// Ends a render that takes too long.
pub(super) fn check_deadline() -> Result<(), Error> {
    let late =
        CURRENT.with_borrow(|slot| slot.as_ref().is_some_and(|current| Instant::now() > current.deadline));
    if late {
        return Err(over_limit(&format!(
            "the render takes longer than {} seconds",
            RENDER_TIMEOUT.as_secs()
        )));
    }
    Ok(())
}

/// Refuses to build a text larger than the whole output may be.
pub(super) fn check_size(bytes: Option<usize>, what: &str) -> Result<(), Error> {
    let limit = CURRENT
        .with_borrow(|slot| slot.as_ref().map_or_else(Limits::default, |current| current.limits))
        .output;
    match bytes {
        Some(bytes) if bytes <= limit => Ok(()),
        _ => Err(over_limit(&format!("{what} would make more than the {limit} bytes a template may"))),
    }
}

/// The most items that a list may hold.
pub(super) const MAX_ITEMS: usize = 1_000_000;

/// Refuses to build a list of more than a million items.
pub(super) fn check_item_count(items: usize, what: &str) -> Result<(), Error> {
    if items <= MAX_ITEMS {
        return Ok(());
    }
    Err(over_limit(&format!("{what} would make more than {MAX_ITEMS} items")))
}

/// A buffer that does not grow past its limit.
pub(super) struct LimitedBuffer {
    pub(super) bytes: Vec<u8>,
    limit: usize,
    pub(super) full: bool,
}

impl LimitedBuffer {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, full: false }
    }
}

impl Write for LimitedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(io::Error::other("the output is full"));
        }
        // Plain text between tags only passes here, so this stops a loop that prints nothing else.
        if tick().is_err() {
            return Err(io::Error::other("out of time"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
