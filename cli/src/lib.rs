//! The `tidegate` command. Python's `tidegate` script and npm's `bin` call [`run`] in their own process; cargo's users have
//! it as a program.
//!
//! | file | owns |
//! |---|---|
//! | `line`, `args` | what can be written on the command line, and the options that several subcommands have |
//! | `fleet` | what processes tell of themselves |
//! | `fault` | what ends a command, with its exit code |
//! | `out` | standard output: colour, JSON, a reader that has gone away |
//! | `payload` | values as people read them |
//! | `progress` | a bar for what takes long |
//! | `text` | times, sizes and hostile bytes as people read them |
//! | `server` | from the options to a server and a manager |
//! | each other one | the subcommand of its name |

mod args;
mod bench;
mod completions;
mod doctor;
mod fault;
mod fleet;
mod inspect;
mod invalidate;
mod line;
mod lint;
mod out;
mod payload;
mod progress;
mod queue;
mod server;
mod stats;
mod text;
mod top;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use self::fault::Ending;
use self::line::{Cli, Sub};
use self::out::Out;

/// Runs one command line, `args[0]` the program's name, and gives its exit code: 0 fine, 1 something was found or was not
/// there, 2 bad arguments, 3 no server.
///
/// Writes to the process's standard output and error, and leaves signals as they are: a host that catches SIGINT gives it
/// back its default first, so that Ctrl-C ends the process.
pub fn run(args: Vec<OsString>) -> i32 {
    let color = out::asked_color(&args);
    let parsed = Cli::command().try_get_matches_from(args).and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(told) => {
            out::tell(&told.render(), color, told.use_stderr());
            return told.exit_code();
        }
    };
    let mut out = Out::new(cli.look.color, cli.look.json);
    let ending: Ending = match cli.sub {
        Sub::Inspect(args) => inspect::run(&args, &mut out),
        Sub::Invalidate(args) => invalidate::run(&args, &mut out),
        Sub::Queue(args) => queue::run(&args, &mut out),
        Sub::Stats(args) => stats::run(&args, &mut out),
        Sub::Top(args) => top::run(&args, &mut out),
        Sub::Doctor(args) => doctor::run(&args, &mut out),
        Sub::Bench(args) => bench::run(&args, &mut out),
        Sub::Lint(args) => lint::run(&args),
        Sub::Completions(args) => completions::run(&args, Cli::command(), &mut out),
    };
    let exit = ending.unwrap_or_else(|fault| {
        out.fault(&fault);
        fault.exit
    });
    out.flush();
    exit.code()
}
