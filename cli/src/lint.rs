//! `tidegate lint`, which is a program of its own: its parsers weigh more than all that is here. The packages start it themselves,
//! where `lint` comes first; it is found here by cargo's users, and where other options stand before it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::Command;

use clap::Args;

use crate::fault::{Ending, Exit, Fault};

const PROGRAM: &str = if cfg!(windows) { "tidegate-lint.exe" } else { "tidegate-lint" };

/// Checks the cache keys in Python, JavaScript and TypeScript sources
///
/// Its own options: tidegate lint --help
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct LintArgs {
    /// Files, folders and options
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PATHS")]
    args: Vec<OsString>,
}

pub(crate) fn run(args: &LintArgs) -> Ending {
    let beside = std::env::current_exe().ok().and_then(|here| Some(here.parent()?.join(PROGRAM)));
    let program =
        beside.filter(|path| path.is_file()).map_or_else(|| PROGRAM.into(), std::path::PathBuf::into_os_string);
    match Command::new(program).args(&args.args).status() {
        Ok(status) => Ok(match status.code() {
            Some(0) => Exit::Fine,
            Some(1) => Exit::Found,
            _ => Exit::Usage,
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Fault::usage(format!("{PROGRAM} is not on the path"))
            .hint(
                "install it: pip install \"tidegate[lint]\", npm install tidegate-lint, or cargo install tidegate-lint",
            )),
        Err(error) => Err(Fault::usage(format!("{PROGRAM} cannot be run: {error}"))),
    }
}
