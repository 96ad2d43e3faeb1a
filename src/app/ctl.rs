//! `retune ctl` and the name `etcdctl`.

use std::process::ExitCode;

use crate::ctl::{self, Invocation};

/// Enough for a document with as many levels as a store takes; only what is used costs memory.
const STACK_BYTES: usize = 64 << 20;

/// Runs one call; its exit codes are etcdctl's.
pub(super) fn run(invocation: Invocation) -> ExitCode {
    let thread = std::thread::Builder::new().name("ctl".into()).stack_size(STACK_BYTES);
    match thread.spawn(move || run_here(invocation)).map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            eprintln!("no thread can be started: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_here(invocation: Invocation) -> ExitCode {
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
