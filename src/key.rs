//! Keys and prefixes.
//!
//! A key is an absolute path of segments separated by `/`: it begins with `/`, has no empty, `.` or `..` segment and
//! does not end in `/` (except the root, `/` itself). Every room that handles keys uses these functions, so that a
//! boundary is always a segment boundary: `/app` never contains `/apple`.
//!
//! Leaves out: the values of keys (`values`) and where they come from (`source`).

/// Normalises any text that a user may type to a key: adds a leading `/`, resolves `//`, `.` and `..`, removes a
/// trailing `/`. This is Go's `path.Join("/", text)`, which confd's users rely on.
#[must_use]
pub fn clean(text: &str) -> String {
    join("", text)
}

/// Returns the key `text` below `prefix`, normalised as a whole: `..` in `text` may lead out of `prefix`, as in confd.
#[must_use]
pub fn join(prefix: &str, text: &str) -> String {
    let mut out = String::with_capacity(prefix.len() + text.len() + 2);
    push_segments(&mut out, prefix);
    push_segments(&mut out, text);
    if out.is_empty() {
        out.push('/');
    }
    out
}

fn push_segments(out: &mut String, text: &str) {
    for segment in text.split('/') {
        match segment {
            "" | "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
}

/// Returns whether `key` is `dir` itself or lies below it. Both must be clean.
#[must_use]
pub fn contains(dir: &str, key: &str) -> bool {
    dir == "/" || key.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns `key` relative to `prefix` (`/app/db` in `/app` is `/db`), or `None` outside it.
#[must_use]
pub fn relative<'k>(prefix: &str, key: &'k str) -> Option<&'k str> {
    if prefix == "/" {
        return Some(key);
    }
    match key.strip_prefix(prefix)? {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

/// Returns the last segment, or `/` for the root.
#[must_use]
pub fn base(key: &str) -> &str {
    match key.rsplit_once('/') {
        Some((_, "")) | None => "/",
        Some((_, base)) => base,
    }
}

/// Returns the directory of a key, or `None` for the root.
#[must_use]
pub fn parent(key: &str) -> Option<&str> {
    match key.rsplit_once('/')? {
        (_, "") => None,
        ("", _) => Some("/"),
        (dir, _) => Some(dir),
    }
}

/// Returns every directory above `key`, nearest first, the root last.
pub fn ancestors(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(key), |dir| parent(dir))
}

/// Returns whether etcd's v2 API leaves `key` out of the listing of `dir`: a segment below `dir` begins with `_`.
#[must_use]
pub fn is_hidden_below(dir: &str, key: &str) -> bool {
    relative(dir, key).is_some_and(|below| below.contains("/_"))
}

/// Returns the fewest keys whose listings show all of `keys`, sorted: a key below another is dropped, unless it is
/// hidden there.
#[must_use]
pub fn disjoint(mut keys: Vec<String>) -> Vec<String> {
    // `/` sorts before most bytes but not all (`/a!` < `/a/b`), so segments are compared.
    keys.sort_by(|a, b| a.split('/').cmp(b.split('/')));
    let mut above: Vec<String> = Vec::new();
    keys.retain(|key| {
        while above.last().is_some_and(|dir| !contains(dir, key)) {
            above.pop();
        }
        let shown = above.iter().any(|dir| !is_hidden_below(dir, key));
        if !shown {
            above.push(key.clone());
        }
        !shown
    });
    keys
}

/// Returns the deepest directory that contains every one of `keys`; the root when there are none.
#[must_use]
pub fn common(keys: &[String]) -> String {
    let Some((first, rest)) = keys.split_first() else { return "/".to_owned() };
    let mut dir = first.as_str();
    for key in rest {
        while !contains(dir, key) {
            dir = parent(dir).unwrap_or("/");
        }
    }
    dir.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_is_gos_path_join() {
        for (prefix, text, want) in [
            ("/", "app", "/app"),
            ("app", "/db/", "/app/db"),
            ("/app", "/", "/app"),
            ("/app/", "//a//b", "/app/a/b"),
            ("/app", "../x", "/x"),
            ("/app", "../../..", "/"),
            ("", "", "/"),
        ] {
            assert_eq!(join(prefix, text), want, "join({prefix:?}, {text:?})");
        }
    }

    #[test]
    fn a_prefix_ends_at_a_segment_boundary() {
        assert!(contains("/app", "/app/x") && contains("/app", "/app") && contains("/", "/app"));
        assert!(!contains("/app", "/apple") && !contains("/app/x", "/app"));
        assert_eq!(relative("/app", "/app/x"), Some("/x"));
        assert_eq!(relative("/app", "/apple/x"), None);
        assert_eq!(relative("/", "/x"), Some("/x"));
        assert_eq!(relative("/app", "/app"), Some("/"));
    }

    #[test]
    fn disjoint_drops_nested_prefixes_even_with_bytes_that_sort_before_the_slash() {
        let keys = ["/a/b", "/a!", "/a", "/b/c", "/b/c", "/a/z"].map(str::to_owned).to_vec();
        assert_eq!(disjoint(keys), ["/a", "/a!", "/b/c"]);
    }

    #[test]
    fn disjoint_keeps_hidden_prefixes_that_a_listing_above_omits() {
        let keys =
            ["/", "/app", "/_retune/nodes", "/_retune/nodes/a", "/_retune/_x", "/z/_a/b", "/_retune/nodes"];
        let left = disjoint(keys.map(str::to_owned).to_vec());
        assert_eq!(left, ["/", "/_retune/_x", "/_retune/nodes", "/z/_a/b"]);
    }

    #[test]
    fn common_is_the_deepest_directory_above_all() {
        let keys = |list: &[&str]| list.iter().map(|k| (*k).to_owned()).collect::<Vec<_>>();
        assert_eq!(common(&keys(&["/app/1", "/app/2/x"])), "/app");
        assert_eq!(common(&keys(&["/app", "/apple"])), "/");
        assert_eq!(common(&keys(&["/app/x"])), "/app/x");
        assert_eq!(common(&[]), "/");
    }

    #[test]
    fn parents_end_at_the_root() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(parent("/"), None);
        assert_eq!(base("/a/b"), "b");
        assert_eq!(base("/"), "/");
    }
}
