//! The picture of `tidegate top`: a head, two histories, a table. Drawn on a terminal, or as text from the same cells.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row as TableRow, Sparkline, Table, Wrap};

use super::rates::{Order, Rate, Rates, Row};
use crate::fleet::{FleetArgs, percent};
use crate::stats::{Total, ms};
use crate::text::{count, size, visible};

/// Under this share of hits a rate is worth a look, as in the alert rules.
const HIT_RATE_LOW: f64 = 0.6;

pub(super) struct Shown<'a> {
    pub(super) args: &'a FleetArgs,
    pub(super) rates: &'a Rates,
    pub(super) rows: &'a [Row],
    pub(super) total: &'a Total,
    pub(super) order: Order,
    /// Why nothing is known just now.
    pub(super) fault: &'a Option<String>,
    /// Why there may be no row.
    pub(super) nobody: &'a str,
}

const COLUMNS: [(&str, u16); 12] = [
    ("language", 8),
    ("role", 9),
    ("v", 2),
    ("hit rate", 8),
    ("req/s", 9),
    ("miss/s", 8),
    ("wait/s", 7),
    ("err/s", 7),
    ("p50", 8),
    ("p99", 8),
    ("L1", 9),
    ("breaker", 9),
];

pub(super) fn draw(frame: &mut Frame<'_>, shown: &Shown<'_>) {
    let [head, histories, table, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Length(5), Constraint::Min(3), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(Paragraph::new(head_of(shown)), head);
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(histories);
    let rates = shown.rates;
    history(frame, left, "hit rate", rates.hit_rates.iter(), 1_000, Color::Green);
    let most = rates.misses.iter().max().copied().unwrap_or(0).max(1);
    history(frame, right, &format!("misses a second, up to {most}"), rates.misses.iter(), most, Color::Yellow);
    match (shown.fault, shown.rows) {
        (Some(fault), _) => frame.render_widget(Paragraph::new(visible(fault)).red(), table),
        (None, []) => frame.render_widget(Paragraph::new(shown.nobody).wrap(Wrap { trim: true }), table),
        (None, rows) => frame.render_widget(table_of(rows, shown.order), table),
    }
    let keys = format!("q end  s sort (by {})  r read anew", shown.order.name());
    frame.render_widget(Paragraph::new(keys).dim(), foot);
}

/// The table as lines of text, for those who read them elsewhere.
pub(super) fn as_text(service: &str, rates: &Rates, rows: &[Row], total: &Total) -> Vec<String> {
    let widest = rows.iter().map(|row| row.process.name().chars().count()).max().unwrap_or(0).max(7);
    let mut lines = summary(service, rows.len(), &rates.whole(rows), total);
    let line = |name: &str, cells: [String; 12]| {
        let mut line = format!("{name:<widest$}");
        for (cell, (_, width)) in cells.iter().zip(COLUMNS) {
            let width = usize::from(width);
            line.push_str(&format!(" {cell:>width$}"));
        }
        line
    };
    lines.push(line("process", COLUMNS.map(|(title, _)| title.to_owned())));
    lines.extend(rows.iter().map(|row| line(&row.process.name(), cells(row))));
    lines
}

/// Two lines: what the fleet does, and what should be looked at.
fn summary(service: &str, processes: usize, whole: &Rate, total: &Total) -> Vec<String> {
    let (service, managers) = (visible(service), count(processes as u64, "manager"));
    let first = match whole.hit_rate {
        Some(rate) => format!(
            "{service}: {managers}, {:.0} requests and {:.0} misses a second, hit rate {}",
            whole.requests,
            whole.misses,
            percent(Some(rate))
        ),
        // One look tells of no second; and there may have been no request.
        None => format!("{service}: {managers}, hit rate {} since they began", percent(total.hit_rate())),
    };
    vec![
        first,
        format!(
            "p99 up to {}, {} open, {} unconfirmed, {:.1} errors and {:.1} reads without Redis a second",
            ms(total.p99_ms),
            count(total.broken as u64, "breaker"),
            count(total.journal, "invalidation"),
            whole.errors,
            whole.unavailable
        ),
    ]
}

fn head_of(shown: &Shown<'_>) -> Vec<Line<'static>> {
    let whole = shown.rates.whole(shown.rows);
    let lines = summary(&shown.args.service, shown.rows.len(), &whole, shown.total);
    let is_bad = shown.total.broken > 0;
    let styles = [Style::new().add_modifier(Modifier::BOLD), if is_bad { Style::new().red() } else { Style::new() }];
    lines.into_iter().zip(styles).map(|(text, style)| Line::from(Span::styled(text, style))).collect()
}

fn history<'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    values: impl DoubleEndedIterator<Item = &'a u64>,
    most: u64,
    color: Color,
) {
    let block = Block::bordered().title(title.to_owned());
    let room = usize::from(block.inner(area).width);
    // The newest at the right.
    let mut newest: Vec<u64> = values.rev().take(room).copied().collect();
    newest.resize(room, 0);
    newest.reverse();
    frame.render_widget(Sparkline::default().block(block).data(newest).max(most).style(color), area);
}

fn cells(row: &Row) -> [String; 12] {
    let figures = &row.process.figures;
    let second =
        |of: fn(&Rate) -> f64| row.rate.as_ref().map_or_else(|| "-".to_owned(), |rate| format!("{:.1}", of(rate)));
    [
        visible(&figures.language),
        visible(&figures.role),
        figures.version.to_string(),
        percent(row.hit_rate()),
        second(|rate| rate.requests),
        second(|rate| rate.misses),
        second(|rate| rate.waits),
        second(|rate| rate.errors),
        ms(figures.p50_ms),
        ms(figures.p99_ms),
        size(figures.l1_bytes),
        visible(&figures.breaker),
    ]
}

fn table_of(rows: &[Row], order: Order) -> Table<'static> {
    let titles = std::iter::once("process").chain(COLUMNS.map(|(title, _)| title));
    let head = titles.map(|title| {
        let cell = Cell::from(title);
        if title == order.name() { cell.style(Style::new().underlined()) } else { cell }
    });
    let of_row = |row: &Row| {
        let is_low = row.hit_rate().is_some_and(|rate| rate < HIT_RATE_LOW);
        let is_open = row.process.figures.breaker != "closed";
        let has_errors = row.rate.is_some_and(|rate| rate.errors > 0.0);
        let styled = cells(row).into_iter().zip(COLUMNS).map(|(text, (title, _))| {
            let is_bad = match title {
                "hit rate" => is_low,
                "breaker" => is_open,
                "err/s" => has_errors,
                _ => false,
            };
            if is_bad { Cell::from(text).style(Style::new().red()) } else { Cell::from(text) }
        });
        TableRow::new(std::iter::once(Cell::from(row.process.name())).chain(styled))
    };
    let widths = std::iter::once(Constraint::Min(12)).chain(COLUMNS.map(|(_, width)| Constraint::Length(width)));
    Table::new(rows.iter().map(of_row).collect::<Vec<_>>(), widths).header(TableRow::new(head).bold())
}

#[cfg(test)]
mod tests {
    use super::super::rates::tests::process;
    use super::*;
    use crate::fleet::Process;
    use clap::Parser;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        fleet: FleetArgs,
    }

    fn picture(processes: &[Vec<Process>], fault: Option<&str>) -> String {
        let args = Line::parse_from(["top", "--service", "billing"]).fleet;
        let (mut rates, mut rows) = (Rates::default(), Vec::new());
        for look in processes {
            rows = rates.take(look.clone(), Order::Misses);
        }
        let total = Total::of(processes.last().map_or(&[][..], |look| look));
        let fault = fault.map(str::to_owned);
        let (order, nobody) = (Order::Misses, "No process of billing tells of itself.");
        let shown = Shown { args: &args, rates: &rates, rows: &rows, total: &total, order, fault: &fault, nobody };
        let mut terminal = Terminal::new(TestBackend::new(130, 14)).expect("a picture");
        terminal.draw(|frame| draw(frame, &shown)).expect("drawn");
        terminal.backend().to_string()
    }

    #[test]
    fn a_fleet_is_seen_at_a_glance() {
        let mut broken = process("web-2", 2_000, 60, 140);
        broken.figures.breaker = "open".into();
        let looks = [
            vec![process("web-1", 1_000, 0, 0), process("web-2", 1_000, 0, 0)],
            vec![process("web-1", 2_000, 950, 50), broken],
        ];
        let picture = picture(&looks, None);
        let line = |wanted: &str| {
            let line =
                picture.lines().find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("{wanted} in {picture}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert!(line("billing:").contains("2 managers, 1200 requests and 190 misses a second, hit rate 84.2 %"));
        assert!(line("unconfirmed").contains("1 breaker open"));
        assert!(line("web-1:7").contains("95.0 % 1000.0 50.0"));
        assert!(line("web-2:7").contains("30.0 % 200.0 140.0") && line("web-2:7").contains("open"));
        let at = |name: &str| picture.find(name).expect("it is there");
        assert!(at("web-2:7") < at("web-1:7"), "by misses");
        assert!(picture.contains('█') && picture.contains("sort (by miss/s)"));
    }

    #[test]
    fn nobody_and_a_server_that_is_away_are_said() {
        assert!(picture(&[], None).contains("No process of billing tells of itself"));
        assert!(picture(&[], Some("connection refused\u{1b}[2J")).contains("connection refused\\u{1b}[2J"));
    }

    #[test]
    fn text_has_the_same_rows() {
        let mut rates = Rates::default();
        let rows = rates.take(vec![process("web-1", 1_000, 9, 1)], Order::Name);
        let lines = as_text("billing", &rates, &rows, &Total::of(&[process("web-1", 1_000, 9, 1)]));
        assert_eq!(lines.len(), 4);
        assert!(
            lines[0] == "billing: 1 manager, hit rate 90.0 % since they began"
                && lines[2].starts_with("process")
                && lines[3].starts_with("web-1:7")
        );
    }
}
