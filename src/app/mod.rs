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
mod status_page;
mod status_table;
mod store;

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use crate::settings::{self, Invocation, Parsed, Task};

use exit::Exit;

/// The stack of the threads that render: expressions of a template are parsed and run by recursion. Only the used part
/// takes memory.
const THREAD_STACK_BYTES: usize = 64 << 20;

/// Runs one call of the program: `args` are its arguments, its own name first.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let program = args.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match settings::parse(args, &|name| env::var(name).ok()) {
        Ok(Parsed::Print { text }) => print(&text).into(),
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
    if let Task::Store(member) = invocation.task {
        return store::store(*member, invocation.dialect);
    }
    if let Task::Proxy(settings) = &invocation.task {
        return proxy::proxy(settings, invocation.dialect);
    }
    // One thread runs everything that waits; rendering starts its own threads.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_stack_size(THREAD_STACK_BYTES)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return commands::could_not_run(&error.into()),
    };
    let exit = runtime.block_on(async {
        let Invocation { task, dialect, source, reloader, output, .. } = invocation;
        match task {
            Task::Render => commands::render(source, reloader, output).await,
            Task::Watch(follow) => commands::watch(source, reloader, follow).await,
            Task::Diff { output, context, colour } => {
                commands::diff(source, reloader, output, context, colour).await
            }
            Task::Check(what) => check::check(&reloader, &what).await,
            Task::Backup(what) => backup::backup(source, *what).await,
            Task::Restore(what) => backup::restore(*what).await,
            Task::Register(what) => register::register(source, *what, dialect).await,
            Task::RegisterStatus(what) => register::status(*what, output).await,
            Task::RegisterStop(what) => register::stop(*what).await,
            Task::Place(what) => place::place(source, *what, output).await,
            Task::Store(_) | Task::Proxy(_) => unreachable!("a store has a runtime of its own"),
        }
    });
    // A blocking look-up (DNS in a template) must not delay the exit.
    runtime.shutdown_background();
    exit
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
