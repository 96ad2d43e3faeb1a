//! Functions that query the machine, and the one that includes another template.

#![expect(clippy::needless_pass_by_value, reason = "the engine hands a function its arguments by value")]

use std::fs::File;
use std::io::Read;

use minijinja::{Error, State, Value};

use super::current::{self, LimitedBuffer};
use super::error::{fail, over_limit};
use super::registry::{Registry, Text};

/// The largest file that a template may read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The stack of a template included by function; the engine's recursion limit applies to each.
const THREAD_STACK_BYTES: usize = 8 << 20;

pub(super) fn register(all: &mut Registry) {
    all.function("getenv", |name: Text, default: Option<Text>| {
        // A name with `=` or NUL makes std panic in places; no variable has such a name.
        let valid = !name.is_empty() && !name.contains(['=', '\0']);
        let set = if valid { std::env::var(&*name).ok() } else { None };
        set.filter(|value| !value.is_empty()).or(default.map(|default| default.0)).unwrap_or_default()
    });
    all.function("hostname", || match nix::unistd::gethostname() {
        Ok(name) => Ok(name.to_string_lossy().into_owned()),
        Err(error) => Err(fail(format!("hostname: {error}"))),
    });
    all.both("fileExists", |path: Text| {
        current::volatile()?;
        Ok::<_, Error>(std::fs::metadata(&*path).is_ok())
    });
    all.both("file", file);
    all.function("include", include);
}

fn file(path: Text) -> Result<String, Error> {
    current::volatile()?;
    let refuse = |what: &str| fail(format!("file: {}: {what}", &*path));
    let open = |path: &str| -> std::io::Result<Option<Vec<u8>>> {
        // Checked before it is opened: opening a pipe waits for a writer.
        if !std::fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    let bytes = open(&path)
        .map_err(|error| refuse(&error.to_string()))?
        .ok_or_else(|| refuse("not a regular file"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(over_limit(&format!("file: {}: larger than 1 MiB", &*path)));
    }
    String::from_utf8(bytes).map_err(|_| refuse("not UTF-8"))
}

/// Returns another template's text. It sees the names of this render, and `data` if given.
fn include(state: &State<'_, '_>, name: Text, data: Option<Value>) -> Result<String, Error> {
    let template = state.get_template(&name)?;
    let (mut vars, limit) = current::with(|current| {
        current.chain.push(name.0.clone());
        let turns = current.chain.iter().filter(|known| **known == name.0).count();
        if turns > 1 && data.is_none() || current.chain.len() > current.limits.depth.max(1) {
            let mut chain = current.chain.clone();
            chain.truncate(20);
            current.chain.pop();
            return Err(over_limit(&format!("include cycle detected: {}", chain.join(" -> "))));
        }
        Ok((current.vars.clone(), current.limits.output))
    })?;
    if let Some(data) = data {
        vars.insert("data".to_owned(), data);
    }
    current::check_deadline()?;
    // On a thread of its own: nested includes would otherwise use up this stack.
    let slot = current::take().ok_or_else(|| fail("include works only while a template is rendered"))?;
    let (result, slot) = std::thread::scope(|scope| {
        let render = move || {
            current::restore(slot);
            let mut out = LimitedBuffer::new(limit);
            let result = template.render_captured_to(Value::from_pairs(vars), &mut out).map(drop);
            (result.map(|()| out.bytes), current::take())
        };
        match std::thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn_scoped(scope, render) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => (Err(fail(format!("include: no thread for it: {error}"))), None),
        }
    });
    if let Some(mut slot) = slot {
        slot.chain.pop();
        current::restore(slot);
    }
    let bytes = result.map_err(|error| {
        Error::new(minijinja::ErrorKind::BadInclude, format!("error in \"{}\"", &*name)).with_source(error)
    })?;
    String::from_utf8(bytes).map_err(|_| fail("include: not UTF-8"))
}
