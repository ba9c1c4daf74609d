//! The command line as a whole. Each subcommand's own options stand in its own file.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand};

use crate::args::Look;
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
