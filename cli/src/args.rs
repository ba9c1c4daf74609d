//! What can be written on the command line. Each subcommand's own options stand in its own file.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{bench, completions, doctor, inspect, invalidate, lint, queue, stats, top};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes: 0 fine, 1 something was found or was not there, 2 bad arguments, 3 the server cannot be reached.
TIDEGATE_URL and TIDEGATE_SERVICE stand for --url and --service. More: docs/command.md";

/// Looks into a tidegate cache, mends it, and says what is wrong with its server.
#[derive(Debug, Parser)]
#[command(name = "tidegate", bin_name = "tidegate", version, styles = STYLES, after_help = EXIT_CODES, max_term_width = 110)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) look: Look,
    #[command(subcommand)]
    pub(crate) sub: Sub,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sub {
    Inspect(inspect::InspectArgs),
    Invalidate(invalidate::InvalidateArgs),
    Queue(queue::QueueArgs),
    Stats(stats::StatsArgs),
    Top(top::TopArgs),
    Doctor(doctor::DoctorArgs),
    Bench(bench::BenchArgs),
    Lint(lint::LintArgs),
    Completions(completions::CompletionsArgs),
}

/// How the answer looks; every subcommand takes it.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// The answer as JSON
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Colour: on a terminal without NO_COLOR, always, or never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = "Output")]
    pub(crate) color: When,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}

/// Which server.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// redis://, rediss://, redis+unix://, redis-sentinel:// or redis-cluster://
    #[arg(
        long,
        env = "TIDEGATE_URL",
        hide_env = true,
        hide_env_values = true,
        default_value = "redis://localhost:6379/0"
    )]
    pub(crate) url: String,
    /// The authorities that may sign the server's certificate (PEM); the system's by default
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The client's certificate (PEM), for servers that ask for one
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long = "key", id = "key_file", value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// How long to wait for one answer of the server, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) timeout: f64,
}

/// Whose keys.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct SpaceArgs {
    /// The service, first segment of each of its keys
    #[arg(long, env = "TIDEGATE_SERVICE", hide_env = true, required = true)]
    pub(crate) service: String,
    /// The version of the key space, the manager's `version`; by default the newest that the service uses
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) key_version: Option<u32>,
    /// The tenant, as given to tenant()
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
}

/// A time above zero and below a day.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('s').parse() {
        Ok(number) if (0.001..=86_400.0).contains(&number) => Ok(number),
        _ => Err("a number of seconds from 0.001 to 86400 is taken; a right example: 5".into()),
    }
}
