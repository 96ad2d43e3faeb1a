//! The units of the examples on a booting machine: with their rights, on ports 80 and 443, and with a broken resource.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::fake_engine::FakeEngine;
use crate::support::programs::{need_program, need_systemd};
use crate::support::systemd::Machine;
use crate::support::{Authority, Dir};

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
}

/// The exposure that `systemd-analyze security` may find, in tenths: of 10 is a service without any restriction.
/// `watch` runs as root, with the right to write configuration and to signal and test servers.
const EXPOSURE: [(&str, u32); 3] = [("retune-store", 25), ("retune-register", 25), ("retune", 40)];

#[test]
fn each_unit_has_few_rights_and_one_without_its_restrictions_is_found() {
    if !need_program("systemd-analyze") {
        return;
    }
    let dir = Dir::new();
    let passes = |unit: &str, most: u32| {
        dir.write("checked.service", unit);
        let mut command = Command::new("systemd-analyze");
        command.args(["security", "--no-pager", "--offline=true", &format!("--threshold={most}")]);
        let done = command.arg(dir.path("checked.service")).output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(text.contains("Overall exposure level"), "{text}{}", String::from_utf8_lossy(&done.stderr));
        (done.status.success(), text)
    };
    for (name, most) in EXPOSURE {
        let unit = example(&format!("systemd/{name}.service"));
        let (passed, text) = passes(&unit, most);
        assert!(passed, "{name}: {text}");
        let open: Vec<&str> =
            unit.lines().filter(|line| !line.contains("Protect") && !line.contains("SystemCall")).collect();
        assert!(!passes(&open.join("\n"), most).0, "{name} passes without its restrictions");
    }
}

/// nginx as distributions start it.
const NGINX: &str = "[Unit]\nAfter=network-online.target\nWants=network-online.target\n[Service]\nType=forking\n\
                     PIDFile=/run/nginx.pid\nExecStartPre=/usr/sbin/nginx -t -q\nExecStart=/usr/sbin/nginx\n";

/// Sets up the nginx example on the usual ports, and nginx with its package's file.
fn site(dir: &Dir) -> bool {
    if !need_program("nginx") {
        return false;
    }
    let Some(authority) = Authority::new(dir, "authority") else { return false };
    let (certificate, key) = authority.sign("server");
    for (from, to) in [(certificate, "server.pem"), (key, "server.key")] {
        dir.write_bytes(&format!("root/etc/nginx/{to}"), &fs::read(from).unwrap());
    }
    let ports = "listen 80;\n        listen 443 ssl;\n        ssl_certificate /etc/nginx/server.pem;\n        \
                 ssl_certificate_key /etc/nginx/server.key;";
    let template = example("nginx/templates/nginx.conf.j2").replace("listen 8080;", ports);
    let resource = example("nginx/conf.d/app.toml").replace("127.0.0.1:8080", "127.0.0.1");
    assert!(template.contains("443") && resource.contains("http://127.0.0.1/"));
    dir.write_bytes("root/etc/retune/conf.d/app.toml", resource.as_bytes());
    dir.write_bytes("root/etc/retune/templates/nginx.conf.j2", template.as_bytes());
    // The unit must allow everything that template functions query of the machine.
    dir.write("root/etc/retune/templates/lo.j2", "{{ lookupIfaceIPV4(\"lo\") }}\n");
    let lo = "[template]\nsrc = \"lo.j2\"\ndest = \"/etc/nginx/lo.conf\"\nkeys = [\"/app\"]\n";
    dir.write("root/etc/retune/conf.d/lo.toml", lo);
    dir.write_bytes("root/etc/nginx/nginx.conf", b"events {}\nhttp { server { listen 80; } }\n");
    true
}

/// Adds a resource that never renders: its key is missing.
fn broken(dir: &Dir, its_file_is_there: bool) {
    dir.write("root/etc/retune/templates/broken.j2", "{{ getv(\"/app/nowhere\") }}\n");
    let resource = "[template]\nsrc = \"broken.j2\"\ndest = \"/etc/nginx/broken.conf\"\nkeys = [\"/app\"]\n";
    dir.write("root/etc/retune/conf.d/broken.toml", resource);
    if its_file_is_there {
        dir.write("root/etc/nginx/broken.conf", "# from before\n");
    }
}

fn boot<'d>(dir: &'d Dir, unit: &str) -> Option<Machine<'d>> {
    let store = example("systemd/retune-store.service");
    let units =
        [("retune-store.service", store.as_str()), ("retune.service", unit), ("nginx.service", NGINX)];
    Machine::boot(dir, &units)
}

const UPDATED: &str = "Target config /etc/nginx/nginx.conf has been updated";

#[test]
fn the_units_keep_nginx_on_ports_80_and_443_although_another_resource_is_broken() {
    let dir = Dir::new();
    if !site(&dir) {
        return;
    }
    broken(&dir, true);
    let Some(machine) = boot(&dir, &example("systemd/retune.service")) else { return };
    for unit in ["retune-store.service", "retune.service", "nginx.service"] {
        machine.eventually_is(unit, "active");
    }
    assert!(!machine.log("retune.service").contains("--ready-timeout"), "READY needed no timeout");
    // This line is only logged after nginx returned the generation on port 80.
    machine.eventually("the first file is proven", || machine.log("retune.service").contains(UPDATED));
    machine.eventually("the status names what fails", || {
        let status = machine.run("systemctl show -p StatusText retune.service").1;
        status.contains("2 of 3 resources rendered, 1 failing (broken)")
    });
    assert!(machine.run("retune ctl set /app/upstream/one 127.0.0.1:9").0);
    machine.eventually("and so is the next", || machine.log("retune.service").matches(UPDATED).count() == 2);
    let conf = machine.run("cat /etc/nginx/nginx.conf").1;
    assert!(conf.contains("server 127.0.0.1:9;") && conf.contains("listen 443 ssl;"), "{conf}");
    assert_eq!(machine.run("cat /etc/nginx/lo.conf").1, "127.0.0.1\n");
    let tls = machine.run("openssl s_client -connect 127.0.0.1:443 < /dev/null");
    assert!(tls.0, "{}", tls.1);
}

#[test]
fn low_ports_and_interfaces_need_the_rights_that_the_unit_lists() {
    let dir = Dir::new();
    if !site(&dir) {
        return;
    }
    let unit =
        example("systemd/retune.service").replace(" CAP_NET_BIND_SERVICE", "").replace(" AF_NETLINK", "");
    let Some(machine) = boot(&dir, &unit) else { return };
    machine.eventually("the check fails", || {
        let log = machine.log("retune.service");
        log.contains("config check") && log.contains("80 failed (13: Permission denied)")
    });
    // It has its file from before, so nginx boots with that.
    machine.eventually_is("nginx.service", "active");
    assert!(!machine.log("retune.service").contains(UPDATED));
    assert_eq!(machine.run("cat /etc/nginx/lo.conf").1, "\n");
}

#[test]
fn nginx_boots_although_a_resource_is_broken_and_has_no_file() {
    let dir = Dir::new();
    if !site(&dir) {
        return;
    }
    broken(&dir, false);
    let unit = example("systemd/retune.service").replace("--ready-timeout 60s", "--ready-timeout 2s");
    assert!(unit.contains("--ready-timeout 2s"));
    let Some(machine) = boot(&dir, &unit) else { return };
    machine.eventually_is("nginx.service", "active");
    assert!(machine.log("retune.service").contains("--ready-timeout is over"));
    machine.eventually("its own file is proven", || machine.log("retune.service").contains(UPDATED));
}

/// The negative: the earlier unit. nginx waits for a key that is never set.
#[test]
fn with_ready_rendered_and_no_timeout_nginx_does_not_boot_while_a_resource_is_broken() {
    let dir = Dir::new();
    if !site(&dir) {
        return;
    }
    broken(&dir, true);
    let unit = example("systemd/retune.service").replace("--ready-timeout 60s", "--ready rendered");
    let Some(machine) = boot(&dir, &unit) else { return };
    machine.eventually("all was tried", || {
        machine.run("systemctl show -p StatusText retune.service").1.contains("1 failing (broken)")
    });
    assert_eq!(machine.state("retune.service"), "activating");
    assert_eq!(machine.state("nginx.service"), "inactive");
    assert!(machine.run("retune ctl set /app/nowhere here").0);
    machine.eventually_is("nginx.service", "active");
}

/// Starts an engine whose socket is as on a host: owned by root, accessible to its group.
fn engine(dir: &Dir) -> FakeEngine {
    const GID: u32 = 64_999;
    let engine = FakeEngine::start();
    let groups = fs::read_to_string("/etc/group").unwrap();
    let groups = groups.lines().filter(|line| !line.starts_with("docker:"));
    let groups: String = groups.map(|line| format!("{line}\n")).collect();
    dir.write("root/etc/group", &format!("{groups}docker:x:{GID}:\n"));
    std::os::unix::fs::chown(engine.socket(), Some(0), Some(GID)).unwrap();
    fs::set_permissions(engine.socket(), fs::Permissions::from_mode(0o660)).unwrap();
    engine
}

fn boot_registrar<'d>(dir: &'d Dir, engine: &FakeEngine, unit: &str) -> Option<Machine<'d>> {
    let store = example("systemd/retune-store.service");
    let units = [("retune-store.service", store.as_str()), ("retune-register.service", unit)];
    Machine::boot_with(dir, &units, engine.socket())
}

#[test]
fn the_registrars_unit_reaches_the_engine_through_the_group_of_its_socket() {
    if need_systemd().is_none() {
        return;
    }
    let dir = Dir::new();
    let engine = engine(&dir);
    let unit = example("systemd/retune-register.service");
    let Some(machine) = boot_registrar(&dir, &engine, &unit) else { return };
    machine.eventually_is("retune-register.service", "active");
    assert!(machine.run("retune register status").0);
    assert!(machine.run("retune ctl ls /_retune/nodes").1.contains("/_retune/nodes/"));
    drop(machine);

    // The negative: without the group, the engine refuses, and the registrar waits.
    let dir = Dir::new();
    let alone = unit.replace("SupplementaryGroups=docker\n", "");
    let Some(machine) = boot_registrar(&dir, &engine, &alone) else { return };
    machine
        .eventually("it is refused", || machine.log("retune-register.service").contains("ermission denied"));
    assert_eq!(machine.state("retune-register.service"), "activating");
}
