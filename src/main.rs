//! Words in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    retune::app::main(std::env::args_os().collect())
}
