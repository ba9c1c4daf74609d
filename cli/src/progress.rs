//! A bar on standard error, where that is a terminal and no JSON is asked for.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::out::Out;

pub(crate) fn bar(length: u64, what: &str, out: &Out) -> ProgressBar {
    let is_seen = !out.json && stderr().is_terminal();
    let target = if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(length), target);
    let bar_of = if out.has_color_of_errors() { "{bar:30.cyan/dim}" } else { "{bar:30}" };
    let style = ProgressStyle::with_template(&format!("{{msg}} [{bar_of}] {{pos}}/{{len}} {{elapsed}}"));
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what.to_owned());
    if is_seen {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
