//! Completion in a real bash: sources the script and calls its function as bash would.

use std::process::Command;

use crate::support::programs::need_program;
use crate::support::{Dir, Etcd, Retune};

/// Returns what bash offers after `line`.
fn offers(dir: &Dir, program: &str, line: &str) -> Vec<String> {
    let script = Retune::new(dir, &["completions", "bash"]).run().exits(0).stdout;
    dir.write("completion.bash", &script);
    let bin = dir.path("bin");
    for name in ["retune", "etcdctl"] {
        let link = bin.join(name);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_retune"), &link).unwrap();
        }
    }
    let run = format!(
        "source completion.bash\n\
         function=$(complete -p {program} | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')\n\
         COMP_LINE=$1 COMP_POINT=${{#1}}\n\
         read -ra COMP_WORDS <<<\"$COMP_LINE\"\n\
         [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=('')\n\
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
         $function {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["--norc", "-c", &run, "bash", line])
        .current_dir(dir.path(""))
        .env("PATH", path)
        .env_remove("ETCDCTL_ENDPOINTS")
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    let mut offers: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    offers.sort();
    offers
}

#[test]
fn bash_completes_stored_keys_where_a_key_is_expected() {
    let Some(etcd) = Etcd::start() else { return };
    if !need_program("bash") {
        return;
    }
    let dir = Dir::new();
    etcd.put("/app/port", "80");
    etcd.put("/app/path/x", "1");
    etcd.put("/apple", "1");
    etcd.put("/other/k:1", "1");
    let at = etcd.url();
    let ctl = |words: &str| offers(&dir, "retune", &format!("retune ctl --endpoints {at} {words}"));
    assert_eq!(ctl("get /a"), ["/app/", "/apple"]);
    assert_eq!(ctl("get /app/p"), ["/app/path/", "/app/port"]);
    assert_eq!(ctl("ls "), ["app/", "apple", "other/"]);
    assert_eq!(ctl("rm --recursive /app/pa"), ["/app/path/"]);
    assert_eq!(ctl("get /nope/"), [""; 0]);
    assert_eq!(ctl("get /other/k:"), ["1"], "bash keeps what stands in front of a colon");
    assert_eq!(ctl("diff file /ap"), ["/app/", "/apple"]);
    assert_eq!(offers(&dir, "etcdctl", &format!("etcdctl --endpoints {at} get /app/po")), ["/app/port"]);
}

#[test]
fn bash_completes_commands_and_options_without_a_store() {
    if !need_program("bash") {
        return;
    }
    let dir = Dir::new();
    let ctl = |words: &str| offers(&dir, "retune", &format!("retune ctl {words}"));
    assert_eq!(ctl("se"), ["set", "setdir"]);
    assert_eq!(ctl("--endpoints http://127.0.0.1:1 member "), ["add", "list", "remove", "update"]);
    assert_eq!(ctl("set --swap"), ["--swap-with-index", "--swap-with-value"]);
    assert_eq!(ctl("--no"), ["--no-sync"]);
    assert_eq!(ctl("--endpoints http://127.0.0.1:1 get /"), [""; 0], "no store, no keys, no complaint");
    dir.write("tree.yaml", "");
    assert_eq!(ctl("import tree"), ["tree.yaml"]);
    assert_eq!(offers(&dir, "etcdctl", "etcdctl updated"), ["updatedir"]);
    assert!(
        offers(&dir, "retune", "retune re").contains(&"render".to_owned()),
        "the others are completed as before"
    );
}

#[test]
fn the_scripts_of_all_shells_name_every_command_that_takes_a_key() {
    let dir = Dir::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = Retune::new(&dir, &["completions", shell]).run().exits(0).stdout;
        assert!(script.contains("complete-keys") && script.contains("exec-watch|export|edit"), "{shell}");
        let unfilled = script.split('@').skip(1).any(|part| {
            let name = part.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').count();
            name > 0 && name == part.len()
        });
        assert!(!unfilled, "{shell}: a place was left unfilled");
    }
}
