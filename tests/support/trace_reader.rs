//! Converts system calls to their changes of one folder.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::trace::{Syscall, bytes, descriptor, joined};
use super::trace_disk::{Change, Edit, Image, Inode, Names, ROOT, Recording, Sent, Step, Sync};

/// The state while calls are read.
struct Reader {
    root: PathBuf,
    /// The names as the process sees them.
    names: Names,
    /// The length of each file, for appending.
    lengths: HashMap<Inode, usize>,
    /// Descriptor to open file.
    open: HashMap<i64, usize>,
    /// Open files: inode, position, and whether it always appends.
    files: Vec<(Inode, usize, bool)>,
    inodes: usize,
    recording: Recording,
}

impl Recording {
    /// Reads the calls that concern `root`, which had the content `initial` when they began.
    ///
    /// # Errors
    /// A call changes the folder in a way that the model does not know.
    pub fn of(root: &Path, initial: &Image, calls: &[Syscall]) -> Result<Self, String> {
        let mut reader = Reader {
            root: root.to_owned(),
            names: HashMap::from([(ROOT, BTreeMap::new())]),
            lengths: HashMap::new(),
            open: HashMap::new(),
            files: Vec::new(),
            inodes: 1,
            recording: Self::default(),
        };
        for (path, content) in initial {
            reader.put(path, content.as_deref())?;
        }
        reader.recording.initial_names.clone_from(&reader.names);
        let mut ordered: Vec<&Syscall> = calls.iter().filter(|call| call.ret >= 0).collect();
        // A descriptor's number is free as soon as closing it begins.
        ordered.sort_by_key(|call| if call.name == "close" { call.start } else { call.end });
        for call in ordered {
            reader.take(call).map_err(|why| format!("line {}: {}: {why}", call.end, call.name))?;
        }
        reader.recording.sent.sort_by_key(|sent| sent.start);
        reader.recording.lines = calls.iter().map(|call| call.end + 1).max().unwrap_or(0);
        Ok(reader.recording)
    }
}

impl Reader {
    fn fresh(&mut self) -> Inode {
        self.inodes += 1;
        self.inodes - 1
    }

    /// Adds something that existed before.
    fn put(&mut self, path: &Path, content: Option<&[u8]>) -> Result<(), String> {
        let (folder, name) = self.place(path)?;
        let inode = self.fresh();
        self.names.get_mut(&folder).expect("a folder").insert(name, inode);
        match content {
            None => drop(self.names.insert(inode, BTreeMap::new())),
            Some(content) => {
                self.lengths.insert(inode, content.len());
                self.recording.initial_data.insert(inode, content.to_vec());
            }
        }
        Ok(())
    }

    /// Returns the folder that holds the last part of a path below the root, and that part.
    fn place(&self, path: &Path) -> Result<(Inode, String), String> {
        let name = path.file_name().ok_or("a path without a name")?.to_string_lossy().into_owned();
        let folder = self.find(path.parent().unwrap_or(Path::new(""))).ok_or("a folder nobody made")?;
        Ok((folder, name))
    }

    fn find(&self, path: &Path) -> Option<Inode> {
        path.iter()
            .try_fold(ROOT, |folder, part| self.names.get(&folder)?.get(&*part.to_string_lossy()).copied())
    }

    /// Returns a path argument relative to the root; `None` for one elsewhere.
    fn path(&self, folder: Option<&String>, text: &str) -> Result<Option<PathBuf>, String> {
        let path = PathBuf::from(String::from_utf8_lossy(&bytes(text)?).into_owned());
        let base = match folder {
            Some(folder) => descriptor(folder)?.1,
            None => self.root.clone(),
        };
        let whole = base.join(path);
        Ok(whole.strip_prefix(&self.root).ok().map(Path::to_path_buf))
    }

    fn step(&mut self, call: &Syscall, change: Change) {
        self.recording.steps.push(Step { start: call.start, end: call.end, change });
    }

    fn take(&mut self, call: &Syscall) -> Result<(), String> {
        let arg = |at: usize| call.args.get(at).ok_or_else(|| "too few arguments".to_owned());
        match call.name.as_str() {
            "open" | "creat" => self.opens(
                call,
                None,
                arg(0)?,
                if call.name == "creat" { "O_CREAT|O_TRUNC" } else { arg(1)? },
            ),
            "openat" => self.opens(call, Some(arg(0)?), arg(1)?, arg(2)?),
            "close" => {
                self.open.remove(&descriptor(arg(0)?)?.0);
                Ok(())
            }
            "dup" | "dup2" | "dup3" | "fcntl" => self.duplicates(call),
            "write" | "pwrite64" | "sendto" => self.writes(call, &bytes(arg(1)?), arg(3).ok()),
            "writev" | "pwritev" | "pwritev2" | "sendmsg" => self.writes(call, &joined(arg(1)?), arg(3).ok()),
            "read" => {
                if let Some(file) = self.file(arg(0)?)? {
                    self.files[file].1 += usize::try_from(call.ret).unwrap_or(0);
                }
                Ok(())
            }
            "lseek" => {
                if let Some(file) = self.file(arg(0)?)? {
                    self.files[file].1 = usize::try_from(call.ret).unwrap_or(0);
                }
                Ok(())
            }
            "ftruncate" => self.edits(call, arg(1)?, |length, _| Edit::Length(length)),
            "fallocate" => self.allocates(call),
            "fsync" | "fdatasync" => self.syncs(call),
            "rename" => self.renames(call, (None, arg(0)?), (None, arg(1)?)),
            "renameat" | "renameat2" => {
                self.renames(call, (Some(arg(0)?), arg(1)?), (Some(arg(2)?), arg(3)?))
            }
            "unlink" | "rmdir" => self.removes(call, None, arg(0)?),
            "unlinkat" => self.removes(call, Some(arg(0)?), arg(1)?),
            "mkdir" => self.makes(call, None, arg(0)?),
            "mkdirat" => self.makes(call, Some(arg(0)?), arg(1)?),
            "sync_file_range" => Ok(()),
            "mmap" => self.maps(call),
            _ => self.refuse_if_ours(call),
        }
    }

    /// Returns the open file of a descriptor, if it belongs to the folder.
    fn file(&self, text: &str) -> Result<Option<usize>, String> {
        Ok(self.open.get(&descriptor(text)?.0).copied())
    }

    fn opens(
        &mut self,
        call: &Syscall,
        folder: Option<&String>,
        path: &str,
        flags: &str,
    ) -> Result<(), String> {
        let Some(path) = self.path(folder, path)? else { return Ok(()) };
        if flags.contains("O_TMPFILE") {
            return Err("files without a name are not in the model".to_owned());
        }
        let inode = match self.find(&path) {
            Some(inode) => inode,
            None => {
                let (folder, name) = self.place(&path)?;
                let inode = self.fresh();
                self.names.get_mut(&folder).expect("a folder").insert(name.clone(), inode);
                self.step(call, Change::Names { gone: Vec::new(), come: vec![(folder, name, inode)] });
                inode
            }
        };
        if flags.contains("O_TRUNC") && self.lengths.get(&inode).is_some_and(|length| *length > 0) {
            self.lengths.insert(inode, 0);
            self.step(call, Change::Data(inode, Edit::Length(0)));
        }
        self.files.push((inode, 0, flags.contains("O_APPEND")));
        self.open.insert(call.ret, self.files.len() - 1);
        Ok(())
    }

    fn duplicates(&mut self, call: &Syscall) -> Result<(), String> {
        let is_copy =
            call.name != "fcntl" || call.args.get(1).is_some_and(|what| what.starts_with("F_DUPFD"));
        if let Some(file) = self.file(&call.args[0])?.filter(|_| is_copy) {
            self.open.insert(call.ret, file);
        }
        Ok(())
    }

    fn writes(
        &mut self,
        call: &Syscall,
        data: &Result<Vec<u8>, String>,
        at: Option<&String>,
    ) -> Result<(), String> {
        let (_, target) = descriptor(&call.args[0])?;
        let target = target.to_string_lossy().into_owned();
        let (file, is_socket) =
            (self.file(&call.args[0])?, target.starts_with("socket:") || target.starts_with("TCP"));
        if file.is_none() && !is_socket {
            return Ok(());
        }
        // A message to the kernel itself is shown as a structure, and is not a response to anybody.
        if is_socket && call.args.get(1).is_some_and(|text| text.contains("nlmsg_")) {
            return Ok(());
        }
        let mut data = data.clone()?;
        data.truncate(usize::try_from(call.ret).unwrap_or(0));
        let Some(file) = file else {
            self.recording.sent.push(Sent { start: call.start, socket: target, data });
            return Ok(());
        };
        let (inode, position, appends) = self.files[file];
        let length = self.lengths.get(&inode).copied().unwrap_or(0);
        let at = match at.filter(|_| call.name.starts_with('p')) {
            Some(at) => at.parse().map_err(|_| format!("what place is {at}"))?,
            None if appends => length,
            None => position,
        };
        if !call.name.starts_with('p') {
            self.files[file].1 = at + data.len();
        }
        self.lengths.insert(inode, length.max(at + data.len()));
        self.step(call, Change::Data(inode, Edit::Write { at, data }));
        Ok(())
    }

    fn edits(
        &mut self,
        call: &Syscall,
        number: &str,
        edit: impl Fn(usize, usize) -> Edit,
    ) -> Result<(), String> {
        let Some(file) = self.file(&call.args[0])? else { return Ok(()) };
        let number = number.parse().map_err(|_| format!("what number is {number}"))?;
        let inode = self.files[file].0;
        let length = self.lengths.get(&inode).copied().unwrap_or(0);
        let edit = edit(number, length);
        match edit {
            Edit::Length(length) => drop(self.lengths.insert(inode, length)),
            Edit::Room(more) => drop(self.lengths.insert(inode, length.max(more))),
            Edit::Write { .. } | Edit::Zeros { .. } => {}
        }
        self.step(call, Change::Data(inode, edit));
        Ok(())
    }

    fn allocates(&mut self, call: &Syscall) -> Result<(), String> {
        let number = |at: usize| call.args.get(at).and_then(|text| text.parse::<usize>().ok());
        let (Some(at), Some(length)) = (number(2), number(3)) else { return Err("what range".to_owned()) };
        let mode = call.args[1].clone();
        if mode.contains("PUNCH_HOLE") || mode.contains("ZERO_RANGE") {
            return self.edits(call, "0", |_, _| Edit::Zeros { at, length });
        }
        if mode.contains("KEEP_SIZE") {
            return Ok(());
        }
        if mode != "0" {
            return self.refuse_if_ours(call);
        }
        self.edits(call, "0", |_, _| Edit::Room(at + length))
    }

    fn syncs(&mut self, call: &Syscall) -> Result<(), String> {
        if let Some(file) = self.file(&call.args[0])? {
            let (inode, data_only) = (self.files[file].0, call.name == "fdatasync");
            self.recording.syncs.push(Sync { inode, start: call.start, end: call.end, data_only });
        }
        Ok(())
    }

    fn renames(
        &mut self,
        call: &Syscall,
        from: (Option<&String>, &String),
        to: (Option<&String>, &String),
    ) -> Result<(), String> {
        match (self.path(from.0, from.1)?, self.path(to.0, to.1)?) {
            (Some(from), Some(to)) => {
                let ((folder, name), (new_folder, new_name)) = (self.place(&from)?, self.place(&to)?);
                let inode = self.names.get_mut(&folder).and_then(|names| names.remove(&name));
                let inode = inode.ok_or("a name nobody made")?;
                self.names.get_mut(&new_folder).expect("a folder").insert(new_name.clone(), inode);
                let (gone, come) = (vec![(folder, name)], vec![(new_folder, new_name, inode)]);
                self.step(call, Change::Names { gone, come });
                Ok(())
            }
            (None, None) => Ok(()),
            _ => Err("a rename into or out of the folder".to_owned()),
        }
    }

    fn removes(&mut self, call: &Syscall, folder: Option<&String>, path: &str) -> Result<(), String> {
        let Some(path) = self.path(folder, path)? else { return Ok(()) };
        let (folder, name) = self.place(&path)?;
        self.names.get_mut(&folder).and_then(|names| names.remove(&name)).ok_or("a name nobody made")?;
        self.step(call, Change::Names { gone: vec![(folder, name)], come: Vec::new() });
        Ok(())
    }

    fn makes(&mut self, call: &Syscall, folder: Option<&String>, path: &str) -> Result<(), String> {
        let Some(path) = self.path(folder, path)? else { return Ok(()) };
        let (folder, name) = self.place(&path)?;
        let inode = self.fresh();
        self.names.insert(inode, BTreeMap::new());
        // An empty folder is also a folder.
        self.recording.initial_names.insert(inode, BTreeMap::new());
        self.names.get_mut(&folder).expect("a folder").insert(name.clone(), inode);
        self.step(call, Change::Names { gone: Vec::new(), come: vec![(folder, name, inode)] });
        Ok(())
    }

    fn maps(&self, call: &Syscall) -> Result<(), String> {
        let shared = call.args.get(3).is_some_and(|flags| flags.contains("MAP_SHARED"));
        let written = call.args.get(2).is_some_and(|rights| rights.contains("PROT_WRITE"));
        let ours =
            call.args.get(4).map(|text| self.file(text)).transpose().unwrap_or(None).flatten().is_some();
        if shared && written && ours {
            Err("writes through memory cannot be seen".to_owned())
        } else {
            Ok(())
        }
    }

    /// Fails if a call that the model does not know touches the folder.
    fn refuse_if_ours(&self, call: &Syscall) -> Result<(), String> {
        let root = self
            .root
            .to_string_lossy()
            .bytes()
            .fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}"));
        let ours = call
            .args
            .iter()
            .any(|arg| arg.contains(&root) || self.file(arg).is_ok_and(|file| file.is_some()));
        if ours || matches!(call.name.as_str(), "sync" | "syncfs" | "io_uring_setup") {
            return Err("this call is not in the model".to_owned());
        }
        Ok(())
    }
}
