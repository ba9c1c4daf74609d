//! `tidegate completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::fault::{Ending, Exit};
use crate::out::Out;

/// The completions of a shell, to be put where it looks for them
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, out: &mut Out) -> Ending {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    out.write(&String::from_utf8_lossy(&script));
    Ok(Exit::Fine)
}
