//! Writing to stdout and stderr.
//!
//! A reader who closes the pipe early (`snel eval … | head`) is no fault of ours: nothing is done
//! about a failed write.

use std::io::Write;

use serde::Serialize;

/// A line on stdout: a report.
pub(crate) fn out(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A line on stderr: a message.
pub(crate) fn err(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// One JSON document on stdout; NaN and infinities are `null`.
pub(crate) fn json(document: &impl Serialize) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => out(&text),
        Err(error) => err(&format!("error: the report cannot be written as JSON: {error}")),
    }
}

/// Rows of two columns, the first one padded.
pub(crate) fn table(rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        out(&format!("{name:width$}  {value}"));
    }
}

/// A count with thin groups of three digits, as in `1 000 000`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(" ")
}

/// Names of columns, in short if they are many.
pub(crate) fn names(columns: &[String]) -> String {
    const MOST: usize = 30;
    match columns {
        [first, second, .., last] if columns.len() > MOST => {
            format!("{} columns: {first}, {second}, …, {last}", count(columns.len() as u64))
        }
        _ => columns.join(", "),
    }
}

/// A number in a column twelve wide; with an exponent where digits would not fit or not show.
pub(crate) fn cell(v: f64) -> String {
    let plain = v == 0.0 || (1e-3..1e5).contains(&v.abs());
    if plain { format!("{v:>12.5}") } else { format!("{v:>12.4e}") }
}

/// A size in binary units.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (n.max(1).ilog2() / 10).min(4);
    let value =
        n as f64 / f64::from(1u32 << (10 * power.min(3))) / if power > 3 { 1024.0 } else { 1.0 };
    if power == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[power as usize]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(cell(-2.5), "    -2.50000");
        assert_eq!(cell(1e300), "  1.0000e300");
        assert_eq!(cell(-1.25e-7), "  -1.2500e-7");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 40), "5.0 TiB");
    }
}
