//! `tidegate inspect`.

mod find;
mod json;
mod show;

use clap::Args;
use tidegate::payload::sign::SigningKeys;
use tidegate::protocol::envelope::Seal;

use self::find::Finder;
use crate::args::{ServerArgs, SpaceArgs};
use crate::fault::{Ending, Exit, Fault};
use crate::out::Out;
use crate::server::now_ms;

/// Bytes of a value that are shown without `--full`.
const SHOWN_BYTES: usize = 4_096;
/// Values up to this length are opened, uncompressed: as long as Redis has strings.
const OPENED_BYTES: usize = 512 << 20;

/// What is stored at a key, and whether a reader would be given it
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 something is stored there, 1 nothing is.
Signed entries are checked with the secrets in TIDEGATE_SIGNING_KEYS, one on each line.

Examples:
  tidegate inspect user:profile:42 --service billing
  tidegate inspect billing:v1:user:profile:42 --service billing --json")]
pub(crate) struct InspectArgs {
    /// The key as the program has it, or whole as it stands in Redis
    key: String,
    /// All of the value, however long it is
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    space: SpaceArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(crate) fn run(args: &InspectArgs, out: &mut Out) -> Ending {
    let seal = seal()?;
    // A bad key is told before a server is asked.
    let first = args.space.key_version.unwrap_or(1);
    args.space.key(&args.key, first)?;
    let console = args.server.console()?;
    let live = args.space.live(&console)?;
    let version = args.space.key_version.or_else(|| version_of(&args.key, &args.space.service));
    let version = version.unwrap_or_else(|| args.space.version(&live));
    let key = args.space.key(&args.key, version)?;
    let now_ms = now_ms(&console, console.server_of(key.full().as_bytes()))?;
    let space = args.space.space(version)?;
    let finder = Finder { console: &console, space: &space, seal: &seal, live: &live, version, now_ms };
    let report = finder.report(key)?;
    if out.json {
        out.json(&json::of(&report));
    } else {
        show::report(&report, if args.full { None } else { Some(SHOWN_BYTES) }, out);
    }
    Ok(if report.is_empty() { Exit::Found } else { Exit::Fine })
}

/// The version that a whole key says.
fn version_of(key: &str, service: &str) -> Option<u32> {
    let (version, _) = key.strip_prefix(service)?.strip_prefix(":v")?.split_once(':')?;
    version.parse().ok().filter(|version| *version > 0)
}

fn seal() -> Result<Seal, Fault> {
    let mut seal = Seal::plain(OPENED_BYTES);
    if let Ok(secrets) = std::env::var("TIDEGATE_SIGNING_KEYS") {
        let secrets: Vec<&str> = secrets.lines().map(str::trim).filter(|secret| !secret.is_empty()).collect();
        if !secrets.is_empty() {
            seal.keys = SigningKeys::new("TIDEGATE_SIGNING_KEYS", &secrets)?;
        }
    }
    Ok(seal)
}
