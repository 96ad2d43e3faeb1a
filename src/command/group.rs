//! The process group of one command, killed on drop unless disarmed.

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::process::Child;

/// Represents the group from its start until its leader is reaped.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    armed: bool,
    leave_when_dropped: bool,
}

impl Group {
    /// Returns the group that `child` leads; it was started with a group of its own.
    pub(super) fn of(child: &Child, leave_when_dropped: bool) -> Result<Self, String> {
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        let leader = Pid::from_raw(number.ok_or("the system gave it no process number")?);
        Ok(Self { leader, armed: true, leave_when_dropped })
    }

    /// Sends SIGTERM to all members.
    pub(super) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sends SIGKILL to all members; this also reaches a stopped process.
    pub(super) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Disarms it when the leader is reaped, or about to be by others: the number no longer belongs to us.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Returns whether the leader has exited, without reaping it.
    pub(super) fn leader_has_exited(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        !matches!(waitid(Id::Pid(self.leader), flags), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    }

    fn signal(&self, signal: Signal) {
        if !self.armed {
            return;
        }
        match killpg(self.leader, signal) {
            // ESRCH: all members are gone, which is the goal.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => {
                tracing::warn!(group = self.leader.as_raw(), %signal, %error, "cannot signal a command");
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.leave_when_dropped {
            self.kill();
        }
    }
}
