//! `tidegate doctor`.

use clap::Args;

use crate::args::ServerArgs;
use crate::fault::{Ending, Exit};
use crate::out::Out;

/// What is wrong with the server, why it matters and how to mend it
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(_: &DoctorArgs, _: &mut Out) -> Ending {
    Ok(Exit::Fine)
}
