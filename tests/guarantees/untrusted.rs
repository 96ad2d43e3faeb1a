//! Destinations in folders that other users can write.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use crate::support::programs::need_root;
use crate::support::{Dir, Retune};

const VALUE: &str = "{{ getv(\"/x\") }}\n";
const OTHER: u32 = 12_345;

/// A site whose resource `a` writes `shared/NAME`, in a folder of mode 0777; `private/kept` is root's alone.
fn site(name: &str, extra: &str) -> Dir {
    let dir = Dir::new();
    dir.write("values.yaml", "x: one\n").template("a.tmpl", VALUE).write("private/kept", "kept\n");
    fs::set_permissions(dir.path("private"), Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(dir.path("shared")).unwrap();
    fs::set_permissions(dir.path("shared"), Permissions::from_mode(0o777)).unwrap();
    resource(&dir, name, extra);
    dir
}

fn resource(dir: &Dir, name: &str, extra: &str) {
    let head = format!("src = 'a.tmpl'\ndest = '{{dir}}/shared/{name}'\nkeys = ['/']\n");
    dir.conf("a", &format!("[template]\n{head}{extra}\n"));
}

#[test]
fn a_planted_link_is_refused_unless_the_resource_follows_it() {
    if !need_root() {
        return;
    }
    for (bits, owner) in [(0o777, 0), (0o1777, 0), (0o755, OTHER)] {
        let dir = site("a.conf", "");
        symlink("../private/kept", dir.path("shared/a.conf")).unwrap();
        symlink("../private", dir.path("shared/sub")).unwrap();
        chown(dir.path("shared"), Some(owner), None).unwrap();
        fs::set_permissions(dir.path("shared"), Permissions::from_mode(bits)).unwrap();
        let done = Retune::render(&dir).file("values.yaml").run().exits(1);
        done.says("is a symbolic link").says("follow = true");
        let done = Retune::diff(&dir).file("values.yaml").run();
        assert!(!done.stdout.contains("-kept"), "the file behind the link is not shown\n{}", done.stdout);
        resource(&dir, "sub/kept", "");
        Retune::render(&dir).file("values.yaml").run().exits(1).says("is a symbolic link");
        assert_eq!(dir.read("private/kept").as_deref(), Some("kept\n"), "{bits:o}");
        resource(&dir, "a.conf", "follow = true");
        Retune::render(&dir).file("values.yaml").run().exits(0);
        assert_eq!(dir.read("private/kept").as_deref(), Some("one\n"), "{bits:o}");
    }
}

#[test]
fn a_planted_file_gets_no_secret() {
    if !need_root() {
        return;
    }
    let dir = site("a.conf", "");
    let plant = || {
        dir.write("shared/a.conf", "planted\n");
        fs::set_permissions(dir.path("shared/a.conf"), Permissions::from_mode(0o666)).unwrap();
        chown(dir.path("shared/a.conf"), Some(OTHER), Some(OTHER)).unwrap();
    };
    let state = || {
        let metadata = fs::metadata(dir.path("shared/a.conf")).unwrap();
        (dir.read("shared/a.conf").unwrap(), metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    };
    plant();
    let done = Retune::render(&dir).file("values.yaml").run().exits(1);
    done.says("belongs to user 12345").says("follow = true");
    assert_eq!(state(), ("planted\n".to_owned(), OTHER, OTHER, 0o666));
    resource(&dir, "a.conf", "follow = true");
    Retune::render(&dir).file("values.yaml").run().exits(0).says("belonged to user 12345");
    assert_eq!(state(), ("one\n".to_owned(), 0, 0, 0o644));
    // Named as the owner, that user's files are expected, at the first run and at the next.
    plant();
    resource(&dir, "a.conf", "owner = '12345'\ngroup = '12345'\nmode = '0600'");
    for text in ["one", "two"] {
        dir.write("values.yaml", &format!("x: {text}\n"));
        Retune::render(&dir).file("values.yaml").run().exits(0);
        assert_eq!(state(), (format!("{text}\n"), OTHER, OTHER, 0o600));
    }
    // Without a plant, the folder is as good as any other.
    fs::remove_file(dir.path("shared/a.conf")).unwrap();
    resource(&dir, "a.conf", "backup = true");
    for text in ["three", "four"] {
        dir.write("values.yaml", &format!("x: {text}\n"));
        Retune::render(&dir).file("values.yaml").run().exits(0);
    }
    assert_eq!(dir.read("shared/a.conf.bak").as_deref(), Some("three\n"));
}

#[test]
fn the_file_of_a_removed_entry_is_not_removed_behind_a_link() {
    if !need_root() {
        return;
    }
    let dir = site("sites/{{ item.name }}", "for_each = '/sites/*'");
    dir.write("values.yaml", "x: one\nsites: {kept: 1, other: 1}\n");
    fs::create_dir(dir.path("shared/sites")).unwrap();
    Retune::render(&dir).file("values.yaml").run().exits(0);
    fs::rename(dir.path("shared/sites"), dir.path("shared/moved")).unwrap();
    symlink("../private", dir.path("shared/sites")).unwrap();
    dir.write("values.yaml", "x: one\nsites: {}\n");
    Retune::render(&dir).file("values.yaml").run().exits(1).says("is a symbolic link");
    assert_eq!(dir.read("private/kept").as_deref(), Some("kept\n"));
}

#[test]
fn another_root_that_others_can_write_does_not_lead_out() {
    if !need_root() {
        return;
    }
    let dir = site("unused", "");
    dir.conf("a", "[template]\nsrc = 'a.tmpl'\ndest = '/etc/new/kept'\nkeys = ['/']\n");
    symlink("../private", dir.path("shared/etc")).unwrap();
    let root = dir.text_path("shared");
    let render = |dir| Retune::new(dir, &["render", "--confdir", &dir.confdir(), "--root", &root]);
    render(&dir).file("values.yaml").run().exits(1).says("is a symbolic link");
    assert!(!dir.path("private/new").exists());
    fs::remove_file(dir.path("shared/etc")).unwrap();
    render(&dir).file("values.yaml").run().exits(0);
    assert_eq!(dir.read("shared/etc/new/kept").as_deref(), Some("one\n"));
}

/// It lists the files that may be removed, and holds the values to render from.
#[test]
fn a_planted_state_folder_is_refused() {
    if !need_root() {
        return;
    }
    let dir = site("a.conf", "");
    fs::create_dir_all(dir.path("shared/state/made")).unwrap();
    for name in ["shared/state", "shared/state/made"] {
        chown(dir.path(name), Some(OTHER), None).unwrap();
    }
    let render = |state: &str| {
        let state = dir.text_path(state);
        let words = ["render", "--confdir", &dir.confdir(), "--state-dir", &state];
        Retune::new(&dir, &words).file("values.yaml").run()
    };
    let done = render("shared/state").exits(2);
    done.says("other users can write the folder").says("shared/state/made");
    // In a shared folder, one of its own is private.
    render("shared/own").exits(0);
    render("shared/own").exits(0);
}
