//! `tidegate-lint`: what `tidegate lint` runs.

use std::io::{BufWriter, stdout};
use std::process::ExitCode;

use clap::Parser;
use tidegate_lint::{LintArgs, run};

#[derive(Parser)]
#[command(name = "tidegate lint", bin_name = "tidegate lint", version, about)]
struct Command {
    #[command(flatten)]
    lint: LintArgs,
}

fn main() -> ExitCode {
    let command = Command::parse();
    ExitCode::from(run(&command.lint, &mut BufWriter::new(stdout().lock())))
}
