//! The command check: runs a command in the container, which must exit with 0.

use crate::registrar::engine::ExecResult;

/// How much of the command's output a message shows.
const MAX_OUTPUT_BYTES: usize = 200;

pub(super) fn check_exit(ran: &ExecResult) -> Result<(), String> {
    if ran.code == 0 {
        return Ok(());
    }
    let line = ran.output.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let shown: String = line.chars().filter(|c| !c.is_control()).take(MAX_OUTPUT_BYTES).collect();
    if shown.is_empty() {
        Err(format!("exited with {}", ran.code))
    } else {
        Err(format!("exited with {}: {shown}", ran.code))
    }
}
