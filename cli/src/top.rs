//! `tidegate top`: a live view of a fleet. What a second brings is told from two reports of the same process.

mod rates;
mod view;

use std::io::{IsTerminal, stdin, stdout};
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::json;
use tidegate::store::redis::console::Console;

use self::rates::{Order, Rates};
use crate::args::seconds;
use crate::fault::{Ending, Exit, Fault};
use crate::fleet::FleetArgs;
use crate::out::Out;
use crate::stats::Total;

/// A live view of a fleet: hit rate, latency, misses and breaker of each process
///
/// Keys: q ends it, s sorts by the next column, r reads anew. Away from a terminal it writes one table, or one line of JSON, for
/// each look. Exit codes: 0, and 1 where no process tells of itself.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// How often to look, in seconds; processes tell of themselves every 5 s unless their fleet_report says otherwise
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    every: f64,
    /// How many looks to take; without a terminal, one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    #[command(flatten)]
    fleet: FleetArgs,
}

pub(crate) fn run(args: &TopArgs, out: &mut Out) -> Ending {
    let console = args.fleet.server.console()?;
    let is_live = !out.json && stdout().is_terminal() && stdin().is_terminal();
    if is_live { watch(args, &console) } else { write(args, &console, out) }
}

/// Looks that are written one after the other.
fn write(args: &TopArgs, console: &Console, out: &mut Out) -> Ending {
    let mut rates = Rates::default();
    let looks = args.count.unwrap_or(1);
    let mut found = 0;
    for look in 0..looks {
        if look > 0 {
            std::thread::sleep(Duration::from_secs_f64(args.every));
        }
        let processes = args.fleet.processes(console)?;
        found = processes.len();
        let total = Total::of(&processes);
        let rows = rates.take(processes, Order::Name);
        if out.json {
            let rows: Vec<_> = rows.iter().map(rates::Row::json).collect();
            out.write(&format!(
                "{}\n",
                json!({"service": args.fleet.service, "total": total.json(), "processes": rows})
            ));
        } else if rows.is_empty() {
            out.line(args.fleet.nobody(console));
        } else {
            for line in view::as_text(&args.fleet.service, &rates, &rows, &total) {
                out.line(line);
            }
        }
        if out.is_closed() {
            break;
        }
        out.flush();
    }
    Ok(if found == 0 { Exit::Found } else { Exit::Fine })
}

/// The terminal is given back whatever happens.
fn watch(args: &TopArgs, console: &Console) -> Ending {
    let mut terminal =
        ratatui::try_init().map_err(|error| Fault::away(format!("the terminal cannot be used: {error}")))?;
    let ending = live(args, console, &mut terminal);
    ratatui::restore();
    ending
}

fn live(args: &TopArgs, console: &Console, terminal: &mut DefaultTerminal) -> Ending {
    let lost = |error: std::io::Error| Fault::away(format!("the terminal is gone: {error}"));
    let (mut rates, mut order, mut looks) = (Rates::default(), Order::Name, 0);
    loop {
        let (processes, fault) = match args.fleet.processes(console) {
            Ok(processes) => (processes, None),
            // The view stays: the server may come back.
            Err(fault) => (Vec::new(), Some(fault.message)),
        };
        looks += 1;
        let is_empty = processes.is_empty();
        let nobody = if is_empty && fault.is_none() { args.fleet.nobody(console) } else { String::new() };
        let total = Total::of(&processes);
        let mut rows = rates.take(processes, order);
        let next = Instant::now() + Duration::from_secs_f64(args.every);
        loop {
            rates::sort(&mut rows, order);
            let (rows, total, rates) = (&rows, &total, &rates);
            let shown = view::Shown { args: &args.fleet, rates, rows, total, order, fault: &fault, nobody: &nobody };
            terminal.draw(|frame| view::draw(frame, &shown)).map_err(lost)?;
            if args.count.is_some_and(|count| looks >= count) {
                return Ok(if is_empty { Exit::Found } else { Exit::Fine });
            }
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() || !event::poll(left).map_err(lost)? {
                break;
            }
            match event::read().map_err(lost)? {
                Event::Key(key) if is_end(key) => return Ok(Exit::Fine),
                Event::Key(KeyEvent { code: KeyCode::Char('s'), kind: KeyEventKind::Press, .. }) => {
                    order = order.next();
                }
                Event::Key(KeyEvent { code: KeyCode::Char('r'), kind: KeyEventKind::Press, .. }) => break,
                _ => {}
            }
        }
    }
}

fn is_end(key: KeyEvent) -> bool {
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}
