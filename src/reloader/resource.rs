//! One resource: what a file in `conf.d` renders, to where, and how it is checked and reloaded.
//!
//! confd's schema is unchanged; our own fields are added to it. An unknown field is always reported.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Group, User};
use toml::de::DeTable;

use super::command_text;
use super::fields::{Fields, Problem, line_of};
use super::probe::{self, Verify};
use super::settings::{Settings, UnknownFields};
use crate::command::Program;
use crate::document::toml_message;
use crate::key;
use crate::replace::{Attributes, Trust};
use crate::values::Scope;

/// A resource as its file describes it, with every default filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resource {
    /// The path of its file below `conf.d`, without `.toml`: the name in logs and of `--resource`.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The template, relative to the templates folder.
    pub src: String,
    /// The destination; with `for_each` a pattern holding `{{ item }}`.
    pub dest: String,
    /// The keys of the source that it sees.
    pub scope: Arc<Scope>,
    /// Mode and owner of the destination; unset means unchanged.
    pub attributes: Attributes,
    /// The command that checks a staged file.
    pub check: Option<CheckCommand>,
    /// How the service loads the new file.
    pub reload: Option<Reload>,
    /// How to verify that the service loaded it.
    pub verify: Option<Arc<Verify>>,
    /// The directory, relative to the prefix, each entry of which becomes one file.
    pub for_each: Option<String>,
    /// How long a change waits for the next one.
    pub debounce: Option<Duration>,
    /// The longest that a change waits for further changes.
    pub max_wait: Option<Duration>,
    /// The least time between two reloads; an earlier reload waits, it is never dropped.
    pub min_reload_interval: Duration,
    /// Whether a missing key leaves the file unchanged.
    pub optional: bool,
    /// Whether the previous file is kept as `<dest>.bak`.
    pub backup: bool,
    /// Whether links and files of others are accepted in a folder that other users may write.
    pub follow: bool,
    /// The syntax the rendered text must have.
    pub output_format: Option<OutputFormat>,
    /// Whether the folders of its destination are created, because it lies below another root.
    pub makes_folders: bool,
}

impl Resource {
    /// Returns which files of other users its destination may meet.
    pub(super) fn trust(&self) -> Trust {
        Trust { follow: self.follow, owner: self.attributes.uid }
    }
}

/// A check command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CheckCommand {
    /// What is run; `{{.src}}` is the staged file.
    pub program: Program,
    /// Its time limit.
    pub timeout: Duration,
}

/// How a service loads a new file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reload {
    /// A command; `{{.dest}}` is the destination.
    Command {
        /// What is run.
        program: Program,
        /// Its time limit.
        timeout: Duration,
        /// Whether it runs verbatim, with nothing filled in.
        literal: bool,
    },
    /// A signal to the process that a file names.
    Signal {
        /// The signal.
        signal: Signal,
        /// The file that holds the process id.
        pid_file: PathBuf,
    },
}

/// A syntax that a rendered file must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputFormat {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// TOML.
    Toml,
}

/// The result of reading one file: a resource unless something is wrong, and warnings.
pub(super) struct Loaded {
    pub(super) resource: Result<Resource, Vec<Problem>>,
    pub(super) warnings: Vec<Problem>,
}

/// Returns a destination below another root; `..` does not lead out of it.
fn below(root: &Path, dest: &str) -> String {
    // A `for_each` pattern is cleaned after it is rendered.
    let inside =
        if dest.contains("{{") { format!("/{}", dest.trim_start_matches('/')) } else { key::clean(dest) };
    format!("{}{inside}", root.display().to_string().trim_end_matches('/'))
}

/// Parses a resource from the text of its file.
pub(super) fn parse(name: &str, file: &Path, text: &str, settings: &Settings) -> Loaded {
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map_or(0, |span| line_of(text, span.start));
            let problem = Problem { file: file.to_owned(), line, text: toml_message(text, &error) };
            return Loaded { resource: Err(vec![problem]), warnings: Vec::new() };
        }
    };
    let mut top = Fields::new(file, text, "the file", document.get_ref());
    let section = top.table("template", "template");
    top.refuse("backend", "a resource cannot have a source of its own; set the backend for the whole run");
    let Some(mut fields) = section else {
        let (mut problems, _) = top.finish();
        if problems.is_empty() {
            let text = "no [template] table: every resource file needs one".to_owned();
            problems.push(Problem { file: file.to_owned(), line: 0, text });
        }
        return Loaded { resource: Err(problems), warnings: Vec::new() };
    };
    let mut nested_unknown = Vec::new();
    let resource = read(name, file, &mut fields, settings, &mut nested_unknown);
    let (mut problems, mut unknown) = fields.finish();
    let (top_problems, top_unknown) = top.finish();
    problems.extend(top_problems);
    unknown.extend(top_unknown);
    unknown.extend(nested_unknown);
    let warnings = match settings.unknown_fields {
        UnknownFields::Refuse => {
            problems.append(&mut unknown);
            Vec::new()
        }
        UnknownFields::Warn => unknown,
    };
    problems.sort_by_key(|problem| problem.line);
    Loaded { resource: if problems.is_empty() { Ok(resource) } else { Err(problems) }, warnings }
}

fn read(
    name: &str,
    file: &Path,
    fields: &mut Fields<'_>,
    settings: &Settings,
    unknown: &mut Vec<Problem>,
) -> Resource {
    let src = required(fields, "src");
    let dest = required(fields, "dest");
    let prefix = fields.string("prefix");
    let prefix = settings.prefix.clone().or(prefix).unwrap_or_default();
    let keys = fields.strings("keys").unwrap_or_default();
    let attributes = attributes(fields);
    let check_timeout = fields.duration("check_timeout").or(fields.duration("check_cmd_timeout"));
    let check_timeout = check_timeout.unwrap_or(settings.check_timeout);
    let check = fields.command("check_cmd").map(|program| CheckCommand { program, timeout: check_timeout });
    if let Some(Err(text)) = check.as_ref().map(|check| command_text::check(&check.program)) {
        fields.wrong(0, format!("check_cmd: {text}"));
    }
    let reload = reload(fields, settings);
    let verify =
        fields.table("verify", "template.verify").and_then(|section| probe::read(section, fields, unknown));
    fields.refuse("rollout", "rolling reloads through a lock in the store are not part of this version");
    Resource {
        name: name.to_owned(),
        file: file.to_owned(),
        src,
        dest: settings.root.as_ref().map_or_else(|| dest.clone(), |root| below(root, &dest)),
        makes_folders: settings.root.is_some(),
        scope: Arc::new(Scope::new(&prefix, &keys)),
        attributes,
        check,
        reload,
        verify: verify.map(Arc::new),
        for_each: fields.string("for_each"),
        debounce: fields.duration("debounce"),
        max_wait: fields.duration("max_wait"),
        min_reload_interval: fields.duration("min_reload_interval").unwrap_or_default(),
        optional: fields.flag("optional"),
        backup: fields.flag("backup"),
        follow: fields.flag("follow"),
        output_format: output_format(fields),
    }
}

fn required(fields: &mut Fields<'_>, name: &'static str) -> String {
    let text = fields.string(name).unwrap_or_default();
    if text.is_empty() && !fields.problems.iter().any(|problem| problem.text.starts_with(name)) {
        fields.wrong(0, format!("{name} is missing from [template]"));
    }
    text
}

fn attributes(fields: &mut Fields<'_>) -> Attributes {
    let mode = fields.string_at("mode").filter(|(_, text)| !text.is_empty()).and_then(|(line, text)| {
        let mode = octal(&text);
        if mode.is_none() {
            fields.wrong(line, format!("mode {text:?} is not an octal mode such as \"0644\""));
        }
        mode
    });
    let uid = fields.id("uid");
    let gid = fields.id("gid");
    let owner = id_of(fields, "owner", "user", |name| Some(User::from_name(name).ok()??.uid.as_raw()));
    let group = id_of(fields, "group", "group", |name| Some(Group::from_name(name).ok()??.gid.as_raw()));
    Attributes { mode, uid: uid.or(owner), gid: gid.or(group) }
}

/// Reads a field that holds the name of a `what`, or its number.
fn id_of(
    fields: &mut Fields<'_>,
    field: &'static str,
    what: &str,
    find: impl FnOnce(&str) -> Option<u32>,
) -> Option<u32> {
    let (line, text) = fields.string_at(field)?;
    let found = text.parse().ok().or_else(|| find(&text));
    if found.is_none() {
        fields.wrong(line, format!("{field} {text:?}: no such {what}; a number works without one"));
    }
    found
}

/// Parses an octal mode: `"644"`, `"0644"` and `"0o644"` are equal, since nobody means a decimal file mode.
fn octal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = digits.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o7777)
}

fn reload(fields: &mut Fields<'_>, settings: &Settings) -> Option<Reload> {
    let timeout = fields.duration("reload_timeout").or(fields.duration("reload_cmd_timeout"));
    let timeout = timeout.unwrap_or(settings.reload_timeout);
    let program = fields.command("reload_cmd");
    let signal = fields.string_at("reload_signal");
    let pid_file = fields.string("pid_file");
    match (program, signal, pid_file) {
        (None, None, None) => None,
        (Some(program), None, None) => match command_text::check(&program) {
            Ok(()) => Some(Reload::Command { program, timeout, literal: false }),
            // confd replaces nothing here: braces meant for another program (`docker ps --format`) stay unchanged.
            Err(_) if settings.unknown_fields == UnknownFields::Warn => {
                Some(Reload::Command { program, timeout, literal: true })
            }
            Err(text) => {
                fields.wrong(0, format!("reload_cmd: {text}"));
                None
            }
        },
        (None, Some((at, text)), Some(pid_file)) => {
            let upper = text.to_uppercase();
            let name = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
            let signal = name.parse().ok();
            if signal.is_none() {
                fields
                    .wrong(at, format!("reload_signal {text:?} is not a signal such as \"HUP\" or \"USR2\""));
            }
            signal.map(|signal| Reload::Signal { signal, pid_file: pid_file.into() })
        }
        (Some(_), ..) => {
            fields.wrong(0, "reload_cmd and reload_signal exclude each other: give one of them");
            None
        }
        (None, signal, _) => {
            let at = signal.map_or(0, |(line, _)| line);
            fields.wrong(at, "reload_signal and pid_file go together: give both");
            None
        }
    }
}

fn output_format(fields: &mut Fields<'_>) -> Option<OutputFormat> {
    let (line, text) = fields.string_at("output_format")?;
    match text.as_str() {
        "json" => Some(OutputFormat::Json),
        "yaml" | "yml" => Some(OutputFormat::Yaml),
        "toml" => Some(OutputFormat::Toml),
        _ => {
            fields.wrong(line, format!("output_format {text:?}: known are json, yaml and toml"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Loaded {
        parse("a", Path::new("a.toml"), text, &Settings::default())
    }

    fn problems(text: &str) -> Vec<String> {
        load(text).resource.unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_confd_resource_is_parsed_as_confd_parses_it() {
        let text = "[template]\nSRC = \"a.tmpl\"\ndest = \"/tmp/a\"\nprefix = \"app\"\nkeys = [\"/db/\", \"web\"]\n\
                    mode = \"0600\"\nuid = 0\nreload_cmd = \"true\"\ncheck_cmd = \"test {{.src}}\"\n";
        let resource = load(text).resource.unwrap();
        assert_eq!(
            *resource.scope,
            Scope { prefix: "/app".into(), roots: vec!["/app/db".into(), "/app/web".into()] }
        );
        assert_eq!(resource.attributes, Attributes { mode: Some(0o600), uid: Some(0), gid: None });
        assert!(matches!(resource.reload, Some(Reload::Command { .. })));
    }

    #[test]
    fn the_global_prefix_replaces_the_resources_own() {
        let settings = Settings { prefix: Some("prod".into()), ..Settings::default() };
        let text = "[template]\nsrc = \"a\"\ndest = \"/a\"\nprefix = \"/app\"\nkeys = [\"x\"]\n";
        let resource = parse("a", Path::new("a.toml"), text, &settings).resource.unwrap();
        assert_eq!(resource.scope.roots, ["/prod/x"]);
    }

    #[test]
    fn a_mode_is_octal_with_or_without_its_zero() {
        assert_eq!([octal("644"), octal("0644"), octal("0o644")], [Some(0o644); 3]);
        assert_eq!(octal("4755"), Some(0o4755));
        assert_eq!([octal("648"), octal("99999"), octal(""), octal("0x1a4"), octal("+644")], [None; 5]);
    }

    #[test]
    fn everything_wrong_is_reported_at_once_with_its_line() {
        let text = "[template]\ndest = 1\nmode = \"9\"\nreload_comand = \"x\"\nowner = \"nobody-here\"\n";
        let problems = problems(text);
        assert_eq!(problems.len(), 5, "{problems:#?}");
        assert!(
            problems
                .iter()
                .any(|p| p.contains("a.toml:4: unknown field `reload_comand`") && p.contains("reload_cmd"))
        );
        assert!(problems.iter().any(|p| p.contains("src is missing")));
        assert!(problems.iter().any(|p| p.starts_with("a.toml:5: owner")));
    }

    #[test]
    fn under_the_name_confd_an_unknown_field_is_a_warning() {
        let settings = Settings { unknown_fields: UnknownFields::Warn, ..Settings::default() };
        let loaded =
            parse("a", Path::new("a.toml"), "[template]\nsrc=\"a\"\ndest=\"/a\"\nfoo=1\n", &settings);
        assert!(loaded.resource.is_ok());
        assert_eq!(loaded.warnings.len(), 1);
    }

    #[test]
    fn verify_requires_exactly_one_probe() {
        let with = |verify: &str| {
            load(&format!("[template]\nsrc=\"a\"\ndest=\"/a\"\n[template.verify]\n{verify}\n")).resource
        };
        assert!(with("tcp = \"127.0.0.1:80\"").is_ok());
        assert!(with("tcp = \"127.0.0.1:80\"\ncommand = \"true\"").is_err());
        assert!(with("timeout = \"3s\"").is_err());
        assert!(with("tcp = \"x:1\"\nintervall = 1").is_err());
        assert!(with("tcp = \"x:1\"\ncontains = \"up\"").is_ok());
        assert!(with("tcp = \"x:1\"\nstatus = 200").is_err());
        assert!(with("command = \"true\"\ncontains = \"up\"").is_err());
        assert!(with("command = \"docker inspect -f '{{.State}}' web\"").is_ok());
        assert!(with("command = \"curl x | grep {{ generation() }}\"").is_err());
        assert!(with("http = \"http://x/{{ getv('/path') }}\"").is_ok());
        assert!(with("http = \"http://x/\"\ncontains = \"{{ generation( }}\"").is_err());
        assert!(with("http = \"https://x/\"").is_err());
        assert!(with("http = \"http://x/\"\nheaders = [\"nonsense\"]").is_err());
    }

    #[test]
    fn a_reload_is_a_command_or_a_signal_with_a_pid_file() {
        let with = |extra: &str| load(&format!("[template]\nsrc=\"a\"\ndest=\"/a\"\n{extra}\n")).resource;
        let resource = with("reload_signal = \"hup\"\npid_file = \"/run/x.pid\"").unwrap();
        assert!(matches!(resource.reload, Some(Reload::Signal { signal: Signal::SIGHUP, .. })));
        assert!(with("reload_signal = \"HUP\"").is_err());
        assert!(with("reload_signal = \"NOPE\"\npid_file = \"/x\"").is_err());
        let Some(Reload::Command { program, .. }) =
            with("reload_cmd = [\"x\", \"{{.dest}}\"]").unwrap().reload
        else {
            panic!("a list is a command")
        };
        assert_eq!(program, Program::Arguments(vec!["x".into(), "{{.dest}}".into()]));
        for wrong in ["[]", "[\"\"]", "[1]", "1", "[\"x\", \"{{.nope}}\"]"] {
            assert!(with(&format!("reload_cmd = {wrong}")).is_err(), "{wrong}");
            assert!(with(&format!("check_cmd = {wrong}")).is_err(), "{wrong}");
        }
        assert!(with("reload_cmd = \"x\"\nreload_signal = \"HUP\"\npid_file = \"/x\"").is_err());
    }
}
