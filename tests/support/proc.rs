//! A child process that ends with its handle.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::scaled;

/// A running child.
#[derive(Debug)]
pub struct Proc {
    child: Child,
    // A master that is killed outright leaves its workers behind.
    asked_first: bool,
}

impl Proc {
    /// Starts `command`; it is killed with its handle.
    pub fn spawn(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child, asked_first: false }
    }

    /// Starts a master of other processes; with its handle it gets SIGTERM first, so that it can end them.
    pub fn spawn_master(command: &mut Command) -> Self {
        let mut master = Self::spawn(command);
        master.asked_first = true;
        master
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal; a child that has already ended is an error of the test.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
    }

    /// Returns the exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for the end: returns the exit code, or 128 + the signal as a shell does; `None` past the limit.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let (start, limit) = (Instant::now(), scaled(limit));
        loop {
            if let Some(status) = self.ended() {
                return Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
            }
            if start.elapsed() > limit {
                return None;
            }
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        if self.asked_first && self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).ok();
            self.wait(Duration::from_secs(3));
        }
        // Usually it has ended already; then both calls fail and nothing is left to do.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
