//! `tidegate queue`.

use clap::Args;

use crate::args::ServerArgs;
use crate::fault::{Ending, Exit};
use crate::out::Out;

/// The queues of write-behind
#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(_: &QueueArgs, _: &mut Out) -> Ending {
    Ok(Exit::Fine)
}
