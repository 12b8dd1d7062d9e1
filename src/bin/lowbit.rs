//! The `lowbit` tool: glue around [`lowbit::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lowbit::cli::run(std::env::args_os())
}
