//! Golden scripts: scenarios as text, a command on each line with its answer indented below it.
//!
//! A line that begins with `==` is the title of a scenario, which starts on an empty state; one that begins with `#`
//! is for the reader. The answer to a command in parentheses is left out. Words are quoted as in a shell.
//! `RETUNE_TEST_UPDATE=1` writes the answers into the files: read the difference before you commit it.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use crate::diff::LineDiff;

/// The words of a command that were not read yet. What the runner does not read is an error of the script.
pub(crate) struct Words {
    line: String,
    rest: Vec<String>,
}

impl Words {
    fn of(line: &str) -> Self {
        let rest = shlex::split(line).unwrap_or_else(|| panic!("an open quote: {line}"));
        Self { line: line.to_owned(), rest }
    }

    /// Takes the next word.
    pub(crate) fn next(&mut self) -> String {
        assert!(!self.rest.is_empty(), "a word is missing: {}", self.line);
        self.rest.remove(0)
    }

    /// Takes the words that begin with `/`.
    pub(crate) fn keys(&mut self) -> Vec<String> {
        self.rest.extract_if(.., |word| word.starts_with('/')).collect()
    }

    /// Takes the value of `name=value`.
    pub(crate) fn option<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = |word: &String| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
        let (at, value) = self.rest.iter().enumerate().find_map(|(at, word)| Some((at, value(word)?)))?;
        self.rest.remove(at);
        Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}: {}", self.line)))
    }

    /// Takes the word `name`.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let at = self.rest.iter().position(|word| word == name);
        at.map(|at| self.rest.remove(at)).is_some()
    }

    /// Panics with what is wrong with the command.
    pub(crate) fn wrong(&self, what: &str) -> ! {
        panic!("{what}: {}", self.line)
    }
}

/// Plays a script: the same text, with the answers that `run` gives now.
fn play<S: Default>(text: &str, run: impl Fn(&mut S, &mut Words) -> String) -> String {
    let (mut state, mut played) = (S::default(), String::new());
    for line in text.lines().filter(|line| !line.starts_with("  ")) {
        played += &format!("{line}\n");
        if line.starts_with("==") {
            state = S::default();
        } else if !line.is_empty() && !line.starts_with('#') {
            let quiet = line.strip_prefix('(').and_then(|line| line.strip_suffix(')'));
            let mut words = Words::of(quiet.unwrap_or(line));
            for answer in run(&mut state, &mut words).lines().filter(|_| quiet.is_none()) {
                played += &format!("  {answer}\n");
            }
            assert!(words.rest.is_empty(), "{:?} is not understood: {line}", words.rest);
        }
    }
    played
}

/// Plays all scripts in `folder`, below `src`, and fails with what differs. `run` carries out a command; each scenario
/// has a state of its own.
pub(crate) fn play_all<S: Default>(folder: &str, run: impl Fn(&mut S, &mut Words) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let update = std::env::var_os("RETUNE_TEST_UPDATE").is_some();
    assert!(!update || std::env::var_os("CI").is_none(), "CI must not rewrite what it checks");
    let (mut scripts, mut differ) = (0, String::new());
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let wanted = fs::read_to_string(&path).unwrap();
        let played = play(&wanted, &run);
        scripts += 1;
        if update && played != wanted {
            fs::write(&path, played).unwrap();
        } else if played != wanted {
            let name = path.display().to_string();
            differ += &LineDiff::new(&wanted, &played).unified(4, &name, "what happens");
        }
    }
    assert!(scripts > 0, "no script in {}", folder.display());
    assert!(differ.is_empty(), "\n{differ}\nRETUNE_TEST_UPDATE=1 writes the new answers into the scripts");
}

/// A sum that is told what to add.
fn add(sum: &mut u32, words: &mut Words) -> String {
    *sum += words.option::<u32>("by").unwrap_or(1);
    if words.flag("say") { format!("{sum}\n{:?}", words.keys()) } else { String::new() }
}

#[test]
fn outputs_are_replaced_comments_stay_and_each_scenario_starts_fresh() {
    let script = "# Sums.\n== one\n(by=2 say)\n  an old answer\nby=\"3\" say\n\n== two\nsay /a '/b c'\n  2\n";
    let played = "# Sums.\n== one\n(by=2 say)\nby=\"3\" say\n  5\n  []\n\n\
                  == two\nsay /a '/b c'\n  1\n  [\"/a\", \"/b c\"]\n";
    assert_eq!(play(script, add), played);
    assert_eq!(play(played, add), played);
}

#[test]
#[should_panic(expected = "[\"loudly\"] is not understood: say loudly")]
fn an_unread_word_is_an_error_of_the_script() {
    play("say loudly\n", add);
}
