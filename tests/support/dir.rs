//! A folder for one test: confdir, outputs, state, logs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The folder; removed with its handle.
#[derive(Debug)]
pub struct Dir {
    root: TempDir,
}

impl Dir {
    /// Creates `confdir/conf.d`, `confdir/templates`, `out`, `log` and `bin`.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("retune-").tempdir().unwrap();
        for dir in ["confdir/conf.d", "confdir/templates", "out", "log", "bin"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        Self { root }
    }

    /// Returns a path below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Returns a path below the folder, as text for a configuration.
    pub fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Returns the confdir, as text for a command line.
    pub fn confdir(&self) -> String {
        self.text_path("confdir")
    }

    /// Returns a rendered file's path.
    pub fn out(&self, name: &str) -> PathBuf {
        self.path("out").join(name)
    }

    /// Writes a file; `{out}` and `{dir}` in the text become paths.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        let text = text.replace("{out}", &self.text_path("out")).replace("{dir}", &self.text_path(""));
        self.write_bytes(name, text.as_bytes())
    }

    /// Writes a file verbatim.
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        self
    }

    /// Writes `conf.d/<name>.toml`.
    pub fn conf(&self, name: &str, toml: &str) -> &Self {
        self.write(&format!("confdir/conf.d/{name}.toml"), toml)
    }

    /// Writes `templates/<name>`.
    pub fn template(&self, name: &str, text: &str) -> &Self {
        self.write(&format!("confdir/templates/{name}"), text)
    }

    /// Writes the usual resource: `<name>.tmpl` with this text to `out/<name>.conf`, all keys, plus `extra` lines.
    pub fn resource(&self, name: &str, template: &str, extra: &str) -> &Self {
        self.template(&format!("{name}.tmpl"), template);
        let head = format!("src = \"{name}.tmpl\"\ndest = \"{{out}}/{name}.conf\"\n");
        let keys = if extra.contains("keys =") { "" } else { "keys = [\"/\"]\n" };
        self.conf(name, &format!("[template]\n{head}{keys}{extra}\n"))
    }

    /// Returns the content of a file, or `None` if it is missing.
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Returns whether a rendered file has exactly this content.
    pub fn has(&self, name: &str, text: &str) -> bool {
        fs::read(self.out(name)).is_ok_and(|bytes| bytes == text.as_bytes())
    }

    /// Asserts that a rendered file has exactly this content.
    #[track_caller]
    pub fn assert_has(&self, name: &str, text: &str) {
        let found = fs::read(self.out(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(found.ok().as_deref(), Some(text), "out/{name} in\n{}", self.listing());
    }

    /// Returns the lines of a file that commands append to; none if it is missing.
    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Returns the names in `out`, sorted, hidden ones too.
    pub fn outputs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("out")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Returns every path with its size, for the report of a failure; truncated when there are very many.
    pub fn listing(&self) -> String {
        let mut text = String::new();
        list(self.root.path(), self.root.path(), &mut text);
        text
    }
}

fn list(root: &Path, dir: &Path, text: &mut String) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let more = paths.len().saturating_sub(60);
    for path in paths.iter().take(60) {
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            list(root, path, text);
        } else {
            let name = path.strip_prefix(root).unwrap_or(path).display();
            writeln!(text, "  {name} ({} bytes)", meta.len()).unwrap();
        }
    }
    if more > 0 {
        writeln!(text, "  … and {more} more in {}", dir.display()).unwrap();
    }
}
