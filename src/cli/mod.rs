//! The command-line tool: arguments, printing, exit codes. What it does is in the library.
//!
//! Exit code 0, 1 after an error (one line `error: ...` on stderr), 2 for a command line that cannot be meant.

mod args;
mod bench;
mod compare;
mod convert;
mod devices;
mod inspect;
mod output;
mod progress;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Error;
use args::Cli;
use args::Command;

/// Why a command failed.
enum Failure {
    /// The command line cannot be meant: exit code 2.
    Usage(String),
    /// The work failed: exit code 1.
    Work(Error),
    /// Standard output is gone; a closed pipe is no error of ours.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Work(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs the tool with the arguments `args`, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        // Help and version are "errors" that belong on stdout and succeed.
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    match execute(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(e)) => fail(1, &format!("cannot write to standard output: {e}")),
        Err(Failure::Work(e)) => fail(1, &e.to_string()),
        Err(Failure::Usage(message)) => fail(2, &message),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    // A file's text may end up in a message: one line stays one line, and no terminal obeys it.
    eprintln!("error: {}", message.replace(char::is_control, " "));
    ExitCode::from(code)
}

fn execute(cli: &Cli) -> Result<(), Failure> {
    if let Some(threads) = cli.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| Failure::Usage(format!("--threads {threads}: {e}")))?;
        return pool.install(|| command(cli));
    }
    command(cli)
}

fn command(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Quantize(args) => convert::quantize(args, cli.json),
        Command::Dequantize(args) => convert::dequantize(args, cli.json),
        Command::Inspect(args) => inspect::inspect(args, cli.json),
        Command::Compare(args) => compare::compare(args, cli.json),
        Command::Bench(args) => bench::bench(args, cli.json),
        Command::Devices => devices::devices(cli.json),
    }
}
