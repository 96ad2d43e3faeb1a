//! Everything in `conf.d`: the resources, and the problems of files that are not valid resources.
//!
//! Files are found as confd finds them: recursively, in lexical order, every file whose name ends in `toml`.
//! Symlinked files and folders are followed.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::Problem;
use super::resource::{self, Reload, Resource};
use super::settings::Settings;
use crate::key;

/// The largest resource file that is read; typical ones hold a few hundred bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// How deep folders may nest; symlinks can form a cycle.
const MAX_DEPTH: usize = 16;

/// The resources of one confdir at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Confdir {
    /// The valid resources, in lexical order of their files.
    pub resources: Vec<Arc<Resource>>,
    /// What is wrong with the invalid ones.
    pub problems: Vec<Problem>,
    /// Warnings about resources that are still usable.
    pub warnings: Vec<Problem>,
    /// The number of files read, valid or not.
    pub files: usize,
    /// For each resource, the index of the first one with an equal reload: those wait and reload together.
    groups: Vec<usize>,
}

impl Confdir {
    /// Reads every resource file below the settings' confdir. A broken file becomes a problem and does not affect the
    /// others.
    #[must_use]
    pub(super) fn load(settings: &Settings) -> Self {
        let root = settings.confdir.join("conf.d");
        let mut all = Self::default();
        let mut files = Vec::new();
        if let Err(error) = find(&root, 0, &mut files) {
            let text = format!(
                "cannot read the folder of resources: {error}; --confdir names the folder that holds conf.d, with \
                 resources (*.toml), and templates"
            );
            all.problems.push(Problem { file: root, line: 0, text });
            return all;
        }
        files.sort();
        let found = files;
        for file in &found {
            let name = name_of(&root, file);
            if !settings.only.is_empty() && !settings.only.iter().any(|only| is_named(&name, only)) {
                continue;
            }
            all.files += 1;
            all.take(&name, file, settings);
        }
        for name in &settings.only {
            let wanted = |file: &PathBuf| is_named(&name_of(&root, file), name);
            if !found.iter().any(wanted) {
                let text = "there is no such resource".to_owned();
                all.problems.push(Problem { file: root.join(name), line: 0, text });
            }
        }
        all.refuse_shared_destinations();
        all.group_by_reload();
        all
    }

    fn take(&mut self, name: &str, file: &Path, settings: &Settings) {
        let text = match read(file) {
            Ok(text) => text,
            Err(text) => {
                self.problems.push(Problem { file: file.to_owned(), line: 0, text });
                return;
            }
        };
        let loaded = resource::parse(name, file, &text, settings);
        self.warnings.extend(loaded.warnings);
        match loaded.resource {
            Ok(resource) => self.resources.push(Arc::new(resource)),
            Err(problems) => self.problems.extend(problems),
        }
    }

    /// Refuses all resources that share a destination: they would overwrite each other for ever, and which one is
    /// wanted is unknown.
    fn refuse_shared_destinations(&mut self) {
        let mut folders = HashMap::new();
        let mut by_dest: HashMap<PathBuf, Vec<Arc<Resource>>> = HashMap::new();
        for resource in &self.resources {
            by_dest.entry(identity(&resource.dest, &mut folders)).or_default().push(Arc::clone(resource));
        }
        for (dest, sharing) in by_dest.into_iter().filter(|(_, sharing)| sharing.len() > 1) {
            let names: Vec<_> = sharing.iter().map(|resource| resource.file.display().to_string()).collect();
            for resource in &sharing {
                let others: Vec<_> =
                    names.iter().filter(|name| **name != resource.file.display().to_string()).collect();
                let others = others.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
                let text =
                    format!("dest {} is also written by {others}; neither is rendered", dest.display());
                self.problems.push(Problem { file: resource.file.clone(), line: 0, text });
            }
            self.resources.retain(|resource| sharing.iter().all(|one| one.file != resource.file));
        }
        self.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    }

    fn group_by_reload(&mut self) {
        let mut first: HashMap<&Reload, usize> = HashMap::new();
        let groups = self.resources.iter().enumerate().map(|(index, resource)| match &resource.reload {
            Some(reload) => *first.entry(reload).or_insert(index),
            None => index,
        });
        self.groups = groups.collect();
    }

    /// Returns the debounce group of a resource.
    pub(super) fn group(&self, index: usize) -> usize {
        self.groups.get(index).copied().unwrap_or(index)
    }

    /// Returns every key or directory that any resource may read: what to fetch from the source.
    #[must_use]
    pub(super) fn roots(&self) -> Vec<String> {
        key::disjoint(
            self.resources.iter().flat_map(|resource| resource.scope.roots.iter().cloned()).collect(),
        )
    }
}

fn find(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        // The listing already holds the file type; only a symlink needs a stat.
        let is_dir = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => path.is_dir(),
            Ok(kind) => kind.is_dir(),
            Err(_) => false,
        };
        // Kubernetes lays out a mounted ConfigMap in `..data` and similar folders: only the links beside them count.
        if is_dir && depth < MAX_DEPTH && !name.starts_with("..") {
            find(&path, depth + 1, files)?;
        } else if !is_dir && name.ends_with("toml") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(file: &Path) -> Result<String, String> {
    let opened = fs::File::open(file).map_err(|error| format!("cannot read it: {error}"))?;
    let meta = opened.metadata().map_err(|error| format!("cannot read it: {error}"))?;
    if !meta.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if meta.len() > MAX_FILE_BYTES {
        return Err(format!("it has {} bytes; a resource file has at most {MAX_FILE_BYTES}", meta.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default() + 1);
    opened
        .take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read it: {error}"))?;
    String::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8 from byte {}", error.utf8_error().valid_up_to()))
}

fn name_of(root: &Path, file: &Path) -> String {
    let below = file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned();
    below.strip_suffix(".toml").map(str::to_owned).unwrap_or(below)
}

fn is_named(name: &str, wanted: &str) -> bool {
    let wanted = wanted.strip_suffix(".toml").unwrap_or(wanted);
    name == wanted
}

/// Returns a canonical form of a destination: the real path of its folder, and the file name. `folders` caches the
/// folders that were resolved.
fn identity(dest: &str, folders: &mut HashMap<PathBuf, Option<PathBuf>>) -> PathBuf {
    let absolute = std::path::absolute(dest).unwrap_or_else(|_| PathBuf::from(dest));
    let cleaned: PathBuf = absolute.components().collect();
    let (Some(folder), Some(name)) = (cleaned.parent(), cleaned.file_name()) else { return cleaned };
    let real = match folders.get(folder) {
        Some(real) => real,
        None => folders.entry(folder.to_owned()).or_insert_with(|| fs::canonicalize(folder).ok()),
    };
    real.as_ref().map_or_else(|| cleaned.clone(), |real| real.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confdir(files: &[(&str, &str)]) -> (tempfile::TempDir, Settings) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join("conf.d").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let settings = Settings { confdir: dir.path().to_owned(), ..Settings::default() };
        (dir, settings)
    }

    const GOOD: &str = "[template]\nsrc=\"a\"\ndest=\"/tmp/a\"\nkeys=[\"/a\"]\n";

    #[test]
    fn a_broken_file_is_a_problem_and_the_others_load() {
        let (_dir, settings) =
            confdir(&[("a.toml", GOOD), ("b.toml", "[template\n"), ("sub/c.toml", "x = 1")]);
        let all = Confdir::load(&settings);
        assert_eq!(all.resources.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(all.problems.len(), 2, "{:?}", all.problems);
        assert!(all.problems[0].to_string().contains("b.toml:1: "));
    }

    #[test]
    fn two_resources_with_one_destination_are_both_refused() {
        let other = GOOD.replace("/tmp/a", "/tmp//./a");
        let (_dir, settings) =
            confdir(&[("a.toml", GOOD), ("b.toml", &other), ("c.toml", &GOOD.replace("/tmp/a", "/c"))]);
        let all = Confdir::load(&settings);
        assert_eq!(all.resources.len(), 1);
        assert_eq!(all.problems.len(), 2);
        assert!(all.problems[0].text.contains("b.toml"), "{}", all.problems[0]);
    }

    #[test]
    fn only_the_named_resources_load() {
        let (_dir, mut settings) =
            confdir(&[("a.toml", GOOD), ("b.toml", &GOOD.replace("/tmp/a", "/tmp/b"))]);
        settings.only = vec!["b.toml".to_owned()];
        assert_eq!(Confdir::load(&settings).resources[0].name, "b");
    }

    #[test]
    fn a_missing_folder_is_a_problem() {
        let settings = Settings { confdir: "/nowhere/at/all".into(), ..Settings::default() };
        let all = Confdir::load(&settings);
        assert_eq!(all.problems.len(), 1);
        assert!(all.problems[0].to_string().contains("/nowhere/at/all/conf.d"));
    }

    #[test]
    fn the_roots_are_what_all_resources_read() {
        let (_dir, settings) = confdir(&[
            ("a.toml", GOOD),
            ("b.toml", &GOOD.replace("/tmp/a", "/tmp/b").replace("\"/a\"", "\"/a/x\", \"/z\"")),
        ]);
        assert_eq!(Confdir::load(&settings).roots(), ["/a", "/z"]);
    }
}
