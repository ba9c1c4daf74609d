//! `tidegate bench`.

use clap::Args;

use crate::args::ServerArgs;
use crate::fault::{Ending, Exit};
use crate::out::Out;

/// How fast this server is from here
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(_: &BenchArgs, _: &mut Out) -> Ending {
    Ok(Exit::Fine)
}
