//! The options that several subcommands have.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
