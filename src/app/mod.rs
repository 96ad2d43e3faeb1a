//! Builds everything, runs everything, stops everything.
//!
//! Owns: what each command does with the rooms below, the log's format, the exit status, and the messages to the
//! service manager.
//!
//! Promises: exit status 0 means done; 1 means that it ran with a negative result; 2 that it could not run; 3, of
//! `diff` alone, that a resource failed. Logs go to stderr, results to stdout.
//!
//! Leaves out: every decision about resources, sources and templates.

mod backup;
mod check;
mod commands;
mod ctl;
mod exit;
mod logging;
mod notify;
mod place;
mod proxy;
mod register;
mod request;
mod status_access;
mod status_page;
mod status_table;
mod store;

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;
use tokio::runtime;

use crate::settings::{self, Dialect, Invocation, Parsed, Task};

use exit::Exit;

/// The stack of the threads that render: expressions of a template are parsed and run by recursion. Only the used part
/// takes memory.
const THREAD_STACK_BYTES: usize = 64 << 20;

/// Runs one call of the program: `args` are its arguments, its own name first.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let program = args.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match settings::parse(args, &|name| env::var(name).ok()) {
        Ok(Parsed::Print(text)) => print(&text).into(),
        Ok(Parsed::Ctl(invocation)) => ctl::run(*invocation),
        Ok(Parsed::Run(invocation)) => run(&program, *invocation).into(),
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::from(problems.status())
        }
    }
}

fn run(program: &str, invocation: Invocation) -> Exit {
    let _log = logging::start(invocation.log, invocation.dialect, program);
    for warning in &invocation.warnings {
        tracing::warn!("{warning}");
    }
    for notice in &invocation.notices {
        tracing::info!("{notice}");
    }
    let dialect = invocation.dialect;
    execute(invocation).unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        match dialect {
            // They have no special status for this.
            Dialect::Etcd | Dialect::Registrator => Exit::Negative,
            Dialect::Retune | Dialect::Confd => Exit::CouldNotRun,
        }
    })
}

/// Runs the task to its end; an error means that it could not run.
fn execute(invocation: Invocation) -> anyhow::Result<Exit> {
    let Invocation { task, dialect, source, reloader, output, .. } = invocation;
    let runtime = builder(&task).enable_all().build()?;
    let exit = runtime.block_on(async {
        match task {
            Task::Render => commands::render(source, reloader, output).await,
            Task::Watch(follow) => commands::watch(source, reloader, follow).await,
            Task::Diff { output, context, colour } => {
                commands::diff(source, reloader, output, context, colour).await
            }
            Task::Check(what) => check::check(reloader, what).await,
            Task::Backup(what) => backup::backup(source, *what).await,
            Task::Restore(what) => backup::restore(*what).await,
            Task::Register(what) => register::register(source, *what).await,
            Task::RegisterStatus(at) => register::status(&at, output).await,
            Task::RegisterStop(what) => register::stop(*what).await,
            Task::Place(what) => place::place(source, *what, output).await,
            Task::Store(member) => store::store(*member, dialect).await,
            Task::Proxy(proxy) => proxy::proxy(*proxy, dialect).await,
        }
    });
    // A blocking look-up (DNS in a template) must not delay the exit.
    runtime.shutdown_background();
    exit
}

fn builder(task: &Task) -> runtime::Builder {
    let workers = match task {
        Task::Store(member) => member.workers,
        Task::Proxy(proxy) => proxy.workers,
        // One thread runs everything that waits; rendering starts its own threads.
        _ => {
            let mut builder = runtime::Builder::new_current_thread();
            builder.thread_stack_size(THREAD_STACK_BYTES);
            return builder;
        }
    };
    let mut builder = runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).thread_name("serve");
    builder
}

/// Returns a result as programs read it.
fn json(result: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(result)? + "\n")
}

/// Prints a result. A reader that closed the pipe (`| head`) is not a failure.
fn print(text: &str) -> Exit {
    logging::flush();
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("cannot write the result: {error}");
            Exit::CouldNotRun
        }
        _ => Exit::Done,
    }
}

/// Prints a message to standard error, after the log lines so far.
fn print_error(text: &str) {
    logging::flush();
    eprintln!("{text}");
}
