//! What the repository shows works: its first command, its sample, its examples.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::port::Port;
use crate::support::proc::Proc;
use crate::support::programs::need_program;
use crate::support::{Dir, Retune, WAIT_TIMEOUT, eventually, http};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The pages whose resources and templates are tested; the examples in docs/templates.md have their own test.
const PAGES: [&str; 8] = [
    "README.md",
    "docs/ci.md",
    "docs/from-confd.md",
    "docs/operations.md",
    "docs/place.md",
    "docs/register.md",
    "docs/resources.md",
    "docs/settings.md",
];

/// Returns the first shell block of a page that builds and runs the program, without prompts; installation comes
/// before it.
fn first_run(page: &str) -> String {
    let mut blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.contains("cargo run")).expect("a block of shell runs the program");
    block.lines().map(|line| format!("{}\n", line.strip_prefix("$ ").unwrap_or(line))).collect()
}

/// Returns the block with `cargo run … --` replaced by the binary under test.
fn with_binary(block: &str) -> String {
    let from = block.find("cargo run").expect("the first command builds and runs the program");
    let to = from + block[from..].find(" -- ").expect("arguments after --") + " --".len();
    format!("{}'{}'{}", &block[..from], env!("CARGO_BIN_EXE_retune"), &block[to..])
}

fn files_below(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn the_readmes_first_command_renders_the_sample() {
    let page = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let block = with_binary(&first_run(&page));
    let mut destinations = Vec::new();
    for file in files_below(&Path::new(ROOT).join("conf.d"), "toml") {
        let resource: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        destinations.push(Path::new(ROOT).join(resource["template"]["dest"].as_str().unwrap()));
    }
    assert!(!destinations.is_empty(), "conf.d holds a sample");
    for path in &destinations {
        // A file of an earlier run must not count for this one.
        fs::remove_file(path).ok();
    }
    let done = Command::new("sh").args(["-ec", &block]).current_dir(ROOT).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{block}\n{said}");
    for path in &destinations {
        assert!(fs::metadata(path).is_ok_and(|meta| meta.len() > 0), "{} is missing\n{said}", path.display());
    }
}

/// An installed program renders the sample where nothing was built.
#[test]
fn the_command_in_the_sample_works_without_a_build() {
    let sample = fs::read_to_string(Path::new(ROOT).join("conf.d/nginx.toml")).unwrap();
    let line =
        sample.lines().find(|line| line.contains("retune render")).expect("the sample shows a command");
    let command = line.split('`').nth(1).expect("the command stands between backquotes");
    let command = command.replace("retune ", concat!("'", env!("CARGO_BIN_EXE_retune"), "' "));
    let dir = Dir::new();
    for name in ["conf.d/nginx.toml", "templates/upstream.conf.j2", "examples/values.yaml"] {
        dir.write_bytes(name, &fs::read(Path::new(ROOT).join(name)).unwrap());
    }
    let state = dir.text_path("state");
    let mut shell = Command::new("sh");
    shell.args(["-ec", &command]).current_dir(dir.path("")).env("RETUNE_STATE_DIR", state);
    let done = shell.output().unwrap();
    assert!(done.status.success(), "{command}\n{}", String::from_utf8_lossy(&done.stderr));
    assert!(dir.path("target/upstream.conf").exists());
}

/// The lines that the sample shows as comments work for the fragment that it renders, once they are uncommented.
#[test]
fn the_commands_in_the_sample_work_with_a_real_nginx() {
    if !need_program("nginx") {
        return;
    }
    let (dir, port) = (Dir::new(), Port::claim());
    let conf = format!(
        "pid {{dir}}/pid;\nevents {{}}\nhttp {{ include {{out}}/upstream.conf; server {{ listen {}; }} }}\n",
        port.address()
    );
    dir.write("out/upstream.conf", "").write("nginx.conf", &conf);
    let resource = fs::read_to_string(Path::new(ROOT).join("conf.d/nginx.toml")).unwrap();
    assert!(resource.contains("# reload_cmd = "), "the sample shows a reload");
    let resource = resource.replace("# reload_cmd", "reload_cmd").replace("# check_cmd", "check_cmd");
    let resource = resource.replace("target/upstream.conf", "{out}/upstream.conf");
    // The test must not use the machine's own configuration.
    let resource = resource.replace("nginx -t -q", "nginx -t -q -c {dir}/nginx.conf");
    dir.conf("nginx", &resource.replace("nginx -s reload", "nginx -s reload -c {dir}/nginx.conf"));
    let template = fs::read_to_string(Path::new(ROOT).join("templates/upstream.conf.j2")).unwrap();
    dir.template("upstream.conf.j2", &template);
    let mut nginx = Command::new("nginx");
    nginx.args(["-c", &dir.text_path("nginx.conf"), "-g", "daemon off;"]);
    let _nginx = Proc::spawn_master(nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
    eventually("nginx runs", WAIT_TIMEOUT, || http::request(&port.address(), "GET", "/", None).is_ok());
    let values = Path::new(ROOT).join("examples/values.yaml");
    let done = Retune::render(&dir).args(&["--backend", "file", "--file", values.to_str().unwrap()]).run();
    done.exits(0).says("has been updated");
}

#[test]
fn every_settings_file_among_the_examples_is_valid() {
    let files: Vec<_> = files_below(&Path::new(ROOT).join("examples"), "toml");
    let settings = files.iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        ["retune", "confd"].iter().any(|word| name.contains(word))
    });
    for path in settings {
        let dir = Dir::new();
        dir.write("values.yaml", "x: one\n").resource("a", "{{ getv(\"/x\") }}\n", "");
        Retune::check(&dir).args(&["--config-file", path.to_str().unwrap()]).run().exits(0);
    }
    assert!(Path::new(ROOT).join("examples").is_dir(), "there are examples");
}

#[test]
fn every_resource_among_the_examples_is_valid() {
    let mut confdirs: Vec<PathBuf> = files_below(Path::new(ROOT).join("examples").as_path(), "toml");
    confdirs.push(Path::new(ROOT).join("conf.d/x"));
    let mut confdirs: Vec<_> = confdirs
        .iter()
        .filter_map(|path| path.ancestors().find(|dir| dir.ends_with("conf.d"))?.parent().map(Path::to_owned))
        .collect();
    confdirs.sort();
    confdirs.dedup();
    assert!(!confdirs.is_empty());
    for confdir in confdirs {
        assert!(confdir.join("conf.d").is_dir(), "{} has no conf.d", confdir.display());
        let dir = Dir::new();
        Retune::new(&dir, &["check", "--confdir", confdir.to_str().unwrap()]).run().exits(0);
    }
}

/// Returns every fenced block of a language in the pages, without its indentation; the templates page has its own
/// test.
fn blocks(language: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        let mut block: Option<(usize, String)> = None;
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            match &mut block {
                None if line.trim() == format!("```{language}") => block = Some((indent, String::new())),
                Some(_) if line.trim() == "```" => {
                    found.extend(block.take().map(|(_, text)| (page.to_owned(), text)));
                }
                Some((indent, text)) => {
                    text.push_str(&format!("{}\n", line.get(*indent..).unwrap_or_default()));
                }
                None => {}
            }
        }
    }
    found
}

#[test]
fn every_resource_and_template_in_the_docs_is_valid() {
    let resources: Vec<_> =
        blocks("toml").into_iter().filter(|(_, text)| text.contains("[template")).collect();
    assert!(resources.len() > 3, "{resources:?}: are they still read rightly?");
    for (page, text) in resources {
        let head = "[template]\nsrc = \"x.j2\"\ndest = \"/etc/x\"\nkeys = [\"/x\"]\n";
        let text = if text.contains("[template]") { text } else { format!("{head}{text}") };
        let dir = Dir::new();
        let resource: toml::Table = text.parse().unwrap();
        dir.template(resource["template"]["src"].as_str().unwrap(), "{{ generation() }}\n");
        dir.write_bytes("confdir/conf.d/x.toml", text.as_bytes());
        let done = Retune::check(&dir).run();
        assert_eq!(done.code, 0, "{page}:\n{text}\n{}", done.stdout);
    }
    let templates = blocks("jinja");
    assert!(templates.len() > 3, "{templates:?}: are they still read rightly?");
    for (page, text) in templates {
        let dir = Dir::new();
        dir.write(
            "values.yaml",
            "app: {upstream: {py1: '10.0.0.1:80'}}\nservices: {web: {'h1:w:80': '10.0.0.1:80'}}\n",
        );
        dir.resource("x", "", "keys = [\"/\", \"/_retune/nodes\"]");
        dir.write_bytes("confdir/templates/x.tmpl", text.as_bytes());
        let done = Retune::render(&dir).file("values.yaml").run();
        assert_eq!(done.code, 0, "{page}:\n{text}\n{}", done.stderr);
    }
}

/// The settings page shows a settings file and a file of values.
#[test]
fn every_file_on_the_settings_page_is_valid() {
    let of_the_page = |language: &str| {
        let all = blocks(language).into_iter().filter(|(page, _)| page == "docs/settings.md");
        all.map(|(_, text)| text).collect::<Vec<_>>()
    };
    let (settings, values) = (of_the_page("toml"), of_the_page("yaml"));
    assert!(settings.len() == 1 && values.len() == 1, "are they still read rightly?");
    let dir = Dir::new();
    dir.write_bytes("page.toml", settings[0].as_bytes()).write_bytes("page.yaml", values[0].as_bytes());
    dir.resource("a", "{{ getv(\"/app/name\") }} {{ getv(\"/app/db/host\") }}\n", "keys = [\"/app\"]");
    let files = [dir.text_path("page.toml"), dir.text_path("page.yaml")];
    Retune::check(&dir).args(&["--config-file", &files[0], "--data", &files[1]]).run().exits(0);
}

#[test]
fn the_readme_contains_the_command_that_runs_the_tests() {
    let page = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    assert!(page.contains(".ci/run"));
    for script in [".ci/run", ".ci/checks"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(Path::new(ROOT).join(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is executable");
    }
}
