//! Text from the store in the commands of a resource.

use std::fs;

use crate::support::{Dir, Retune};

/// Names of entries that a shell would run, expand or split.
const NAMES: [&str; 6] =
    ["a;touch pwned;", "$(touch pwned)", "`touch pwned`", "x';touch pwned;'", "x\";touch pwned;\"", "a b\n*"];

/// Shell text in which quoting a path by reading the text around it goes wrong, or seems to.
const SHAPES: [&str; 12] = [
    "echo {{.dest}}",
    "echo '{{.dest}}'",
    "echo \"{{.dest}}\"",
    "echo \"$(basename {{.dest}})\"",
    "echo \"`basename {{.dest}}`\"",
    "sh -c 'echo {{.dest}}'",
    "sh -c \"echo {{.dest}}\"",
    "eval echo {{.dest}}",
    "# it's\necho {{.dest}}",
    "cat >/dev/null <<E\nit's\nE\necho {{.dest}}",
    "echo \\\"{{.dest}}",
    "echo ${HOME#\"{{.dest}}\"}",
];

/// A site with an entry for each name, and one called `good`. A resource's files go to `out/NAME`.
fn site() -> Dir {
    let dir = Dir::new();
    let names = NAMES.iter().chain(&["good"]).map(|name| format!("{name:?}: v\n  ")).collect::<String>();
    dir.write_bytes("values.yaml", format!("sites:\n  {names}\n").as_bytes()).template("a.tmpl", "v\n");
    dir
}

fn each(dir: &Dir, name: &str, extra: &str) {
    fs::create_dir(dir.out(name)).unwrap();
    let head = format!("src = 'a.tmpl'\ndest = '{{out}}/{name}/{{{{ item.name }}}}'\nkeys = ['/sites']\n");
    dir.conf(name, &format!("[template]\n{head}for_each = '/sites/*'\n{extra}\n"));
}

fn files(dir: &Dir, name: &str) -> usize {
    fs::read_dir(dir.out(name)).unwrap().count()
}

#[test]
fn no_shell_text_runs_the_name_of_an_entry() {
    let dir = site();
    for (number, shape) in SHAPES.iter().enumerate() {
        each(&dir, &format!("r{number}"), &format!("reload_cmd = '''\n{shape}'''"));
        let check = shape.replace("dest", "src");
        each(&dir, &format!("c{number}"), &format!("check_cmd = '''\n{check}'''"));
    }
    let done = Retune::render(&dir).file("values.yaml").run().exits(1);
    assert!(!dir.path("pwned").exists(), "a name was run");
    for (number, shape) in SHAPES.iter().enumerate() {
        for kind in ["r", "c"] {
            let name = format!("{kind}{number}");
            assert_eq!(dir.read(&format!("out/{name}/good")).as_deref(), Some("v\n"), "{shape}");
            assert_eq!(files(&dir, &name), 1, "{shape}: only the plain name is written");
        }
    }
    done.says("reload_cmd: {{.dest}} is")
        .says("$RETUNE_DEST")
        .says("check_cmd: {{.src}} is")
        .says("$RETUNE_SRC");
}

#[test]
fn a_path_in_the_environment_or_in_an_argument_is_whole_whatever_the_name() {
    let dir = site();
    let count = NAMES.len() + 1;
    each(
        &dir,
        "shell",
        "check_cmd = 'test \"$(cat \"$RETUNE_SRC\")\" = v'\n\
         reload_cmd = 'test -f \"$RETUNE_DEST\" && test \"$RETUNE_SRC\" = \"$RETUNE_DEST\" && echo x >> {dir}/shell'",
    );
    each(
        &dir,
        "list",
        "check_cmd = ['grep', '-q', 'v', '{{.src}}']\n\
         reload_cmd = ['sh', '-c', 'test -f \"$1\" && echo x >> \"$2\"', 'sh', '{{.dest}}', '{dir}/list']",
    );
    each(
        &dir,
        "verify",
        "[template.verify]\ncommand = ['sh', '-c', 'test -f \"$1\" && test \"$1\" = \"$RETUNE_DEST\"', '{{.State}}', '{{ dest }}']",
    );
    // One run for all, because it does not depend on the file.
    each(&dir, "shared", "reload_cmd = ['sh', '-c', 'echo x >> {dir}/shared']");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    for name in ["shell", "list", "verify", "shared"] {
        assert_eq!(files(&dir, name), count, "{name}");
    }
    assert_eq!(
        (dir.lines("shell").len(), dir.lines("list").len(), dir.lines("shared").len()),
        (count, count, 1)
    );
    assert!(!dir.path("pwned").exists());
    Retune::check(&dir).run().exits(0);
}

#[test]
fn a_removed_file_whose_reload_cannot_run_stays_and_is_reported() {
    let dir = site();
    each(&dir, "r", "reload_cmd = ['test', '{{.dest}}']");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    let text = dir.read("confdir/conf.d/r.toml").unwrap();
    fs::write(dir.path("confdir/conf.d/r.toml"), text.replace("['test', '{{.dest}}']", "'test {{.dest}}'"))
        .unwrap();
    dir.write("values.yaml", "sites: {good: v}\n");
    Retune::render(&dir).file("values.yaml").run().exits(1).says("a;touch pwned;").says("$RETUNE_DEST");
    assert_eq!(files(&dir, "r"), NAMES.len() + 1);
    fs::write(dir.path("confdir/conf.d/r.toml"), text).unwrap();
    Retune::render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(files(&dir, "r"), 1);
}

#[test]
fn check_and_diff_report_a_destination_that_shell_text_must_not_contain() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").template("a.tmpl", "v\n");
    dir.conf(
        "a",
        "[template]\nsrc = 'a.tmpl'\ndest = '{out}/a b'\nkeys = ['/']\nreload_cmd = 'x {{.dest}}'\n",
    );
    let done = Retune::check(&dir).run().exits(1);
    assert!((done.stdout + &done.stderr).contains("$RETUNE_DEST"));
    let done = Retune::diff(&dir).file("values.yaml").run().exits(1);
    assert!(done.stdout.contains("$RETUNE_DEST"), "{}", done.stdout);
}

#[test]
fn a_password_of_the_program_reaches_no_command() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", "v\n", "check_cmd = 'env >> {dir}/env'\nreload_cmd = ['sh', '-c', 'env >> {dir}/env']");
    let run = Retune::render(&dir).file("values.yaml").env("ETCDCTL_USERNAME", "root:s3cret");
    run.env("CONFD_PASSWORD", "s3cret").env("OTHER", "stays").run().exits(0);
    let env = dir.read("env").unwrap();
    assert_eq!(env.matches("OTHER=stays").count(), 2, "{env}");
    assert!(!env.contains("s3cret"), "{env}");
}
