//! `tidegate doctor`.

mod finding;
mod node;
mod place;
mod rights;
mod storage;
mod told;

use clap::{Args, ValueEnum};
use serde_json::json;
use tidegate::store::redis::console::Console;

use self::finding::{Finding, Severity};
use crate::args::ServerArgs;
use crate::fault::{Ending, Exit};
use crate::out::{BAD, DIM, GOOD, HEAD, NAME, Out, WARN};
use crate::text::{count, visible};

/// What is wrong with the server, why it matters and how to mend it
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all is well (notes apart, without --strict), 1 there are warnings or errors, 3 no server.
It changes nothing: what it says to do is for you to do.

Examples:
  tidegate doctor --service billing
  tidegate doctor --for queue --url rediss://app:secret@redis.internal --service billing --strict")]
pub(crate) struct DoctorArgs {
    /// What the server is there for: what is right for a cache is wrong for a queue of write-behind
    #[arg(long = "for", value_name = "USE", default_value = "cache")]
    used_for: UsedFor,
    /// Notes count as well: exit 1 for them
    #[arg(long)]
    strict: bool,
    /// The service whose keys the user of the URL has to be allowed
    #[arg(long, env = "TIDEGATE_SERVICE", hide_env = true, help_heading = "Keys")]
    service: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UsedFor {
    Cache,
    Queue,
}

impl UsedFor {
    fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Queue => "queue",
        }
    }
}

pub(crate) fn run(args: &DoctorArgs, out: &mut Out) -> Ending {
    if let Some(service) = &args.service {
        tidegate::key::KeySpace::new(service, 1)?;
    }
    let console = args.server.console()?;
    let mut findings = examine(&console, args);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let worst = findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok);
    if out.json {
        out.json(&json!({
            "url": console.shown_url(),
            "for": args.used_for.name(),
            "worst": worst.name(),
            "findings": findings.iter().map(Finding::as_json).collect::<Vec<_>>(),
        }));
    } else {
        show(&console, args, &findings, out);
    }
    let least = if args.strict { Severity::Note } else { Severity::Warning };
    Ok(if worst >= least { Exit::Found } else { Exit::Fine })
}

fn examine(console: &Console, args: &DoctorArgs) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, server) in console.servers().iter().enumerate() {
        node::examine(console, number, server, args.used_for, &mut findings);
    }
    place::examine(console, &mut findings);
    place::security(console, &mut findings);
    match &args.service {
        Some(service) => rights::examine(console, service, args.used_for, &mut findings),
        None => findings.push(
            Finding::note("rights", "were not checked: no service was given")
                .mend("add --service NAME, so that the rights on its keys and commands are checked"),
        ),
    }
    findings
}

fn show(console: &Console, args: &DoctorArgs, findings: &[Finding], out: &mut Out) {
    let title = out.paint(HEAD, format!("{} as a {}", visible(&console.shown_url()), args.used_for.name()));
    out.line(title);
    for finding in findings {
        let style = match finding.severity {
            Severity::Ok => GOOD,
            Severity::Note => NAME,
            Severity::Warning => WARN,
            Severity::Error => BAD,
        };
        let severity = out.paint(style, format!("{:<8}", finding.severity.name()));
        let place = match &finding.server {
            Some(server) if console.servers().len() > 1 => out.paint(DIM, format!(" ({})", visible(server))),
            _ => String::new(),
        };
        out.line(format!("{severity} {:<13} {}{place}", finding.check, visible(&finding.what)));
        for (name, text) in [("why", &finding.why), ("mend", &finding.mend)] {
            if let Some(text) = text {
                let name = out.paint(DIM, format!("{name:<13}"));
                out.line(format!("         {name} {}", visible(text)));
            }
        }
    }
    let of = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let sums = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Note, "note")];
    let sum = sums.map(|(severity, name)| count(of(severity), name)).join(", ");
    let sum = out.paint(DIM, sum);
    out.line(sum);
}
