use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::unistd::{Gid, Uid};

use super::*;

#[allow(dead_code, reason = "the other reasons are those of the whole-program tests")]
#[path = "../../tests/support/skips.rs"]
mod skips;

use skips::{Permitted, missing};

mod foreign;

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & PERMISSION_BITS
}

fn mode(mode: u32) -> Attributes {
    Attributes { mode: Some(mode), ..Attributes::default() }
}

fn put(path: &Path, bytes: &[u8], want: &Attributes) -> Result<WriteMethod, ReplaceError> {
    let staged = Target::resolve(path)?.stage(bytes, want)?;
    sync_all(&[&staged]).unwrap();
    let placed = staged.place()?;
    sync_folder(path.parent().unwrap()).unwrap();
    Ok(placed)
}

/// Returns the names of staged files in a folder.
fn left_over(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".retune-stage.")).collect()
}

/// A mount that is removed when the test ends; `None` where mounting is not allowed, which is reported.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn new(arguments: &[&str], on: &'a Path) -> Option<Self> {
        let done = Command::new("mount").args(arguments).arg(on).output();
        if done.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(on));
        }
        eprintln!("{done:?}");
        Permitted::NoMounts.skip_or_miss(
            "mounting is not allowed",
            "run the tests as root, in a container with CAP_SYS_ADMIN",
        );
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0).status().unwrap();
    }
}

#[test]
fn a_file_is_replaced_and_nothing_is_left_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.conf");
    assert_eq!(put(&file, b"one", &Attributes::default()).unwrap(), WriteMethod::Renamed);
    assert_eq!(mode_of(&file), 0o644);
    let inode = fs::metadata(&file).unwrap().ino();
    put(&file, b"two", &Attributes::default()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"two");
    assert_ne!(fs::metadata(&file).unwrap().ino(), inode, "written in place");
    assert!(left_over(dir.path()).is_empty());
}

#[test]
fn a_staged_file_is_hidden_beside_the_target_and_removed_on_drop() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.conf");
    let staged = Target::resolve(&file).unwrap().stage(b"x", &mode(0o640)).unwrap();
    let name = staged.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with(&format!(".retune-stage.{}.app.conf.", std::process::id())), "{name}");
    assert!(!name.ends_with(".conf"));
    assert_eq!(staged.path().parent(), Some(dir.path()));
    assert_eq!((fs::read(staged.path()).unwrap().as_slice(), mode_of(staged.path())), (&b"x"[..], 0o640));
    drop(staged);
    assert!(left_over(dir.path()).is_empty() && !file.exists());
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    // The umask belongs to the process, so it briefly applies to the other tests too; none of them depends on it.
    let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    for bits in [0o666, 0o644, 0o4755, 0o1777, 0o000, 0o200] {
        let file = dir.path().join(format!("{bits:o}"));
        put(&file, b"x", &mode(bits)).unwrap();
        assert_eq!(mode_of(&file), bits);
    }
    nix::sys::stat::umask(old);
}

#[test]
fn unset_attributes_are_inherited_from_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o4711)).unwrap();
    let root = Uid::effective().is_root();
    if root {
        std::os::unix::fs::chown(&file, None, Some(4321)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o4711)).unwrap();
    }
    put(&file, b"new", &Attributes::default()).unwrap();
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!(metadata.mode() & PERMISSION_BITS, 0o4711);
    if root {
        assert_eq!((metadata.uid(), metadata.gid()), (0, 4321));
        put(&file, b"new", &Attributes { uid: Some(1234), ..Attributes::default() }).unwrap();
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 4321));
    }
}

#[test]
fn a_file_is_compared_by_bytes_and_by_requested_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    let target = Target::resolve(&file).unwrap();
    let missing = target.compare(b"", &mode(0o600)).unwrap();
    assert!(missing.missing && missing.bytes && !missing.none());
    let large = vec![b'x'; 200_000];
    put(&file, &large, &mode(0o640)).unwrap();
    // A target keeps the file as it was when resolved; to see the current file, resolve again.
    assert!(target.compare(&large, &mode(0o640)).unwrap().missing);
    let target = Target::resolve(&file).unwrap();
    assert!(target.compare(&large, &mode(0o640)).unwrap().none());
    assert!(target.compare(&large, &Attributes::default()).unwrap().none());
    for at in [0, 65_536, 199_999] {
        let mut other = large.clone();
        other[at] = b'y';
        assert!(target.compare(&other, &Attributes::default()).unwrap().bytes, "byte {at}");
    }
    assert!(target.compare(&large[1..], &Attributes::default()).unwrap().bytes);
    let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
    let want = Attributes { mode: Some(0o100_600), uid: Some(uid + 1), gid: Some(gid) };
    let differs = target.compare(&large, &want).unwrap();
    assert_eq!(differs.mode, Some((0o640, 0o600)));
    assert_eq!((differs.uid, differs.gid, differs.bytes), (Some((uid, uid + 1)), None, false));
}

#[test]
fn a_file_changed_by_others_is_detected_when_its_target_is_resolved_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    put(&file, b"text", &mode(0o640)).unwrap();
    let differs = |bytes: &[u8]| Target::resolve(&file).unwrap().compare(bytes, &mode(0o640)).unwrap();
    assert!(differs(b"text").none());
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    assert_eq!(differs(b"text").mode, Some((0o666, 0o640)));
    // Equal length, so that only reading shows the difference.
    fs::write(&file, "TEXT").unwrap();
    assert!(differs(b"text").bytes && !differs(b"TEXT").bytes);
    fs::remove_file(&file).unwrap();
    assert!(differs(b"text").missing);
    // Without a requested mode, it is the one the file has when resolved.
    fs::write(&file, "born").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o604)).unwrap();
    put(&file, b"new", &Attributes::default()).unwrap();
    assert_eq!(mode_of(&file), 0o604);
}

#[test]
fn a_symbolic_link_stays_and_its_target_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let real = dir.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::write(real.join("file"), "old").unwrap();
    symlink("real/file", dir.path().join("inner")).unwrap();
    let outer = dir.path().join("outer");
    symlink(dir.path().join("inner"), &outer).unwrap();
    put(&outer, b"new", &Attributes::default()).unwrap();
    assert!(fs::symlink_metadata(&outer).unwrap().is_symlink());
    assert_eq!(fs::read(real.join("file")).unwrap(), b"new");
    let dangling = dir.path().join("dangling");
    symlink("real/../real/later", &dangling).unwrap();
    put(&dangling, b"born", &Attributes::default()).unwrap();
    assert_eq!(fs::read(real.join("later")).unwrap(), b"born");
    assert!(fs::symlink_metadata(&dangling).unwrap().is_symlink());
}

#[test]
fn destinations_that_cannot_be_files_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    symlink("b", at("a")).unwrap();
    symlink("a", at("b")).unwrap();
    symlink("a", at("into")).unwrap();
    fs::write(at("file"), "x").unwrap();
    let refusal = |path: &Path| Target::resolve(path).unwrap_err();
    assert!(matches!(refusal(&at("a")), ReplaceError::LinkLoop { .. }));
    assert!(matches!(refusal(dir.path()), ReplaceError::IsFolder { .. }));
    assert!(matches!(refusal(&at("new/")), ReplaceError::IsFolder { .. }));
    assert!(matches!(refusal(&at("new/..")), ReplaceError::IsFolder { .. }));
    assert!(matches!(refusal(Path::new("/dev/null")), ReplaceError::NotAFile { .. }));
    assert!(matches!(refusal(&at("file/x")), ReplaceError::NotAFolder { .. }));
    for odd in ["", "/", "a\0b"] {
        Target::resolve(Path::new(odd)).unwrap_err();
    }
    // Relative to the working folder, which cargo sets to the package's root.
    assert!(Target::resolve(Path::new("Cargo.toml")).unwrap().path().is_absolute());
}

#[test]
fn a_missing_folder_is_reported_by_a_plan_and_by_staging() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("no/such");
    let target = Target::resolve(&folder.join("file")).unwrap();
    let text = format!("the folder {} is missing; create it", folder.display());
    for error in [target.check_folder().unwrap_err(), target.stage(b"x", &Attributes::default()).unwrap_err()]
    {
        assert!(error.to_string().contains(&text), "{error}");
    }
    fs::create_dir_all(&folder).unwrap();
    target.check_folder().unwrap();
    assert!(left_over(&folder).is_empty(), "a plan leaves nothing");
    target.stage(b"x", &Attributes::default()).unwrap();
}

#[test]
fn a_folder_replaced_after_resolving_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sub");
    fs::create_dir(&folder).unwrap();
    let target = Target::resolve(&folder.join("f")).unwrap();
    let staged = target.stage(b"x", &Attributes::default()).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    staged.place().unwrap_err();
    let error = target.stage(b"x", &Attributes::default()).unwrap_err();
    assert!(matches!(error, ReplaceError::FolderMissing { .. }), "{error}");
    fs::write(&folder, "now a file").unwrap();
    let plan = target.check_folder().unwrap_err();
    assert!(matches!(plan, ReplaceError::NotAFolder { .. }), "{plan}");
    let error = target.stage(b"x", &Attributes::default()).unwrap_err();
    assert!(matches!(error, ReplaceError::NotAFolder { .. }), "{error}");
    fs::remove_file(&folder).unwrap();
    fs::create_dir_all(folder.join("f")).unwrap();
    let error = target.stage(b"x", &Attributes::default()).unwrap().place().unwrap_err();
    assert!(matches!(error, ReplaceError::IsFolder { .. }), "{error}");
    assert!(left_over(&folder).is_empty());
}

#[test]
fn a_destination_that_became_a_folder_after_staging_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    let staged = Target::resolve(&file).unwrap().stage(b"x", &Attributes::default()).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(matches!(staged.place().unwrap_err(), ReplaceError::IsFolder { .. }));
    assert!(left_over(dir.path()).is_empty());
}

#[test]
fn a_file_name_of_maximum_length_can_be_staged() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("é".repeat(127) + "x");
    put(&file, b"x", &Attributes::default()).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn a_mount_point_is_written_in_place_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (host, bound) = (dir.path().join("host"), dir.path().join("bound"));
    fs::write(&host, "a longer old text").unwrap();
    fs::write(&bound, "").unwrap();
    let Some(_mount) = Mount::new(&["--bind", host.to_str().unwrap()], &bound) else { return };
    assert_eq!(put(&bound, b"new", &mode(0o600)).unwrap(), WriteMethod::InPlace);
    assert_eq!(fs::read(&host).unwrap(), b"new");
    assert_eq!(mode_of(&host), 0o600);
    assert_eq!(put(&bound, b"", &mode(0o4711)).unwrap(), WriteMethod::InPlace);
    assert_eq!((fs::read(&host).unwrap().len(), mode_of(&host)), (0, 0o4711));
    assert!(left_over(dir.path()).is_empty());
}

#[test]
fn a_full_disk_is_reported_and_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "size=64k", "none"], dir.path()) else { return };
    let file = dir.path().join("f");
    put(&file, b"old", &Attributes::default()).unwrap();
    let error = put(&file, &vec![b'x'; 100_000], &Attributes::default()).unwrap_err();
    let text = format!("no space left in {}: 100000 bytes needed", dir.path().display());
    assert!(error.to_string().contains(&text), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert!(left_over(dir.path()).is_empty());
}

#[test]
fn writing_in_place_onto_a_full_disk_leaves_the_old_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (small, bound) = (dir.path().join("small"), dir.path().join("bound"));
    fs::create_dir(&small).unwrap();
    let Some(_disk) = Mount::new(&["-t", "tmpfs", "-o", "size=64k", "none"], &small) else { return };
    fs::write(small.join("f"), "old").unwrap();
    fs::write(&bound, "").unwrap();
    let Some(_bind) = Mount::new(&["--bind", small.join("f").to_str().unwrap()], &bound) else { return };
    let error = put(&bound, &vec![b'x'; 100_000], &mode(0o600)).unwrap_err();
    assert!(matches!(error, ReplaceError::NoSpace { .. }), "{error}");
    assert_eq!(fs::read(&bound).unwrap(), b"old");
    assert_eq!(put(&bound, &vec![b'x'; 30_000], &mode(0o600)).unwrap(), WriteMethod::InPlace);
    assert_eq!(fs::read(&bound).unwrap().len(), 30_000);
}

#[test]
fn an_unwritable_folder_is_reported_by_a_plan_and_by_staging() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mount) = Mount::new(&["-t", "tmpfs", "-o", "ro", "none"], dir.path()) else { return };
    let target = Target::resolve(&dir.path().join("f")).unwrap();
    for error in [target.check_folder().unwrap_err(), target.stage(b"x", &Attributes::default()).unwrap_err()]
    {
        assert!(matches!(error, ReplaceError::NotWritable { .. }), "{error}");
        assert!(error.to_string().contains(&dir.path().display().to_string()), "{error}");
    }
}

#[test]
fn the_previous_file_or_its_absence_can_be_restored() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    let target = Target::resolve(&file).unwrap();
    let nothing = target.save().unwrap();
    put(&file, b"first", &mode(0o640)).unwrap();
    let first = target.save().unwrap().unwrap();
    assert!(
        !format!("{first:?}").contains("first") && !format!("{first:?}").contains("102"),
        "shows the bytes"
    );
    put(&file, b"second", &mode(0o600)).unwrap();
    target.restore(Some(&first)).unwrap();
    assert_eq!((fs::read(&file).unwrap().as_slice(), mode_of(&file)), (&b"first"[..], 0o640));
    assert_eq!((first.bytes(), first.attributes().mode), (&b"first"[..], Some(0o640)));
    target.restore(nothing.as_ref()).unwrap();
    target.restore(None).unwrap();
    assert!(!file.exists());
}

#[test]
fn a_backup_has_the_same_mode_and_replaces_the_previous_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.conf");
    let target = Target::resolve(&file).unwrap();
    assert_eq!(target.backup(".bak").unwrap(), None);
    for text in ["one", "two"] {
        put(&file, text.as_bytes(), &mode(0o600)).unwrap();
        let copy = target.backup(".bak").unwrap().unwrap();
        assert_eq!(copy, dir.path().join("f.conf.bak"));
        assert_eq!((fs::read_to_string(&copy).unwrap().as_str(), mode_of(&copy)), (text, 0o600));
        assert_ne!(fs::metadata(&copy).unwrap().ino(), fs::metadata(&file).unwrap().ino());
    }
}

#[test]
fn a_file_too_large_to_keep_is_not_read_into_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("huge");
    fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    let error = Target::resolve(&file).unwrap().save().unwrap_err();
    assert!(matches!(error, ReplaceError::TooLarge { size, .. } if size == 1 << 40), "{error}");
}

#[test]
fn a_sweep_removes_only_files_of_ended_processes() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let own = std::process::id();
    let stay = [
        ".retune-stage.1.app.conf.0000".to_owned(),
        ".retune-stage.kept.app.conf.0000".to_owned(),
        ".retune-stage.-1.x.0".to_owned(),
        ".retune-stage.0.x.0".to_owned(),
        ".retune-stage.".to_owned(),
        "app.conf".to_owned(),
    ];
    let go = [format!(".retune-stage.{dead}.app.conf.ab"), format!(".retune-stage.{own}.app.conf.cd")];
    for name in stay.iter().chain(&go) {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    assert!(sweep(dir.path(), Duration::from_secs(60)).unwrap().is_empty(), "they are too young");
    let mut removed = sweep(dir.path(), Duration::ZERO).unwrap();
    removed.sort();
    let mut expected = go.map(|name| dir.path().join(name));
    expected.sort();
    assert_eq!(removed, expected);
    assert!(stay.iter().all(|name| dir.path().join(name).exists()));
}

#[test]
fn a_kept_stage_file_survives_dropping_and_sweeping() {
    let dir = tempfile::tempdir().unwrap();
    let staged = Target::resolve(&dir.path().join("f")).unwrap().stage(b"x", &Attributes::default()).unwrap();
    let kept = staged.keep();
    sweep(dir.path(), Duration::ZERO).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), b"x");
    assert!(kept.file_name().unwrap().to_str().unwrap().starts_with(".retune-stage.kept.f."), "{kept:?}");
    assert_eq!(left_over(dir.path()).len(), 1);
}

/// Runs a test of this file again, without root's right to give files away.
fn again_without_chown(test: &str) {
    let mut again = Command::new("setpriv");
    again.args(["--inh-caps=-chown", "--bounding-set=-chown"]).arg(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("replace::tests::{test}")]).env("RETUNE_TEST_NO_CHOWN", "1");
    match again.output() {
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success() && said.contains("1 passed"), "{said}");
        }
        Err(error) => drop(missing(&format!("setpriv: {error}"), "apt-get install util-linux")),
    }
}

#[test]
fn changing_the_owner_without_the_capability_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    let other = Attributes { uid: Some(Uid::effective().as_raw() + 1), ..Attributes::default() };
    if Uid::effective().is_root() && std::env::var_os("RETUNE_TEST_NO_CHOWN").is_none() {
        return again_without_chown("changing_the_owner_without_the_capability_is_refused_with_its_name");
    }
    let error = put(&file, b"x", &other).unwrap_err();
    assert!(
        matches!(error, ReplaceError::Owner { .. }) && error.to_string().contains("CAP_CHOWN"),
        "{error}"
    );
    assert!(left_over(dir.path()).is_empty() && !file.exists());
}
