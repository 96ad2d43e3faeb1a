//! Template files: maps a name to its file, and reads it within bounds.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::{Error, ErrorKind};

/// The largest template file that is read.
const MAX_TEMPLATE_BYTES: u64 = 16 << 20;
/// A template of up to this many bytes is kept as text and compiled for each render: a compiled one takes 11 kB
/// however short it is, and compiling a short one takes microseconds.
const MAX_UNCOMPILED_BYTES: usize = 4096;

/// Returns the text to compile for the text of a file.
pub(super) type Prepare = fn(&str) -> Result<Cow<'_, str>, Error>;

pub(super) struct Loader {
    dir: PathBuf,
    prepare: Prepare,
    /// Files that were read or looked up: a missing one has to be watched too.
    seen: Mutex<BTreeSet<PathBuf>>,
    /// The short templates by name; `None` for a long one.
    short: Mutex<HashMap<String, Option<Arc<str>>>>,
}

impl Loader {
    pub(super) fn new(dir: &Path, prepare: Prepare) -> Self {
        Self { dir: dir.to_owned(), prepare, seen: Mutex::default(), short: Mutex::default() }
    }

    /// Returns the file of a name. An absolute name is also below the directory, as in confd.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        let mut segments = Vec::new();
        for segment in name.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    segments.pop()?;
                }
                other => segments.push(other),
            }
        }
        if segments.is_empty() { None } else { Some(self.dir.join(segments.join("/"))) }
    }

    /// Returns a template's name in messages: its path from the parent of the templates folder.
    pub(super) fn display(&self, name: &str) -> String {
        let dir = self.dir.file_name().map(|dir| dir.to_string_lossy().into_owned());
        let name = name.trim_start_matches('/');
        match dir {
            Some(dir) => format!("{dir}/{name}"),
            None => name.to_owned(),
        }
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Returns the text to compile of a short template, always the same copy; `None` for a long, missing or unreadable one.
    pub(super) fn short(&self, name: &str) -> Option<Arc<str>> {
        let known = self.short.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(kept) = known {
            return kept;
        }
        let text = self.load(name).ok().flatten()?;
        // One that cannot be prepared is not short: its loading reports the error.
        let is_short = text.len() <= MAX_UNCOMPILED_BYTES;
        let kept: Option<Arc<str>> = (self.prepare)(&text).ok().filter(|_| is_short).map(Arc::from);
        let mut short = self.short.lock().unwrap_or_else(PoisonError::into_inner);
        // If two threads read it, the first one's text is kept.
        short.entry(name.to_owned()).or_insert(kept).clone()
    }

    /// Returns the text of a template to compile, or `None` when the file is missing.
    pub(super) fn load_prepared(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(text) = self.load(name)? else { return Ok(None) };
        Ok(Some((self.prepare)(&text)?.into_owned()))
    }

    /// Returns the text of a template, or `None` when the file is missing.
    pub(super) fn load(&self, name: &str) -> Result<Option<String>, Error> {
        let refuse = |what: String| Error::new(ErrorKind::InvalidOperation, what);
        let Some(path) = self.path(name) else {
            return Err(refuse(format!("the template `{name}` lies outside {}", self.dir.display())));
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(format!("cannot open {}: {error}", path.display()))),
        };
        // Reading a pipe would block the render for ever, and a folder gives an unclear error.
        let size = match file.metadata() {
            Ok(meta) if meta.is_file() => meta.len().min(MAX_TEMPLATE_BYTES),
            _ => return Err(refuse(format!("{} is not a regular file", path.display()))),
        };
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
        file.take(MAX_TEMPLATE_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| refuse(format!("cannot read {}: {error}", path.display())))?;
        if bytes.len() as u64 > MAX_TEMPLATE_BYTES {
            return Err(refuse(format!(
                "{} is larger than {} MiB",
                path.display(),
                MAX_TEMPLATE_BYTES >> 20
            )));
        }
        String::from_utf8(bytes).map(Some).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            refuse(format!("{} is not UTF-8 (byte {at})", path.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_it_is(text: &str) -> Result<Cow<'_, str>, Error> {
        Ok(text.into())
    }

    #[test]
    fn names_stay_inside_the_folder() {
        let loader = Loader::new(Path::new("/t"), as_it_is);
        let path = |name: &str| loader.path(name).map(|path| path.display().to_string());
        assert_eq!(path("a.tmpl").as_deref(), Some("/t/a.tmpl"));
        assert_eq!(path("/sub//.env.tmpl").as_deref(), Some("/t/sub/.env.tmpl"));
        assert_eq!(path("a/../b").as_deref(), Some("/t/b"));
        assert_eq!(path("../b"), None);
        assert_eq!(path("a/../../t/b"), None);
        assert_eq!(path("/"), None);
    }

    #[test]
    fn a_short_template_is_cached_and_a_long_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let loader = Loader::new(dir.path(), as_it_is);
        assert_eq!(loader.short("a"), None);
        for (text, kept) in [("one", "one"), ("two", "one")] {
            std::fs::write(dir.path().join("a"), text).unwrap();
            assert_eq!(loader.short("a").as_deref(), Some(kept));
        }
        std::fs::write(dir.path().join("b"), "x".repeat(MAX_UNCOMPILED_BYTES + 1)).unwrap();
        assert_eq!(loader.short("b"), None);
    }

    #[test]
    fn an_unreadable_or_binary_file_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("bin"), [b'a', 0xff]).unwrap();
        std::fs::write(dir.path().join(".env.tmpl"), "x\n").unwrap();
        std::os::unix::fs::symlink(dir.path().join(".env.tmpl"), dir.path().join("link")).unwrap();
        let loader = Loader::new(dir.path(), as_it_is);
        assert!(loader.load("sub").unwrap_err().to_string().contains("not a regular file"));
        assert!(loader.load("bin").unwrap_err().to_string().contains("not UTF-8 (byte 1)"));
        assert!(loader.load("../x").unwrap_err().to_string().contains("outside"));
        assert_eq!(loader.load(".env.tmpl").unwrap().as_deref(), Some("x\n"));
        assert_eq!(loader.load("link").unwrap().as_deref(), Some("x\n"));
        assert_eq!(loader.load("none").unwrap(), None);
        assert!(loader.files().contains(&dir.path().join("none")));
    }
}
