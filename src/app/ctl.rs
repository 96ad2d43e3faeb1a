//! `retune ctl` and the name `etcdctl`.

use std::process::ExitCode;

use crate::ctl::{self, Invocation};

/// Runs one call; its exit codes are etcdctl's.
pub(super) fn run(invocation: Invocation) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let code = match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(ctl::run(invocation));
            // A name server that does not respond must not delay the exit.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            eprintln!("the runtime cannot be started: {error}");
            1
        }
    };
    ExitCode::from(code)
}
