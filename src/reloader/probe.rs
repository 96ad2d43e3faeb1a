//! `[template.verify]`: a request whose response proves which file a service runs.
//!
//! Its texts are small templates with the values of the resource's template. They are filled in when the file is
//! rendered, because only then is the generation known. A command is not a template: values never become shell text,
//! so it gets the generation and the path in its environment. A list of arguments may also hold `{{.dest}}`.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::command_text::{self, CommandPaths, DEST, GENERATION, names_paths};
use super::fields::{Fields, Problem};
use crate::command::Program;
use crate::template::check_text;

/// How to verify that a service runs the new file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verify {
    /// The request.
    pub probe: Probe,
    /// How long the service has to respond as expected.
    pub timeout: Duration,
    /// The pause between two tries.
    pub interval: Duration,
}

/// One request to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// A GET that must return this status (2xx or 3xx when unset), with this text in the body.
    Http {
        /// The URL.
        url: String,
        /// Request headers, `Name: value`.
        headers: Vec<String>,
        /// The expected status.
        status: Option<u16>,
        /// The text that the response must contain.
        contains: Option<String>,
    },
    /// A TCP connection that must be accepted, and on which the service sends this text.
    Tcp {
        /// The address to connect to.
        address: String,
        /// The text that the service must send on its own.
        contains: Option<String>,
    },
    /// A command that must exit 0.
    Command {
        /// What is run.
        program: Program,
        /// Added to its environment.
        env: Vec<(String, OsString)>,
    },
}

impl Verify {
    /// Returns the texts that are templates, with the names of their fields.
    pub(super) fn texts(&self) -> Vec<(&'static str, &str)> {
        match &self.probe {
            Probe::Http { url, headers, contains, .. } => {
                let headers = headers.iter().map(|header| ("verify.headers", header.as_str()));
                let contains = contains.iter().map(|text| ("verify.contains", text.as_str()));
                std::iter::once(("verify.http", url.as_str())).chain(headers).chain(contains).collect()
            }
            Probe::Tcp { address, contains } => {
                let contains = contains.iter().map(|text| ("verify.contains", text.as_str()));
                std::iter::once(("verify.tcp", address.as_str())).chain(contains).collect()
            }
            Probe::Command { .. } => Vec::new(),
        }
    }

    /// Returns whether it is the same for every rendering.
    pub(super) fn is_fixed(&self) -> bool {
        !matches!(self.probe, Probe::Command { .. })
            && !self.texts().iter().any(|(_, text)| is_template(text))
    }

    /// Returns whether the response must contain the generation.
    pub(super) fn wants_generation(&self) -> bool {
        self.texts().iter().any(|(field, text)| *field == "verify.contains" && text.contains("generation("))
    }

    /// Returns the probe to use without a rendering: after a file was removed or rolled back, and for a file of an
    /// earlier run until it is rendered again. `None` if the probe needs a rendering.
    pub(super) fn unrendered(&self) -> Option<Self> {
        let can_run = match &self.probe {
            Probe::Command { program, .. } => {
                let names_paths = match program {
                    // Its braces are its own.
                    Program::Shell(text) => text.contains(DEST),
                    Program::Arguments(_) => names_paths(program),
                };
                !names_paths && !program.to_string().contains(GENERATION)
            }
            Probe::Http { .. } | Probe::Tcp { .. } => self.is_fixed(),
        };
        can_run.then(|| self.clone())
    }

    /// Returns the probe for one rendering: `fill` renders one text.
    ///
    /// # Errors
    /// The first that `fill` reports, or that `refuse` makes for a text that is invalid once it is rendered.
    pub(super) fn filled<E>(
        &self,
        generation: &str,
        dest: &Path,
        mut fill: impl FnMut(&'static str, &str) -> Result<String, E>,
        refuse: impl Fn(String) -> E,
    ) -> Result<Self, E> {
        let mut filled = self.clone();
        let contains = match &mut filled.probe {
            Probe::Http { url, headers, contains, .. } => {
                *url = fill("verify.http", url)?;
                check_url(url).map_err(&refuse)?;
                for header in headers {
                    *header = fill("verify.headers", header)?;
                    check_header(header).map_err(&refuse)?;
                }
                contains
            }
            Probe::Tcp { address, contains } => {
                *address = fill("verify.tcp", address)?;
                contains
            }
            Probe::Command { program, env } => {
                let paths = CommandPaths { src: dest, dest };
                *program = command_text::fill_arguments(program, paths);
                env.push((GENERATION.to_owned(), generation.into()));
                env.extend(paths.env());
                return Ok(filled);
            }
        };
        if let Some(text) = contains {
            *text = fill("verify.contains", text)?;
            if text.is_empty() {
                let why = "verify.contains came out empty: every response contains that";
                return Err(refuse(why.to_owned()));
            }
        }
        Ok(filled)
    }
}

fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|tag| text.contains(tag))
}

/// Checks a URL: a value with a line break in it must not become a second request.
fn check_url(url: &str) -> Result<(), String> {
    if !url.starts_with("http://") {
        let scheme = url.split("://").next().filter(|_| url.contains("://")).unwrap_or("no scheme");
        return Err(format!(
            "verify.http must be an http:// URL of the service itself, not one with {scheme}"
        ));
    }
    match url.chars().find(|c| c.is_whitespace() || c.is_control()) {
        Some(c) => Err(format!("verify.http: the URL holds {c:?}; `|urlquery` escapes a value")),
        None => Ok(()),
    }
}

fn check_header(header: &str) -> Result<(), String> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    match header.split_once(':') {
        Some((name, value))
            if !name.is_empty() && name.chars().all(token) && !value.chars().any(char::is_control) =>
        {
            Ok(())
        }
        // A value may be a secret: only its name is shown.
        Some((name, _)) if !name.is_empty() && name.chars().all(token) => Err(format!(
            "verify.headers: the value of {name} holds a line break or another control character; `|trim` removes it"
        )),
        _ => Err("verify.headers: one of them is not a header such as \"Host: app.example\"".to_owned()),
    }
}

/// Reads the table, and adds its problems to the table above.
pub(super) fn read(
    mut section: Fields<'_>,
    parent: &mut Fields<'_>,
    unknown: &mut Vec<Problem>,
) -> Option<Verify> {
    let (http, tcp, command) = (section.string("http"), section.string("tcp"), section.command("command"));
    let status = section.id("status").map(|status| u16::try_from(status).unwrap_or(0));
    if status.is_some_and(|status| !(100..600).contains(&status)) {
        section.wrong(0, "verify.status must be an HTTP status from 100 to 599");
    }
    let headers = section.strings("headers").unwrap_or_default();
    let contains = section.string("contains");
    let timeout = section.duration("timeout").unwrap_or(Duration::from_secs(10));
    let interval = section.duration("interval").unwrap_or(Duration::from_millis(250));
    if http.is_none() && (status.is_some() || !headers.is_empty()) {
        section.wrong(0, "verify.status and verify.headers go with verify.http only");
    }
    if command.is_some() && contains.is_some() {
        section.wrong(0, "verify.contains goes with http and tcp; a command makes its own comparison");
    }
    let probe = match (http, tcp, command) {
        (Some(url), None, None) => Some(Probe::Http { url, headers, status, contains }),
        (None, Some(address), None) => Some(Probe::Tcp { address, contains }),
        (None, None, Some(program)) => Some(Probe::Command { program, env: Vec::new() }),
        _ => {
            section.wrong(0, "[template.verify] needs exactly one of http, tcp and command");
            None
        }
    };
    let verify =
        probe.map(|probe| Verify { probe, timeout, interval: interval.max(Duration::from_millis(10)) });
    for problem in verify.iter().flat_map(static_problems) {
        section.wrong(0, problem);
    }
    let (problems, unknown_here) = section.finish();
    parent.problems.extend(problems);
    unknown.extend(unknown_here);
    verify
}

/// Returns the problems that show before the texts are rendered.
fn static_problems(verify: &Verify) -> Vec<String> {
    let mut problems = Vec::new();
    for (field, text) in verify.texts() {
        let checked = match field {
            _ if is_template(text) => check_text(text).map_err(|why| format!("{field}: {why}")),
            "verify.http" => check_url(text),
            "verify.headers" => check_header(text),
            _ => Ok(()),
        };
        problems.extend(checked.err());
    }
    // Braces of other programs (`docker inspect --format '{{.State}}'`) belong to the command.
    if let Probe::Command { program, .. } = &verify.probe
        && program.to_string().contains("generation()")
    {
        problems.push(format!("verify.command is not a template: it gets the generation as ${GENERATION}"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(url: &str, headers: &[&str]) -> Verify {
        let headers = headers.iter().map(|header| (*header).to_owned()).collect();
        let probe = Probe::Http { url: url.to_owned(), headers, status: None, contains: None };
        Verify { probe, timeout: Duration::ZERO, interval: Duration::ZERO }
    }

    #[test]
    fn a_value_with_a_line_break_cannot_inject_a_second_request() {
        let bad = "x\r\nHost: other\r\n\r\nGET / HTTP/1.1";
        let fill = |_: &'static str, text: &str| Ok::<_, String>(text.replace("{{ x }}", bad));
        let filled = |verify: Verify| verify.filled("g", Path::new("/d"), fill, |text| text);
        assert!(filled(http("http://127.0.0.1/{{ x }}", &[])).is_err());
        assert!(filled(http("http://127.0.0.1/", &["Host: {{ x }}"])).is_err());
        assert!(filled(http("http://127.0.0.1/", &["Host: a"])).is_ok());
    }

    #[test]
    fn a_mismatch_shows_no_value_and_an_empty_text_matches_nothing() {
        let fill = |_: &'static str, text: &str| Ok::<_, String>(text.replace("{{ token }}", "s3cret\n"));
        let filled = |verify: Verify| verify.filled("g", Path::new("/d"), fill, |text| text);
        let says = filled(http("http://127.0.0.1/", &["Authorization: Bearer {{ token }}"])).unwrap_err();
        assert!(says.contains("Authorization") && !says.contains("s3cret"), "{says}");
        let says = filled(http("http://127.0.0.1/{{ token }}", &[])).unwrap_err();
        assert!(!says.contains("s3cret"), "{says}");
        let empty = Some("{{ nothing }}".to_owned());
        let probe = Probe::Tcp { address: "127.0.0.1:1".to_owned(), contains: empty };
        let nothing = |_: &'static str, text: &str| Ok::<_, String>(text.replace("{{ nothing }}", ""));
        let says =
            Verify { probe, ..http("", &[]) }.filled("g", Path::new("/d"), nothing, |text| text).unwrap_err();
        assert!(says.contains("came out empty"), "{says}");
    }

    #[test]
    fn only_text_independent_of_the_rendering_is_fixed() {
        let command = |line: &str| Verify {
            probe: Probe::Command { program: Program::Shell(line.to_owned()), env: Vec::new() },
            ..http("", &[])
        };
        let list = |word: &str| Verify {
            probe: Probe::Command { program: Program::Arguments(vec![word.into()]), env: Vec::new() },
            ..http("", &[])
        };
        assert!(list("{{.State}}").unrendered().is_some() && list("{{.dest}}").unrendered().is_none());
        assert!(command("docker inspect -f {{.dest}}").unrendered().is_some(), "the braces are docker's");
        assert!(http("http://x/", &[]).is_fixed() && http("http://x/", &[]).unrendered().is_some());
        assert!(
            !http("http://x/{{ y }}", &[]).is_fixed() && http("http://x/{{ y }}", &[]).unrendered().is_none()
        );
        assert!(http("http://x/", &["A: {{ y }}"]).unrendered().is_none());
        assert!(command("true").unrendered().is_some());
        assert!(command("grep $RETUNE_GENERATION /x").unrendered().is_none());
        assert!(
            command("test -s \"$RETUNE_DEST\"").unrendered().is_none(),
            "it would be asked without a file"
        );
    }
}
