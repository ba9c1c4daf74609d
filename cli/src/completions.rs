//! `tidegate completions`.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::fault::{Ending, Exit};
use crate::out::Out;

/// The completions of a shell, to be put where it looks for them
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// `line` is what they are the completions of.
pub(crate) fn run(args: &CompletionsArgs, mut line: Command, out: &mut Out) -> Ending {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut line, "tidegate", &mut script);
    out.write(&String::from_utf8_lossy(&script));
    Ok(Exit::Fine)
}
