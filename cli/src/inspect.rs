//! `tidegate inspect`.

use clap::Args;

use crate::args::ServerArgs;
use crate::fault::{Ending, Exit};
use crate::out::Out;

/// What is stored at a key, and whether a reader would count it
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(_: &InspectArgs, _: &mut Out) -> Ending {
    Ok(Exit::Fine)
}
