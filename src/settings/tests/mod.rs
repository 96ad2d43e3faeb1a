//! Tests of the whole room: arguments, environment and file in, structs or problems out.

mod backup;
mod cluster;
mod confd;
mod environment;
mod etcd_file;
mod layering;
mod member;
mod pages;
mod place;
mod proxy;
mod register;
mod registrator;
mod retune;

use std::ffi::OsString;

use super::*;

/// A separate machine for each test: an empty `/etc`, an unprivileged user.
struct Machine {
    dir: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
    root: bool,
    variables: Vec<String>,
    /// Files that exist besides those of `/etc`.
    files: Vec<&'static str>,
}

impl Machine {
    fn new() -> Self {
        let env = vec![("HOME", "/home/u".to_owned())];
        Self { dir: tempfile::tempdir().unwrap(), env, root: false, variables: Vec::new(), files: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.env.push((name, value.to_owned()));
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn parse(&self, words: &[&str]) -> Result<Parsed, Problems> {
        let files = self.files.clone();
        let env = |name: &str| self.env.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
        let host = Host {
            etc: self.dir.path().to_owned(),
            root: self.root,
            variables: self.variables.clone(),
            env: &env,
            file_exists: Box::new(move |path| files.iter().any(|own| Path::new(own) == path)),
            address: Box::new(|| Some(IpAddr::from([192, 0, 2, 2]))),
        };
        parse_on(&host, words.iter().map(OsString::from).collect())
    }

    /// Returns the invocation of a command line, split at blanks.
    fn run(&self, line: &str) -> Invocation {
        match self.parse(&line.split_whitespace().collect::<Vec<_>>()) {
            Ok(Parsed::Run(invocation)) => *invocation,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn page(&self, line: &str) -> String {
        match self.parse(&line.split_whitespace().collect::<Vec<_>>()) {
            Ok(Parsed::Print(text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Returns the problems, one a line, without the machine's folder.
    fn refuse(&self, line: &str) -> Vec<String> {
        match self.parse(&line.split_whitespace().collect::<Vec<_>>()) {
            Err(Problems(list)) => {
                let dir = format!("{}/", self.dir.path().display());
                list.iter().map(|problem| problem.to_string().replace(&dir, "")).collect()
            }
            Ok(parsed) => panic!("{line}: {parsed:?}"),
        }
    }
}

fn run(line: &str) -> Invocation {
    Machine::new().run(line)
}

fn refuse(line: &str) -> Vec<String> {
    Machine::new().refuse(line)
}
