//! One destination to render: a resource, or one entry of a resource's `for_each`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

use super::resource::Resource;
use crate::key;
use crate::template::ForEachItem;
use crate::values::Values;

/// One file to render.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Index of the resource in its generation.
    pub index: usize,
    /// The resource.
    pub resource: Arc<Resource>,
    /// The destination.
    pub dest: PathBuf,
    /// Extra variables of the template: `item` for an entry of `for_each`.
    pub vars: BTreeMap<String, Value>,
}

impl Job {
    /// Returns the destination as logs show it.
    #[must_use]
    pub(super) fn dest_text(&self) -> String {
        self.dest.display().to_string()
    }
}

/// The files of a resource with the current values.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// The files to render.
    pub jobs: Vec<Job>,
    /// The directory whose entries decided the list, if any: it is recorded as a dependency.
    pub listing: Option<Arc<str>>,
    /// Entries that have no valid file name.
    pub problems: Vec<String>,
}

/// Returns the files of one resource: one, or one for each entry of its `for_each` directory.
#[must_use]
pub(super) fn jobs(index: usize, resource: &Arc<Resource>, values: &Values) -> Jobs {
    let one = |dest: PathBuf, vars| Job { index, resource: Arc::clone(resource), dest, vars };
    let Some(pattern) = &resource.for_each else {
        return Jobs { jobs: vec![one(PathBuf::from(&resource.dest), BTreeMap::new())], ..Jobs::default() };
    };
    let dir = key::join(&resource.scope.prefix, pattern.strip_suffix("/*").unwrap_or(pattern));
    let mut all = Jobs { listing: Some(Arc::from(dir.as_str())), ..Jobs::default() };
    let mut dests: BTreeMap<PathBuf, String> = BTreeMap::new();
    for name in entries(&dir, resource, values) {
        let item = item(&dir, &name, resource);
        match dest_of(resource, &name, &item) {
            Ok(dest) => {
                if let Some(other) = dests.insert(dest.clone(), name.clone()) {
                    let text = format!(
                        "entries {other} and {name} of {dir} have one destination, {}",
                        dest.display()
                    );
                    all.problems.push(text);
                    all.jobs.retain(|job| job.dest != dest);
                    continue;
                }
                all.jobs.push(one(dest, BTreeMap::from([("item".to_owned(), item)])));
            }
            Err(text) => all.problems.push(format!("entry {name} of {dir}: {text}")),
        }
    }
    all
}

/// Returns the names directly below `dir` that the resource may see, in order; whole subtrees are skipped.
fn entries(dir: &str, resource: &Resource, values: &Values) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut from = String::new();
    while let Some((found, _)) = values.next_below(dir, &from) {
        let below = key::relative(dir, found).unwrap_or(found).trim_start_matches('/');
        let name = below.split('/').next().unwrap_or(below);
        let entry = key::join(dir, name);
        // `0` is the byte after `/`: this is the first key past everything below the entry.
        from = if **found == *entry { format!("{entry}\0") } else { format!("{entry}0") };
        if resource.scope.covers(&entry)
            || resource.scope.roots.iter().any(|root| key::contains(&entry, root))
        {
            names.insert(name.to_owned());
        }
    }
    names
}

/// Reports whether a resource could have written `dest`: for a `for_each`, whether the path fits its pattern.
pub(super) fn writes(resource: &Resource, dest: &Path) -> bool {
    let (pattern, dest) = (resource.dest.as_str(), dest.to_string_lossy());
    if resource.for_each.is_none() {
        return dest == pattern;
    }
    let before = pattern.split("{{").next().unwrap_or_default();
    let after = pattern.rsplit("}}").next().unwrap_or_default();
    let entry = dest.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    entry.is_some_and(|entry| !entry.is_empty() && !entry.contains('/'))
}

fn item(dir: &str, name: &str, resource: &Resource) -> Value {
    let absolute = key::join(dir, name);
    let key = key::relative(&resource.scope.prefix, &absolute).unwrap_or(&absolute).to_owned();
    Value::from_object(ForEachItem { name: name.to_owned(), key })
}

/// Returns the destination of one entry: the pattern with `{{ item.name }}` filled in. Refuses a name that could
/// escape the folder, and a pattern that does not use the entry.
fn dest_of(resource: &Resource, name: &str, item: &Value) -> Result<PathBuf, String> {
    let pattern = resource.dest.as_str();
    if name == "." || name == ".." || name.contains(['\0', '/']) {
        return Err("its name cannot be part of a file name".to_owned());
    }
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let dest = environment
        .render_str(pattern, context! { item })
        .map_err(|error| format!("dest {pattern:?}: {error}"))?;
    if dest == pattern {
        return Err(format!("dest {pattern:?} must hold {{{{ item.name }}}}, or every entry is one file"));
    }
    // A filter may turn a name into `..`. Below another root, nothing leads out.
    let allowed = if resource.makes_folders { 0 } else { steps_up(pattern) };
    if steps_up(&dest) > allowed {
        return Err(format!("its destination {dest:?} leads to another folder through `..`"));
    }
    Ok(PathBuf::from(dest))
}

fn steps_up(path: &str) -> usize {
    Path::new(path).components().filter(|part| *part == Component::ParentDir).count()
}

#[cfg(test)]
mod tests {
    use super::super::resource;
    use super::super::settings::Settings;
    use super::*;
    use crate::values::Datum;

    fn resource(dest: &str) -> Arc<Resource> {
        let text = format!(
            "[template]\nsrc=\"a\"\ndest=\"{dest}\"\nprefix=\"/p\"\nkeys=[\"/sites\"]\nfor_each=\"/sites/*\"\n"
        );
        Arc::new(resource::parse("a", Path::new("a.toml"), &text, &Settings::default()).resource.unwrap())
    }

    fn values(keys: &[&str]) -> Values {
        keys.iter().map(|key| (Arc::from(*key), Datum::from("v"))).collect()
    }

    fn dests(dest: &str, keys: &[&str]) -> (Vec<String>, usize) {
        let all = jobs(0, &resource(dest), &values(keys));
        (all.jobs.iter().map(Job::dest_text).collect(), all.problems.len())
    }

    #[test]
    fn each_entry_is_one_file_whether_it_is_a_key_or_a_directory() {
        let keys = ["/p/sites/a/x", "/p/sites/a/y/z", "/p/sites/a!", "/p/sites/b", "/p/sitesx/c", "/q"];
        assert_eq!(
            dests("/o/{{ item.name }}", &keys),
            (vec!["/o/a".into(), "/o/a!".into(), "/o/b".into()], 0)
        );
    }

    #[test]
    fn a_destination_that_all_entries_share_is_refused() {
        assert_eq!(dests("/o/x", &["/p/sites/a", "/p/sites/b"]), (vec![], 2));
        assert_eq!(dests("/o/{{ item.name[0] }}", &["/p/sites/ab", "/p/sites/ac"]), (vec![], 1));
        assert_eq!(dests("/o/{{ item.nope }}", &["/p/sites/ab"]), (vec![], 1));
    }

    #[test]
    fn no_name_leads_out_of_the_folder_of_its_pattern() {
        assert_eq!(dests("/o/{{ item.name|trim }}/x", &["/p/sites/ .. ", "/p/sites/.."]), (vec![], 2));
        assert_eq!(dests("/o/../o/{{ item.name }}", &["/p/sites/a"]), (vec!["/o/../o/a".into()], 0));
        assert_eq!(dests("/o/../o/{{ item.name|trim }}/x", &["/p/sites/ .. "]), (vec![], 1));
        let mut rooted = (*resource("/r/../o/{{ item.name }}")).clone();
        rooted.makes_folders = true;
        assert_eq!(jobs(0, &Arc::new(rooted), &values(&["/p/sites/a"])).problems.len(), 1);
    }

    #[test]
    fn a_path_is_recognised_as_one_of_a_pattern() {
        let resource = resource("/o/{{ item.name }}.conf");
        let fits = |dest: &str| writes(&resource, Path::new(dest));
        assert!(fits("/o/a.conf") && fits("/o/a.b.conf"));
        assert!(!fits("/o/.conf") && !fits("/o/a/b.conf") && !fits("/p/a.conf") && !fits("/o/a.txt"));
    }

    #[test]
    fn the_listing_is_a_dependency() {
        assert_eq!(
            jobs(0, &resource("/o/{{ item.name }}"), &Values::default()).listing.as_deref(),
            Some("/p/sites")
        );
    }
}
