//! The possible contents of a disk after a power cut, derived from the calls that were made.
//!
//! The model is harsher than any disk: data are safe only when a sync of their file started after they were written
//! and has ended; names only when their folder was synced in the same way. Everything else may be there or not, each
//! write on its own, and torn at sector boundaries. A hint to write back (`sync_file_range`) makes nothing safe.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A file or a folder, whatever its names.
pub(super) type Inode = usize;
pub(super) const ROOT: Inode = 0;
/// The names in each folder.
pub(super) type Names = HashMap<Inode, BTreeMap<String, Inode>>;
/// The unit that a disk writes atomically.
const SECTOR: usize = 512;

/// A folder with everything in it, by path; `None` is a folder.
pub type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

#[derive(Clone, Debug)]
pub(super) enum Edit {
    Write {
        at: usize,
        data: Vec<u8>,
    },
    Length(usize),
    /// Reserved space: the length grows, the bytes are zeros.
    Room(usize),
    Zeros {
        at: usize,
        length: usize,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Data(Inode, Edit),
    /// Names that are removed and added atomically.
    Names {
        gone: Vec<(Inode, String)>,
        come: Vec<(Inode, String, Inode)>,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) change: Change,
}

/// Which syncs count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HonoredSyncs {
    All,
    /// For showing that a check would notice a missing sync.
    NotFdatasync,
}

#[derive(Clone, Debug)]
pub(super) struct Sync {
    pub(super) inode: Inode,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) data_only: bool,
}

/// What happens to changes that are not safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsyncedWrites {
    Lost,
    Kept,
    /// All up to some moment survive.
    Prefix,
    /// Each survives or not on its own, possibly torn.
    Random,
}

/// Bytes sent through a socket.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The line at which the sending began.
    pub start: usize,
    pub socket: String,
    pub data: Vec<u8>,
}

/// Everything a process did to one folder, and what it sent meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub(super) initial_names: Names,
    pub(super) initial_data: HashMap<Inode, Vec<u8>>,
    pub(super) steps: Vec<Step>,
    pub(super) syncs: Vec<Sync>,
    pub sent: Vec<Sent>,
    /// The line after the last one.
    pub lines: usize,
}

impl Recording {
    /// Returns how many changes and syncs there were.
    pub fn size(&self) -> (usize, usize) {
        (self.steps.len(), self.syncs.len())
    }

    /// Returns the useful moments for a cut: where a sync has just ended.
    pub fn sync_ends(&self) -> Vec<usize> {
        self.syncs.iter().map(|sync| sync.end).collect()
    }

    /// Returns a folder that a power cut at this line could leave. `random` returns a number below its argument.
    pub fn cut(
        &self,
        at: usize,
        believe: HonoredSyncs,
        rest: UnsyncedWrites,
        random: &mut dyn FnMut(usize) -> usize,
    ) -> Image {
        let mut names = self.initial_names.clone();
        let mut data = self.initial_data.clone();
        let until = random(at + 1);
        for step in self.steps.iter().filter(|step| step.start <= at) {
            let safe = self.is_safe(step, at, believe);
            let kept = safe
                || match rest {
                    UnsyncedWrites::Lost => false,
                    UnsyncedWrites::Kept => true,
                    UnsyncedWrites::Prefix => step.end <= until,
                    UnsyncedWrites::Random => random(2) == 0,
                };
            if kept {
                let torn = !safe && rest == UnsyncedWrites::Random && random(2) == 0;
                apply(&step.change, &mut names, &mut data, torn.then_some(&mut *random));
            }
        }
        let mut image = Image::new();
        walk(ROOT, Path::new(""), &names, &data, &mut image);
        image
    }

    fn is_safe(&self, step: &Step, at: usize, believe: HonoredSyncs) -> bool {
        let synced = |inode: Inode| {
            let mut syncs = self.syncs.iter().filter(|sync| sync.inode == inode);
            syncs.any(|sync| {
                let believed = believe == HonoredSyncs::All || !sync.data_only;
                believed && sync.start >= step.end && sync.end <= at
            })
        };
        match &step.change {
            Change::Data(inode, _) => synced(*inode),
            Change::Names { gone, come } => {
                gone.iter().all(|(folder, _)| synced(*folder))
                    && come.iter().all(|(folder, ..)| synced(*folder))
            }
        }
    }
}

fn walk(folder: Inode, path: &Path, names: &Names, data: &HashMap<Inode, Vec<u8>>, image: &mut Image) {
    for (name, inode) in names.get(&folder).into_iter().flatten() {
        let path = path.join(name);
        if names.contains_key(inode) {
            image.insert(path.clone(), None);
            walk(*inode, &path, names, data, image);
        } else {
            image.insert(path, Some(data.get(inode).cloned().unwrap_or_default()));
        }
    }
}

fn apply(
    change: &Change,
    names: &mut Names,
    data: &mut HashMap<Inode, Vec<u8>>,
    torn: Option<&mut dyn FnMut(usize) -> usize>,
) {
    match change {
        Change::Names { gone, come } => {
            for (folder, name) in gone {
                names.entry(*folder).or_default().remove(name);
            }
            for (folder, name, inode) in come {
                names.entry(*folder).or_default().insert(name.clone(), *inode);
            }
        }
        Change::Data(inode, edit) => {
            let file = data.entry(*inode).or_default();
            match edit {
                Edit::Length(length) => file.resize(*length, 0),
                Edit::Room(length) => file.resize(file.len().max(*length), 0),
                Edit::Zeros { at, length } => {
                    let end = (at + length).min(file.len());
                    file.get_mut(*at..end).unwrap_or_default().fill(0);
                }
                Edit::Write { at, data } => write(file, *at, data, torn),
            }
        }
    }
}

/// Writes everything, or for a torn write each sector by chance.
fn write(file: &mut Vec<u8>, at: usize, data: &[u8], mut torn: Option<&mut dyn FnMut(usize) -> usize>) {
    let mut from = 0;
    while from < data.len() {
        let to = ((at + from) / SECTOR * SECTOR + SECTOR - at).min(data.len());
        if torn.as_mut().is_none_or(|random| random(2) == 0) {
            file.resize(file.len().max(at + to), 0);
            file[at + from..at + to].copy_from_slice(&data[from..to]);
        }
        from = to;
    }
}

mod tests {
    use super::super::trace::parse;
    use super::*;

    /// Builds a recording from a readable trace: strings in quotes, `fd:path` for descriptors.
    fn recorded(initial: &[(&str, Option<&[u8]>)], lines: &[&str]) -> Recording {
        let hex = |text: &str| text.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        let line = |line: &&str| {
            let mut parts = line.split('\'');
            let mut text = format!("1 {}", parts.next().unwrap());
            while let (Some(word), Some(plain)) = (parts.next(), parts.next()) {
                text += &format!("\"{}\"{plain}", hex(word));
            }
            text + "\n"
        };
        let text: String = lines.iter().map(line).collect();
        let initial =
            initial.iter().map(|(path, data)| (PathBuf::from(path), data.map(<[u8]>::to_vec))).collect();
        Recording::of(Path::new("/r"), &initial, &parse(&text).unwrap()).unwrap()
    }

    fn lost(recording: &Recording, at: usize) -> Image {
        recording.cut(at, HonoredSyncs::All, UnsyncedWrites::Lost, &mut |_| 0)
    }

    fn file(image: &Image, path: &str) -> Option<Vec<u8>> {
        image.get(Path::new(path)).cloned().flatten()
    }

    #[test]
    fn data_is_durable_after_a_sync_of_its_file_and_a_name_after_one_of_its_folder() {
        let recording = recorded(
            &[("d", None)],
            &[
                "openat(AT_FDCWD, '/r/d/a', O_RDWR|O_CREAT, 0666) = 3",
                "write(3, 'new', 3) = 3",
                "fdatasync(3) = 0",
                "openat(AT_FDCWD, '/r/d', O_RDONLY) = 4",
                "fsync(4) = 0",
                "pwrite64(3, 'X', 1, 1) = 1",
            ],
        );
        assert_eq!(file(&lost(&recording, 3), "d/a"), None, "the folder was not synced");
        assert_eq!(file(&lost(&recording, 5), "d/a"), Some(b"new".to_vec()), "the last write was not synced");
        let kept = recording.cut(5, HonoredSyncs::All, UnsyncedWrites::Kept, &mut |_| 0);
        assert_eq!(file(&kept, "d/a"), Some(b"nXw".to_vec()));
        let doubted = recording.cut(5, HonoredSyncs::NotFdatasync, UnsyncedWrites::Lost, &mut |_| 0);
        assert_eq!(file(&doubted, "d/a"), Some(Vec::new()), "a name whose data were never safe");
    }

    #[test]
    fn a_sync_that_began_before_the_write_ended_does_not_cover_it() {
        let text = "1 openat(AT_FDCWD, \"\\x2f\\x72\\x2f\\x61\", O_RDWR) = 3\n\
                    2 write(3, \"\\x41\", 1 <unfinished ...>\n\
                    1 fsync(3 <unfinished ...>\n\
                    2 <... write resumed>) = 1\n\
                    1 <... fsync resumed>) = 0\n";
        let initial = Image::from([(PathBuf::from("a"), Some(Vec::new()))]);
        let recording = Recording::of(Path::new("/r"), &initial, &parse(text).unwrap()).unwrap();
        assert_eq!(file(&lost(&recording, 9), "a"), Some(Vec::new()));
    }

    #[test]
    fn a_rename_is_atomic_and_a_hint_is_no_sync() {
        let recording = recorded(
            &[("a", Some(b"old")), ("b", Some(b"new"))],
            &[
                "rename('/r/b', '/r/a') = 0",
                "openat(AT_FDCWD, '/r/a', O_RDWR) = 3",
                "pwrite64(3, 'N', 1, 0) = 1",
                "sync_file_range(3, 0, 0, 7) = 0",
                "unlinkat(AT_FDCWD, '/r/a', 0) = 0",
            ],
        );
        let image = lost(&recording, 4);
        assert_eq!((file(&image, "a"), file(&image, "b")), (Some(b"old".to_vec()), Some(b"new".to_vec())));
        let image = recording.cut(2, HonoredSyncs::All, UnsyncedWrites::Kept, &mut |_| 0);
        assert_eq!((file(&image, "a"), file(&image, "b")), (Some(b"New".to_vec()), None));
        let image = recording.cut(4, HonoredSyncs::All, UnsyncedWrites::Kept, &mut |_| 0);
        assert_eq!((file(&image, "a"), file(&image, "b")), (None, None));
    }

    #[test]
    fn a_torn_write_is_split_at_sectors() {
        let long = "z".repeat(1100);
        let line = format!("pwrite64(3, '{long}', 1100, 500) = 1100");
        let recording =
            recorded(&[("a", Some(&[0; 2000]))], &["openat(AT_FDCWD, '/r/a', O_RDWR) = 3", &line]);
        // The first choice keeps the write, the second tears it, and every second sector survives.
        let mut answers = [0, 0, 0, 0, 1, 0].into_iter();
        let image =
            recording.cut(1, HonoredSyncs::All, UnsyncedWrites::Random, &mut |_| answers.next().unwrap_or(1));
        let bytes = file(&image, "a").unwrap();
        let there: Vec<usize> = (0..2000).filter(|at| bytes[*at] == b'z').collect();
        assert_eq!((there[0], there.len()), (500, 12 + 512), "{there:?}");
        assert!(there.contains(&511) && !there.contains(&512) && there.contains(&1024), "{there:?}");
    }

    #[test]
    fn an_unknown_call_that_touches_the_folder_is_an_error() {
        let calls = |path: &str| {
            let hex: String = path.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
            parse(&format!("1 link(\"{hex}\", \"{hex}\") = 0")).unwrap()
        };
        assert!(Recording::of(Path::new("/r"), &Image::new(), &calls("/r/a")).is_err());
        assert!(Recording::of(Path::new("/r"), &Image::new(), &calls("/elsewhere/a")).is_ok());
    }
}
