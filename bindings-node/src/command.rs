//! The `tidegate` command, in this process.

use napi_derive::napi;
use tidegate_guard::guarded;

/// Runs a command line, its program's name first, and gives its exit code. The loop stands still meanwhile.
#[guarded]
#[napi]
pub fn run_command(args: Vec<String>) -> i32 {
    tidegate_cli::run(args.into_iter().map(Into::into).collect())
}
