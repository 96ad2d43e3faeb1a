//! The disk's limit: how often a second a few bytes can be made durable.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};

/// One record of a log.
const RECORD: usize = 256;
/// More than is written in the measured time.
const SIZE: usize = 16 * 1024 * 1024;

/// The state of the file before the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// Full of zeros, already on the disk.
    Written,
    /// Its blocks are reserved, but empty.
    Reserved,
}

/// Returns the records a second, appended and synced one by one.
pub fn rate(folder: &Path, blocks: Blocks, span: Duration) -> f64 {
    let mut file = tempfile::tempfile_in(folder).unwrap();
    prepare(&mut file, blocks);
    let record = [b'x'; RECORD];
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < span && (count as usize + 1) * RECORD <= SIZE {
        file.write_all(&record).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn prepare(file: &mut File, blocks: Blocks) {
    match blocks {
        Blocks::Written => file.write_all(&vec![0; SIZE]).unwrap(),
        // Where the file system does not support it, the figure is that of a growing file, as a log's would be.
        Blocks::Reserved => drop(fallocate(&*file, FallocateFlags::empty(), 0, SIZE as i64)),
    }
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
}
