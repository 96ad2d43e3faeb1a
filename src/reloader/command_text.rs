//! `{{.src}}` and `{{.dest}}` in a resource's commands.
//!
//! A path may hold text from the store: the name of a `for_each` entry. So a path is never quoted for a shell, because
//! that needs to know what the shell makes of the text around it. Shell text gets a path in its environment. A
//! placeholder in shell text is filled in only with characters that mean nothing to any shell. In a list of arguments a
//! placeholder is filled in with any path.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::command::Program;

/// The variable with the path of the file to check.
pub(super) const SRC: &str = "RETUNE_SRC";
/// The variable with the destination.
pub(super) const DEST: &str = "RETUNE_DEST";
/// The variable in which a verification gets the generation.
pub(super) const GENERATION: &str = "RETUNE_GENERATION";

/// The paths of one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandPaths<'p> {
    /// The staged file; after the swap, the destination.
    pub src: &'p Path,
    /// The destination.
    pub dest: &'p Path,
}

impl CommandPaths<'_> {
    /// Returns the variables of a command. A relative path never begins with `-`, which would be an option.
    pub(super) fn env(&self) -> Vec<(String, OsString)> {
        vec![(SRC.to_owned(), as_argument(self.src)), (DEST.to_owned(), as_argument(self.dest))]
    }

    fn get(&self, placeholder: Placeholder) -> OsString {
        as_argument(match placeholder {
            Placeholder::Src => self.src,
            Placeholder::Dest => self.dest,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Src,
    Dest,
}

impl Placeholder {
    fn variable(self) -> &'static str {
        match self {
            Self::Src => SRC,
            Self::Dest => DEST,
        }
    }
}

fn as_argument(path: &Path) -> OsString {
    if path.as_os_str().as_bytes().starts_with(b"-") {
        return Path::new(".").join(path).into_os_string();
    }
    path.as_os_str().to_owned()
}

/// Fills the paths into a check or reload command.
///
/// # Errors
/// It holds any other `{{…}}`, or one without its end; or a path that shell text must not contain.
pub(super) fn fill(program: &Program, paths: CommandPaths<'_>) -> Result<Program, String> {
    match program {
        Program::Shell(text) => {
            let mut filled = String::with_capacity(text.len());
            for piece in pieces(text)? {
                match piece {
                    Piece::Text(text) => filled.push_str(text),
                    Piece::Placeholder(it, written) => filled.push_str(&plain(&paths.get(it), it, written)?),
                }
            }
            Ok(Program::Shell(filled))
        }
        Program::Arguments(words) => {
            let words = words.iter().map(|word| Ok(fill_argument(&pieces(&word.to_string_lossy())?, paths)));
            Ok(Program::Arguments(words.collect::<Result<_, String>>()?))
        }
    }
}

/// Fills the paths into a verification's list of arguments. Other braces belong to the command
/// (`docker inspect --format '{{.State}}'`), and shell text is left as it is.
pub(super) fn fill_arguments(program: &Program, paths: CommandPaths<'_>) -> Program {
    let Program::Arguments(words) = program else { return program.clone() };
    let words = words.iter().map(|word| fill_argument(&lenient_pieces(&word.to_string_lossy()), paths));
    Program::Arguments(words.collect())
}

fn fill_argument(pieces: &[Piece<'_>], paths: CommandPaths<'_>) -> OsString {
    let mut filled = OsString::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => filled.push(text),
            Piece::Placeholder(it, _) => filled.push(paths.get(*it)),
        }
    }
    filled
}

/// Checks the placeholders of a command.
///
/// # Errors
/// As for [`fill`], whatever the paths.
pub(super) fn check(program: &Program) -> Result<(), String> {
    fill(program, CommandPaths { src: Path::new("/src"), dest: Path::new("/dest") }).map(drop)
}

/// Returns whether a command depends on the paths: it differs from one file to the next.
pub(super) fn names_paths(program: &Program) -> bool {
    let names = |text: &str| {
        [SRC, DEST].iter().any(|name| text.contains(name))
            || lenient_pieces(text).iter().any(|piece| matches!(piece, Piece::Placeholder(..)))
    };
    match program {
        Program::Shell(text) => names(text),
        Program::Arguments(words) => words.iter().any(|word| names(&word.to_string_lossy())),
    }
}

/// Returns a path as it stands in shell text.
fn plain(path: &OsStr, placeholder: Placeholder, written: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./-+=:,@%".contains(c);
    let text = path.to_string_lossy();
    match text.chars().find(|c| !is_plain(*c)) {
        None => Ok(text.into_owned()),
        Some(c) => Err(format!(
            "{written} is {text:?}, and {c:?} has a meaning in shell text: use \"${}\" instead, or make the command a \
             list of arguments",
            placeholder.variable()
        )),
    }
}

/// A part of a command's text.
enum Piece<'t> {
    Text(&'t str),
    /// A placeholder, and how it is written.
    Placeholder(Placeholder, &'t str),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        all.push(Piece::Text(&rest[..at]));
        let Some(end) = rest[at..].find("}}") else {
            return Err(format!("the command `{text}` has a `{{{{` without its `}}}}`"));
        };
        let written = &rest[at..at + end + 2];
        let Some(placeholder) = placeholder(written) else {
            return Err(format!("`{written}` is not known in a command: use {{{{.src}}}} or {{{{.dest}}}}"));
        };
        all.push(Piece::Placeholder(placeholder, written));
        rest = &rest[at + end + 2..];
    }
    all.push(Piece::Text(rest));
    Ok(all)
}

/// Like [`pieces`], with everything that is not a placeholder as text.
fn lenient_pieces(text: &str) -> Vec<Piece<'_>> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let end = rest[at..].find("}}").map_or(rest.len(), |end| at + end + 2);
        let written = &rest[at..end];
        // Without one, the next pair of braces may begin one byte later.
        let Some(placeholder) = placeholder(written) else {
            all.push(Piece::Text(&rest[..=at]));
            rest = &rest[at + 1..];
            continue;
        };
        all.push(Piece::Text(&rest[..at]));
        all.push(Piece::Placeholder(placeholder, written));
        rest = &rest[end..];
    }
    all.push(Piece::Text(rest));
    all
}

/// Returns the placeholder that is written in braces: `{{.src}}`, `{{ dest }}`, `{{- .src -}}`.
fn placeholder(written: &str) -> Option<Placeholder> {
    let name = written.strip_prefix("{{")?.strip_suffix("}}")?.trim_matches('-').trim();
    match name.strip_prefix('.').unwrap_or(name) {
        "src" => Some(Placeholder::Src),
        "dest" => Some(Placeholder::Dest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str, src: &str, dest: &str) -> Result<String, String> {
        let paths = CommandPaths { src: Path::new(src), dest: Path::new(dest) };
        fill(&Program::Shell(text.to_owned()), paths).map(|program| program.to_string())
    }

    fn list(words: &[&str]) -> Program {
        Program::Arguments(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn every_spelling_of_a_placeholder_becomes_the_path() {
        for text in
            ["nginx -t -c {{.src}}", "nginx -t -c {{ .src }}", "nginx -t -c {{ src }}", "nginx -t -c {{src}}"]
        {
            assert_eq!(shell(text, "/tmp/.x-1", "/d").as_deref(), Ok("nginx -t -c /tmp/.x-1"), "{text}");
        }
        assert_eq!(shell("cp {{.src}} {{.dest}}.bak", "/s", "/d").as_deref(), Ok("cp /s /d.bak"));
        assert_eq!(shell("true", "/s", "/d").as_deref(), Ok("true"));
        let all = "/_./-+=:,@%azAZ09";
        assert_eq!(shell("x {{.src}}", all, "/d"), Ok(format!("x {all}")));
    }

    #[test]
    fn a_path_that_a_shell_would_read_is_refused_with_the_variable_to_use() {
        for c in " \t\n;&|<>()$`\\\"'*?[]#~!{}^é\u{7f}".chars() {
            let path = format!("/a{c}b");
            for text in ["t {{.src}}", "t '{{.src}}'", "t \"{{.src}}\"", "# it's\nt {{.src}}"] {
                let says = shell(text, &path, "/d").unwrap_err();
                assert!(says.contains("$RETUNE_SRC") && says.contains("list of arguments"), "{says}");
            }
            assert!(shell("t {{.dest}}", "/s", &path).unwrap_err().contains("$RETUNE_DEST"));
            assert_eq!(
                shell("t {{.dest}}", &path, "/d").as_deref(),
                Ok("t /d"),
                "only the named path counts"
            );
        }
    }

    #[test]
    fn an_argument_takes_any_path_whole() {
        let paths = CommandPaths { src: Path::new("/a b'$(x)\";`"), dest: Path::new("-rf") };
        let filled = fill(&list(&["t", "--file={{.src}}", "{{ dest }}", "x"]), paths);
        assert_eq!(filled, Ok(list(&["t", "--file=/a b'$(x)\";`", "./-rf", "x"])));
        assert_eq!(paths.env()[1], (DEST.to_owned(), OsString::from("./-rf")));
        let latin = Path::new(OsStr::from_bytes(b"/\xff"));
        let filled = fill(&list(&["{{src}}"]), CommandPaths { src: latin, dest: latin });
        assert_eq!(filled, Ok(Program::Arguments(vec![latin.as_os_str().to_owned()])));
    }

    #[test]
    fn any_other_placeholder_is_named_in_the_error() {
        assert!(shell("x {{ .Src }}", "/s", "/d").unwrap_err().contains("`{{ .Src }}`"));
        assert!(shell("x {{getv \"/a\"}}", "/s", "/d").unwrap_err().contains("getv"));
        assert!(shell("x {{.src", "/s", "/d").is_err());
        assert!(check(&list(&["x", "{{.State}}"])).is_err());
    }

    #[test]
    fn a_verification_keeps_the_braces_of_other_programs() {
        let paths = CommandPaths { src: Path::new("/s"), dest: Path::new("/d;x") };
        let words = ["docker", "-f", "{{.State}} {{{.dest}} {{", "{{.dest}}"];
        let filled = fill_arguments(&list(&words), paths);
        assert_eq!(filled, list(&["docker", "-f", "{{.State}} {/d;x {{", "/d;x"]));
        let shell = Program::Shell("x {{.dest}}".to_owned());
        assert_eq!(fill_arguments(&shell, paths), shell);
    }

    #[test]
    fn a_command_that_names_a_path_differs_for_each_file() {
        for text in ["x {{.dest}}", "x \"$RETUNE_DEST\"", "{{ src }}"] {
            assert!(names_paths(&Program::Shell(text.to_owned())), "{text}");
        }
        assert!(!names_paths(&Program::Shell("docker ps --format {{.Names}}".to_owned())));
        assert!(names_paths(&list(&["x", "{{.dest}}"])) && !names_paths(&list(&["x"])));
    }
}
