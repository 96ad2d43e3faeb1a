//! Features of resources that only retune has: verification and rollback, one file for each entry, signals.

use std::thread::sleep;
use std::time::Duration;

use crate::support::{Backend, Dir, Retune, WAIT_TIMEOUT, eventually};

const VALUE: &str = "{{ getv(\"/x\") }}\n";

#[test]
fn a_failed_verify_restores_the_previous_file_and_reloads_again() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: good\n").template("a.tmpl", VALUE);
    dir.conf(
        "a",
        "[template]\nsrc = 'a.tmpl'\ndest = '{out}/a.conf'\nkeys = ['/']\n\
         reload_cmd = 'cp {out}/a.conf {dir}/served; cat {out}/a.conf >> {dir}/reloads'\n\
         [template.verify]\ncommand = 'grep -q good {dir}/served'\ntimeout = '1s'\ninterval = '100ms'\n",
    );
    let render = || Retune::render(&dir).file("values.yaml").run();
    render().exits(0);
    dir.write("values.yaml", "x: bad\n");
    render().exits(1).says("a.conf");
    dir.assert_has("a.conf", "good\n");
    assert_eq!(dir.lines("reloads"), ["good", "bad", "good"]);
    dir.write("values.yaml", "x: good again\n");
    render().exits(0);
    dir.assert_has("a.conf", "good again\n");
}

#[test]
fn verify_over_http_and_tcp_waits_for_the_service() {
    let server = Backend::start("up");
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").template("a.tmpl", VALUE);
    let head = "[template]\nsrc = 'a.tmpl'\nkeys = ['/']\n";
    let address = server.address();
    for (name, probe) in [("http", format!("http://{address}/")), ("tcp", address)] {
        dir.conf(
            name,
            &format!(
                "{head}dest = '{{out}}/{name}'\n[template.verify]\n{name} = '{probe}'\ntimeout = '2s'\n"
            ),
        );
    }
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.assert_has("http", "one\n");
    dir.assert_has("tcp", "one\n");
    server.kill();
    dir.write("values.yaml", "x: two\n");
    Retune::render(&dir).file("values.yaml").run().exits(1);
    dir.assert_has("http", "one\n");
    dir.assert_has("tcp", "one\n");
}

#[test]
fn for_each_writes_one_file_per_entry_and_removes_files_of_removed_entries() {
    let dir = Dir::new();
    dir.write("values.yaml", "sites: {a: {port: 1}, b: {port: 2}}\n");
    dir.template("site.tmpl", "{{ item }} {{ getv(\"/sites/\" ~ item ~ \"/port\") }}\n");
    let fields =
        "src = 'site.tmpl'\ndest = '{out}/{{ item }}.conf'\nfor_each = '/sites'\nkeys = ['/sites']\n";
    dir.conf("sites", &format!("[template]\n{fields}reload_cmd = 'echo r >> {{dir}}/reloads'\n"));
    dir.write_bytes("out/c.conf", b"not ours\n");
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("both", WAIT_TIMEOUT, || dir.has("a.conf", "a 1\n") && dir.has("b.conf", "b 2\n"));
    eventually("one reload for both", WAIT_TIMEOUT, || dir.lines("reloads").len() == 1);
    dir.write("values.yaml", "sites: {b: {port: 3}, d: {port: 4}}\n");
    eventually("the new one", WAIT_TIMEOUT, || dir.has("d.conf", "d 4\n") && dir.has("b.conf", "b 3\n"));
    eventually("the one that went", WAIT_TIMEOUT, || !dir.out("a.conf").exists());
    dir.assert_has("c.conf", "not ours\n");
    eventually("one more reload", WAIT_TIMEOUT, || dir.lines("reloads").len() == 2);
    daemon.terminate();
}

/// The new file of a renamed entry is refused: the old one stays in service until a new one is in place.
#[test]
fn the_file_of_a_renamed_entry_stays_until_the_new_one_is_in_place() {
    let dir = Dir::new();
    dir.write("values.yaml", "sites: {a: {port: 1}, b: {port: 2}}\n");
    dir.template("site.tmpl", "{{ getv(\"/sites/\" ~ item ~ \"/port\") }}\n");
    let fields =
        "src = 'site.tmpl'\ndest = '{out}/{{ item }}.conf'\nfor_each = '/sites'\nkeys = ['/sites']\n";
    let check = "check_cmd = 'grep -q \"^[0-9]*$\" {{src}}'\n";
    // Each reload records the files that exist at that moment.
    let reload = "reload_cmd = 'ls {out} | tr \"\\n\" \" \" >> {dir}/reloads; echo >> {dir}/reloads'\n";
    dir.conf("sites", &format!("[template]\n{fields}{check}{reload}"));
    let daemon = Retune::watch(&dir).file("values.yaml").spawn();
    eventually("both", WAIT_TIMEOUT, || dir.has("a.conf", "1\n") && dir.has("b.conf", "2\n"));
    eventually("their reload", WAIT_TIMEOUT, || dir.lines("reloads").len() == 1);
    dir.write("values.yaml", "sites: {new: {port: bad}, b: {port: 2}}\n");
    daemon.eventually_says("the file of a new entry");
    dir.assert_has("a.conf", "1\n");
    assert!(!dir.out("new.conf").exists());
    // An old entry whose new content is refused delays nothing: it has its old file.
    dir.write("values.yaml", "sites: {new: {port: 3}, b: {port: bad}}\n");
    eventually("the new one", WAIT_TIMEOUT, || dir.has("new.conf", "3\n"));
    eventually("the old one", WAIT_TIMEOUT, || !dir.out("a.conf").exists());
    dir.assert_has("b.conf", "2\n");
    eventually("one reload for both", WAIT_TIMEOUT, || {
        dir.lines("reloads") == ["a.conf b.conf ", "b.conf new.conf "]
    });
    daemon.terminate();
}

/// The same where the new entry has no value yet, and the resource is optional.
#[test]
fn the_file_of_a_renamed_entry_stays_while_the_new_one_lacks_an_optional_value() {
    let dir = Dir::new();
    dir.write("values.yaml", "sites: {a: {port: 1}}\n");
    dir.template("site.tmpl", "{{ getv(\"/sites/\" ~ item ~ \"/port\") }}\n");
    let fields =
        "src = 'site.tmpl'\ndest = '{out}/{{ item }}.conf'\nfor_each = '/sites'\nkeys = ['/sites']\n";
    dir.conf("sites", &format!("[template]\n{fields}optional = true\n"));
    let render = || Retune::render(&dir).file("values.yaml").run().exits(0);
    render();
    dir.write("values.yaml", "sites: {new: {host: x}}\n");
    render().says("the file of a new entry");
    dir.assert_has("a.conf", "1\n");
    dir.write("values.yaml", "sites: {new: {port: 3}}\n");
    render();
    dir.assert_has("new.conf", "3\n");
    assert!(!dir.out("a.conf").exists());
    // An entry that has its old file delays nothing.
    dir.write("values.yaml", "sites: {new: {host: x}, b: {port: 4}}\n");
    render();
    dir.write("values.yaml", "sites: {new: {host: x}}\n");
    render();
    assert!(!dir.out("b.conf").exists());
}

#[test]
fn a_reload_can_be_a_signal_to_the_process_in_a_pid_file() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.write(
        "service.sh",
        "trap 'echo hup >> {dir}/hups' HUP\necho $$ > {dir}/pid\nwhile :; do sleep 0.1; done\n",
    );
    let mut shell = std::process::Command::new("sh");
    let service = crate::support::proc::Proc::spawn(shell.arg(dir.path("service.sh")));
    eventually("the service is up", WAIT_TIMEOUT, || dir.lines("pid").len() == 1);
    dir.resource("a", VALUE, "reload_signal = 'HUP'\npid_file = '{dir}/pid'");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    eventually("the signal", WAIT_TIMEOUT, || dir.lines("hups").len() == 1);
    drop(service);
    dir.write("values.yaml", "x: two\n");
    Retune::render(&dir).file("values.yaml").run().exits(1).says("pid");
}

#[test]
fn only_resources_affected_by_a_change_are_rendered() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\ny: one\n");
    dir.resource("a", VALUE, "check_cmd = 'echo a >> {dir}/checks'");
    dir.resource("b", "{{ getv(\"/y\") }}\n", "check_cmd = 'echo b >> {dir}/checks'");
    let daemon = Retune::watch(&dir).file("values.yaml").args(&["--log-level", "debug"]).spawn();
    eventually("both", WAIT_TIMEOUT, || dir.lines("checks").len() == 2);
    dir.write("values.yaml", "x: one\ny: two\n");
    eventually("the touched one", WAIT_TIMEOUT, || dir.has("b.conf", "two\n"));
    sleep(Duration::from_millis(300));
    assert_eq!(dir.lines("checks").iter().filter(|name| *name == "a").count(), 1);
    daemon.terminate();
}

#[test]
fn force_reloads_an_unchanged_file() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, "reload_cmd = 'echo r >> {dir}/reloads'");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    Retune::render(&dir).file("values.yaml").args(&["--force"]).run().exits(0);
    assert_eq!(dir.lines("reloads").len(), 2);
}

#[test]
fn backup_keeps_the_previous_file() {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n");
    dir.resource("a", VALUE, "backup = true").write_bytes("out/a.conf", b"old\n");
    Retune::render(&dir).file("values.yaml").run().exits(0);
    dir.assert_has("a.conf", "one\n");
    let outputs = dir.outputs();
    let kept = outputs.iter().filter(|name| dir.read(&format!("out/{name}")).as_deref() == Some("old\n"));
    assert_eq!(kept.count(), 1, "{outputs:?}");
}
