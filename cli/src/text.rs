//! Times, sizes and hostile bytes as people read them.

/// Milliseconds since 1970 as `2026-11-26 09:10:11.123 UTC`.
pub(crate) fn utc(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    // Years end with February here, so that a leap day is the last of its year; 400 of them are an era.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, thousandths) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{thousandths:03} UTC")
}

/// A length of time by its two largest units: `850ms`, `12.3s`, `4m 12s`, `2d 3h`.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{}s", ms / 1_000, ms / 100 % 10),
        60_000..3_600_000 => format!("{}m {}s", ms / 60_000, ms / 1_000 % 60),
        3_600_000..86_400_000 => format!("{}h {}m", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{}d {}h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// `in 4m 12s`, or `3.0s ago`.
pub(crate) fn from_now(ms: u64, now_ms: u64) -> String {
    if ms >= now_ms { format!("in {}", span(ms - now_ms)) } else { format!("{} ago", span(now_ms - ms)) }
}

/// A time both ways.
pub(crate) fn when(ms: u64, now_ms: u64) -> String {
    format!("{}, {}", utc(ms), from_now(ms, now_ms))
}

/// `72 B`, `1.2 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1_024.0 {
            break;
        }
        value /= 1_024.0;
        unit = larger;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// `1 key`, `2 keys`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// A text without anything that a terminal would act on: control characters, and those that turn the direction of writing.
pub(crate) fn visible(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        let is_hostile = letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if is_hostile { safe.extend(letter.escape_default()) } else { safe.push(letter) }
    }
    safe
}

/// The same of bytes; those that are no UTF-8 as `\xNN`.
pub(crate) fn visible_bytes(bytes: &[u8]) -> String {
    let mut safe = String::new();
    for chunk in bytes.utf8_chunks() {
        safe.push_str(&visible(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| safe.push_str(&format!("\\x{byte:02x}")));
    }
    safe
}

/// The same of a text of several lines.
pub(crate) fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00.000 UTC");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00.000 UTC");
        assert_eq!(utc(1_732_612_345_678), "2024-11-26 09:12:25.678 UTC");
        assert_eq!(utc(4_107_542_399_999), "2100-02-28 23:59:59.999 UTC");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01 00:00:00.000 UTC");
    }

    #[test]
    fn spans_have_two_units() {
        let cases =
            [(850, "850ms"), (12_340, "12.3s"), (252_000, "4m 12s"), (7_260_000, "2h 1m"), (183_600_000, "2d 3h")];
        for (ms, expected) in cases {
            assert_eq!(span(ms), expected);
        }
        assert_eq!((from_now(5_000, 2_000), from_now(2_000, 5_000)), ("in 3.0s".into(), "3.0s ago".into()));
        assert_eq!((size(72), size(1_229)), ("72 B".into(), "1.2 KiB".into()));
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_act_on() {
        assert_eq!(visible("a\u{1b}[31mb\u{9b}c\u{202e}ä\n"), "a\\u{1b}[31mb\\u{9b}c\\u{202e}ä\\n");
        assert_eq!(visible_bytes(b"ok\xff\x1b"), "ok\\xff\\u{1b}");
        assert_eq!(visible_lines("a\r\nb"), "a\\r\nb");
    }
}
