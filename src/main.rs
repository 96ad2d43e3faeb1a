//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    retune::app::main(std::env::args_os().collect())
}

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
