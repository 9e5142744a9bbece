//! Numbers as people read them on an axis: round tick positions and short labels.
//!
//! Invariants
//! 1. All ticks of an axis share one format, so that their digits line up and neighbours differ.
//! 2. Positions and labels are finite for any finite range; nothing here panics.

/// Values above this are treated like infinity: their differences would overflow.
const LARGEST: f64 = 1e150;

/// Whether a value can be drawn.
pub(super) fn drawable(v: f64) -> bool {
    v.is_finite() && v.abs() < LARGEST
}

/// How the labels of one axis are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Style {
    /// `-2.50`
    Fixed { decimals: usize },
    /// `2.5`, with `×10⁻⁷` beside the axis name ([`Style::factor`]).
    Scientific { decimals: usize, exponent: i32 },
    /// `12.5k`, `1.2M`: counts.
    Count,
    /// The value is the base-ten logarithm of 1, 2 or 5 times a power of ten: `0.02`, `10⁻⁵`.
    PowerOfTen,
}

impl Style {
    /// The label of a tick at `v`.
    pub(super) fn write(self, v: f64) -> String {
        match self {
            Style::Fixed { decimals } => minus(&format!("{:.decimals$}", v + 0.0)),
            Style::Scientific { decimals, exponent } => {
                minus(&format!("{:.decimals$}", v / 10f64.powi(exponent)))
            }
            Style::Count => count(v),
            Style::PowerOfTen => power_of_ten(v),
        }
    }

    /// What the labels are to be multiplied by, to be said once beside the axis name.
    pub(super) fn factor(self) -> Option<String> {
        match self {
            Style::Scientific { exponent, .. } => Some(format!("×10{}", superscript(exponent))),
            _ => None,
        }
    }
}

/// Round tick positions inside `lo..=hi`, about `n` of them, and the style of their labels.
pub(super) fn ticks(lo: f64, hi: f64, n: usize) -> (Vec<f64>, Style) {
    let step = round_step((hi - lo) / n.max(1) as f64);
    let exponent = lo.abs().max(hi.abs()).log10().floor() as i32;
    let step_exponent = step.log10().floor() as i32;
    let style = if (-3..5).contains(&exponent) {
        Style::Fixed { decimals: (-step_exponent).clamp(0, 12) as usize }
    } else {
        Style::Scientific { decimals: (exponent - step_exponent).clamp(0, 12) as usize, exponent }
    };
    (multiples(lo, hi, step), style)
}

/// Tick positions for a count such as the training step: whole numbers, short labels.
pub(super) fn count_ticks(lo: f64, hi: f64, n: usize) -> (Vec<f64>, Style) {
    let step = round_step((hi - lo) / n.max(1) as f64).max(1.0);
    (multiples(lo, hi, step), Style::Count)
}

/// Whole exponents inside `lo..=hi` (both are base-ten logarithms), at most about ten; with 2 and 5
/// of each decade where there are at most two decades.
pub(super) fn decade_ticks(lo: f64, hi: f64) -> (Vec<f64>, Style) {
    let step = ((hi - lo) / 10.0).ceil().max(1.0);
    let mut at = multiples(lo, hi, step);
    if hi - lo <= 2.0 {
        let between = multiples(lo.floor(), hi, 1.0);
        at.extend(between.iter().flat_map(|e| [e + 2f64.log10(), e + 5f64.log10()]));
        at.retain(|t| (lo..=hi).contains(t));
        at.sort_by(f64::total_cmp);
    }
    (at, Style::PowerOfTen)
}

/// `v` with `digits` significant digits, for captions.
pub(crate) fn short(v: f64, digits: usize) -> String {
    if !v.is_finite() {
        return if v.is_nan() { "unknown".into() } else { minus(&format!("{v}")) };
    }
    if v == 0.0 {
        return "0".into();
    }
    let exponent = v.abs().log10().floor() as i32;
    let digits = digits.max(1);
    if (-4..6).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        minus(&format!("{v:.decimals$}"))
    } else {
        let text = format!("{v:.*e}", digits - 1);
        let (m, e) = text.split_once('e').unwrap_or((&text, "0"));
        minus(&format!("{m}×10{}", superscript(e.parse().unwrap_or(0))))
    }
}

/// A whole number with thin spaces between groups of three: `65 536`.
pub(crate) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{a0}');
        }
        out.push(c);
    }
    out
}

/// The multiples of `step` inside `lo..=hi`; none when the range cannot be divided.
fn multiples(lo: f64, hi: f64, step: f64) -> Vec<f64> {
    let first = (lo / step - 1e-9).ceil();
    let last = (hi / step + 1e-9).floor();
    // A range far narrower than its distance from zero has no room for distinct ticks.
    if !(last - first).is_finite() || last - first > 100.0 || first.abs() > 1e15 {
        return vec![lo, hi];
    }
    (0..=(last - first).max(0.0) as u32).map(|i| (first + f64::from(i)) * step).collect()
}

/// The round number (1, 2 or 5 times a power of ten) next above `raw`.
fn round_step(raw: f64) -> f64 {
    if !(raw > 0.0 && raw.is_finite()) {
        return 1.0;
    }
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= raw * 0.999_999);
    factor.unwrap_or(10.0) * power
}

fn count(v: f64) -> String {
    let (unit, suffix) = match v.abs() {
        a if a >= 1e9 => (1e9, "G"),
        a if a >= 1e6 => (1e6, "M"),
        a if a >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let text = format!("{:.3}", v / unit);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    minus(&format!("{text}{suffix}"))
}

fn power_of_ten(exponent: f64) -> String {
    let e = (exponent + 1e-9).floor() as i32;
    let digit = 10f64.powf(exponent - f64::from(e)).round();
    match e {
        0..=3 => format!("{}", digit * 10f64.powi(e)),
        -3..=-1 => format!("{:.*}", e.unsigned_abs() as usize, digit * 10f64.powi(e)),
        _ if digit == 1.0 => format!("10{}", superscript(e)),
        _ => format!("{digit}×10{}", superscript(e)),
    }
}

/// Typographic minus instead of the hyphen.
fn minus(text: &str) -> String {
    // "-0.00" is zero.
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.into(),
        Some(rest) => format!("−{rest}"),
        None => text.into(),
    }
}

fn superscript(n: i32) -> String {
    let digit = |c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' => '⁰',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        _ => '⁹',
    };
    n.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(lo: f64, hi: f64) -> Vec<String> {
        let (at, style) = ticks(lo, hi, 5);
        at.into_iter().map(|v| style.write(v)).collect()
    }

    #[test]
    fn labels_are_short_and_share_their_decimals() {
        assert_eq!(labels(-1.03, 0.52), ["−1.0", "−0.5", "0.0", "0.5"]);
        assert_eq!(labels(2.01, 2.043), ["2.01", "2.02", "2.03", "2.04"]);
        assert_eq!(labels(0.0, 4e-7), ["0", "1", "2", "3", "4"]);
        assert_eq!(ticks(0.0, 4e-7, 5).1.factor().as_deref(), Some("×10⁻⁷"));
        assert_eq!(Style::Count.write(12_500.0), "12.5k");
        assert_eq!(Style::PowerOfTen.write(-3.0), "0.001");
        assert_eq!(Style::PowerOfTen.write(-12.0), "10⁻¹²");
    }

    #[test]
    fn short_keeps_significant_digits() {
        assert_eq!(short(-0.012_345, 3), "−0.0123");
        assert_eq!(short(123_456.7, 4), "123457");
        assert_eq!(short(1.5e-9, 2), "1.5×10⁻⁹");
        let labels = |lo, hi| {
            let (at, style) = decade_ticks(lo, hi);
            at.into_iter().map(|t| style.write(t)).collect::<Vec<_>>()
        };
        assert_eq!(labels(-1.0, 0.0), ["0.1", "0.2", "0.5", "1"]);
        assert_eq!(labels(-5.0, -4.0), ["10⁻⁵", "2×10⁻⁵", "5×10⁻⁵", "10⁻⁴"]);
        assert_eq!(labels(-3.0, 0.0), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(short(f64::NAN, 3), "unknown");
        assert_eq!(grouped(1_065_536), "1\u{a0}065\u{a0}536");
    }

    proptest! {
        #[test]
        fn ticks_lie_inside_and_differ(a in -1e6f64..1e6, width in 1e-3f64..1e6) {
            let (at, style) = ticks(a, a + width, 6);
            prop_assert!((2..=8).contains(&at.len()), "{at:?}");
            for pair in at.windows(2) {
                prop_assert!(style.write(pair[0]) != style.write(pair[1]));
            }
            let slack = width * 1e-6;
            prop_assert!(at.iter().all(|t| (a - slack..=a + width + slack).contains(t)));
        }
    }
}
