//! Folders that other users can write, and files of other users.

use std::os::unix::fs::chown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::*;

const OTHER: u32 = 12_345;

/// A shared folder, and a private one beside it; `None` where files cannot be given to another user.
fn shared() -> Option<tempfile::TempDir> {
    if !Uid::effective().is_root() {
        Permitted::NoMounts.skip_or_miss("files cannot be given to another user", "run the tests as root");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    for (name, mode) in [("shared", 0o777), ("private", 0o700)] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::set_permissions(dir.path().join(name), Permissions::from_mode(mode)).unwrap();
    }
    Some(dir)
}

fn plant(path: &Path, mode: u32) {
    fs::write(path, "planted").unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    chown(path, Some(OTHER), Some(OTHER)).unwrap();
}

fn trust(follow: bool, owner: Option<u32>) -> Trust {
    Trust { follow, owner }
}

fn owner_and_mode(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & PERMISSION_BITS)
}

#[test]
fn the_owner_and_mode_of_another_users_file_are_not_inherited() {
    let Some(dir) = shared() else { return };
    let file = dir.path().join("private/f");
    for (old, new) in [(0o666, 0o644), (0o600, 0o600), (0o4755, 0o644)] {
        plant(&file, old);
        if old == 0o4755 {
            fs::set_permissions(&file, Permissions::from_mode(old)).unwrap();
        }
        put(&file, b"secret", &Attributes::default()).unwrap();
        assert_eq!(owner_and_mode(&file), (0, 0, new), "{old:o}");
    }
    plant(&file, 0o666);
    let want = Attributes { mode: Some(0o660), uid: Some(OTHER), gid: Some(OTHER) };
    put(&file, b"for them", &want).unwrap();
    assert_eq!(owner_and_mode(&file), (OTHER, OTHER, 0o660), "they are given when they are asked for");
}

#[test]
fn another_users_file_in_a_shared_folder_is_refused() {
    let Some(dir) = shared() else { return };
    let file = dir.path().join("shared/f");
    plant(&file, 0o666);
    let error = Target::resolve(&file).unwrap_err();
    assert!(matches!(error, ReplaceError::ForeignFile { uid: OTHER, .. }), "{error}");
    assert!(error.to_string().contains("follow = true") && error.to_string().contains("12345"), "{error}");
    Target::resolve_with(&file, trust(false, Some(OTHER + 1))).unwrap_err();
    remove(&file, Trust::default()).unwrap_err();
    for accepted in [trust(true, None), trust(false, Some(OTHER))] {
        let target = Target::resolve_with(&file, accepted).unwrap();
        assert_eq!(target.read().unwrap().unwrap(), b"planted");
        target.stage(b"secret", &Attributes::default()).unwrap().place().unwrap();
        assert_eq!(owner_and_mode(&file), (0, 0, 0o644));
        plant(&file, 0o666);
    }
    // A file that was looked up as ours and swapped since is not read for it.
    fs::remove_file(&file).unwrap();
    fs::write(&file, "ours").unwrap();
    let target = Target::resolve(&file).unwrap();
    plant(&file, 0o644);
    assert!(matches!(target.save().unwrap_err(), ReplaceError::ForeignFile { .. }));
    assert!(matches!(target.backup(".bak").unwrap_err(), ReplaceError::ForeignFile { .. }));
}

#[test]
fn a_second_name_of_roots_file_in_a_shared_folder_gives_no_mode() {
    let Some(dir) = shared() else { return };
    let (program, file) = (dir.path().join("private/su"), dir.path().join("shared/f"));
    fs::write(&program, "program").unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(&program, &file).unwrap();
    put(&file, b"#!/bin/sh", &Attributes::default()).unwrap();
    assert_eq!((mode_of(&file), mode_of(&program)), (0o644, 0o4755));
}

#[test]
fn links_in_a_folder_that_others_can_write_are_refused_at_every_step() {
    let Some(dir) = shared() else { return };
    let (folder, private) = (dir.path().join("shared"), dir.path().join("private"));
    symlink(&private, folder.join("sub")).unwrap();
    symlink("../private/f", folder.join("f")).unwrap();
    symlink("shared/f", dir.path().join("outer")).unwrap();
    for (bits, uid) in [(0o777, 0), (0o1777, 0), (0o770, 0), (0o755, OTHER)] {
        chown(&folder, Some(uid), Some(OTHER)).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(bits)).unwrap();
        for name in ["shared/f", "shared/sub/f", "outer"] {
            let path = dir.path().join(name);
            let error = Target::resolve(&path).unwrap_err();
            assert!(matches!(error, ReplaceError::ForeignLink { .. }), "{bits:o} {name}: {error}");
            assert!(error.to_string().contains("follow = true"), "{error}");
            let target = Target::resolve_with(&path, trust(true, None)).unwrap();
            assert_eq!(target.folder().canonicalize().unwrap(), private, "{bits:o} {name}");
            make_folder_of(&path.join("x/y"), Trust::default()).unwrap_err();
        }
        fs::write(private.join("f"), "kept").unwrap();
        for name in ["shared/f", "shared/sub/f"] {
            remove(&dir.path().join(name), Trust::default()).unwrap_err();
        }
        assert_eq!(fs::read(private.join("f")).unwrap(), b"kept");
        fs::remove_file(private.join("f")).unwrap();
        assert!(check_private(&folder).is_err() && check_private(&folder.join("sub")).is_err());
    }
    check_private(&private).unwrap();
    make_folder_of(&folder.join("new/deep/f"), Trust::default()).unwrap();
    assert!(folder.join("new/deep").is_dir());
}

#[test]
fn a_planted_pipe_does_not_make_a_reader_wait() {
    let Some(dir) = shared() else { return };
    let file = dir.path().join("shared/f");
    fs::write(&file, "ours").unwrap();
    let target = Target::resolve(&file).unwrap();
    fs::remove_file(&file).unwrap();
    mkfifo(&file, Mode::from_bits_truncate(0o666)).unwrap();
    assert!(matches!(target.read().unwrap_err(), ReplaceError::NotAFile { .. }));
    assert!(matches!(target.compare(b"ours", &Attributes::default()), Err(ReplaceError::NotAFile { .. })));
    sync_folder(&file).unwrap_err();
}

#[test]
fn a_link_at_the_name_of_a_backup_or_a_kept_copy_is_not_followed() {
    let Some(dir) = shared() else { return };
    let (file, secret) = (dir.path().join("shared/f"), dir.path().join("private/secret"));
    fs::write(&file, "ours").unwrap();
    fs::write(&secret, "untouched").unwrap();
    symlink(&secret, dir.path().join("shared/f.bak")).unwrap();
    let target = Target::resolve(&file).unwrap();
    target.backup(".bak").unwrap();
    let staged = target.stage(b"new", &mode(0o640)).unwrap();
    let name = staged.path().file_name().unwrap().to_str().unwrap();
    let kept = name.replacen(&format!(".{}.", std::process::id()), ".kept.", 1);
    symlink(&secret, dir.path().join("shared").join(&kept)).unwrap();
    staged.keep_copy().unwrap_err();
    fs::remove_file(dir.path().join("shared").join(&kept)).unwrap();
    let copy = staged.keep_copy().unwrap();
    assert_eq!(copy.file_name().unwrap().to_str(), Some(kept.as_str()));
    assert_eq!((fs::read(&copy).unwrap().as_slice(), mode_of(&copy)), (&b"new"[..], 0o640));
    assert_eq!(fs::read(&secret).unwrap(), b"untouched");
    // Another file under the staged name is not taken for it.
    let path = staged.path().to_owned();
    fs::rename(&path, dir.path().join("shared/moved")).unwrap();
    plant(&path, 0o666);
    assert!(staged.keep_copy().unwrap_err().to_string().contains("another file"));
}

#[test]
fn a_mounted_file_of_another_user_keeps_its_owner() {
    let Some(dir) = shared() else { return };
    let (host, bound) = (dir.path().join("host"), dir.path().join("private/bound"));
    plant(&host, 0o660);
    fs::write(&bound, "").unwrap();
    let Some(_mount) = Mount::new(&["--bind", host.to_str().unwrap()], &bound) else { return };
    assert_eq!(put(&bound, b"new", &Attributes::default()).unwrap(), WriteMethod::InPlace);
    assert_eq!(
        (fs::read(&host).unwrap().as_slice(), owner_and_mode(&host)),
        (&b"new"[..], (OTHER, OTHER, 0o660))
    );
}

/// Another user swaps a folder on the path for a link again and again. Whatever the moment, no file lands behind it.
#[test]
fn no_race_leads_a_write_through_a_swapped_folder() {
    let Some(dir) = shared() else { return };
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("shared/sub")).unwrap();
    let done = AtomicBool::new(false);
    let (placed, refused) = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::rename(at("shared/sub"), at("shared/aside")).unwrap();
                symlink(at("private"), at("shared/sub")).unwrap();
                thread::yield_now();
                fs::remove_file(at("shared/sub")).unwrap();
                fs::rename(at("shared/aside"), at("shared/sub")).unwrap();
                thread::yield_now();
            }
        });
        let file = at("shared/sub/f");
        let once = || {
            let staged = Target::resolve(&file)?.stage(b"secret", &Attributes::default())?;
            staged.place()?;
            remove(&file, Trust::default())
        };
        let (mut placed, mut refused) = (0, 0);
        let start = Instant::now();
        while (placed + refused < 500 || placed == 0 || refused == 0)
            && start.elapsed() < Duration::from_secs(10)
        {
            let count = if once().is_ok() { &mut placed } else { &mut refused };
            *count += 1;
        }
        done.store(true, Ordering::Relaxed);
        (placed, refused)
    });
    assert!(placed > 0 && refused > 0, "no race: {placed} placed, {refused} refused");
    assert_eq!(fs::read_dir(at("private")).unwrap().count(), 0, "something was led there");
}
