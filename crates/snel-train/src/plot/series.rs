//! Series of numbers made fit for drawing: cleaned, smoothed, thinned, clipped, ranged.
//!
//! Invariants
//! 1. What comes out is finite, whatever went in; points that are not finite are left out.
//! 2. An outlier never decides the range of an axis ([`robust_range`]).
//! 3. Thinning keeps the lowest and the highest value of each stretch, so no spike is hidden.

use super::number::drawable;

/// A point of a curve, in data units.
pub(super) type Xy = (f64, f64);

/// The drawable points of a series, steps as numbers.
pub(super) fn clean(series: &[(u64, f64)]) -> Vec<Xy> {
    series.iter().filter(|p| drawable(p.1)).map(|&(step, v)| (step as f64, v)).collect()
}

/// Centred moving median over about `1/40` of the series, at up to a thousand of its points.
///
/// A median, because one heavy sample can throw a single step far off, and that step is not the
/// trend. At the ends the window is what there is of it. Returns the curve and the window's length.
pub(super) fn smooth(points: &[Xy]) -> (Vec<Xy>, usize) {
    let half = points.len() / 80;
    let median = |i: usize| {
        let window = &points[i.saturating_sub(half)..(i + half + 1).min(points.len())];
        let mut values: Vec<f64> = window.iter().map(|p| p.1).collect();
        values.sort_by(f64::total_cmp);
        let middle = 0.5 * (values[(values.len() - 1) / 2] + values[values.len() / 2]);
        (points[i].0, middle)
    };
    let stride = points.len().div_ceil(1000).max(1);
    let mut curve: Vec<Xy> = (0..points.len()).step_by(stride).map(median).collect();
    if let Some(last) = points.len().checked_sub(1)
        && !last.is_multiple_of(stride)
    {
        curve.push(median(last));
    }
    (curve, 2 * half + 1)
}

/// At most about `limit` points, in order, with the extremes of every stretch kept.
pub(super) fn thin(points: &[Xy], limit: usize) -> Vec<Xy> {
    if points.len() <= limit {
        return points.to_vec();
    }
    let stretch = (2 * points.len()).div_ceil(limit.max(2));
    let mut out = Vec::with_capacity(limit + 2);
    for part in points.chunks(stretch) {
        let by_value = |a: &(usize, &Xy), b: &(usize, &Xy)| a.1.1.total_cmp(&b.1.1);
        let low = part.iter().enumerate().min_by(by_value);
        let high = part.iter().enumerate().max_by(by_value);
        if let (Some((i, a)), Some((j, b))) = (low, high) {
            out.extend(match i.cmp(&j) {
                std::cmp::Ordering::Less => vec![*a, *b],
                std::cmp::Ordering::Equal => vec![*a],
                std::cmp::Ordering::Greater => vec![*b, *a],
            });
        }
    }
    out
}

/// The parts of a curve with `lo <= y <= hi`, cut where it crosses the edges.
pub(super) fn clip(points: &[Xy], (lo, hi): (f64, f64)) -> Vec<Vec<Xy>> {
    let mut parts = Vec::new();
    let mut part: Vec<Xy> = Vec::new();
    for pair in points.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        // The piece of a..b inside the band, as fractions of the way.
        let (mut t0, mut t1) = (0.0f64, 1.0f64);
        let dy = b.1 - a.1;
        for (edge, inside) in [(lo, 1.0), (hi, -1.0)] {
            let (da, db) = ((a.1 - edge) * inside, (b.1 - edge) * inside);
            match (da < 0.0, db < 0.0) {
                (true, true) => t1 = -1.0,
                (true, false) => t0 = t0.max((edge - a.1) / dy),
                (false, true) => t1 = t1.min((edge - a.1) / dy),
                (false, false) => {}
            }
        }
        if t0 > t1 {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        let at = |t: f64| (a.0 + t * (b.0 - a.0), (a.1 + t * dy).clamp(lo, hi));
        if part.is_empty() {
            part.push(at(t0));
        }
        part.push(at(t1));
        if t1 < 1.0 {
            parts.push(std::mem::take(&mut part));
        }
    }
    parts.push(part);
    parts.retain(|p| p.len() > 1);
    parts
}

/// A closed outline cut to `lo <= y <= hi` (Sutherland and Hodgman, for two edges).
pub(super) fn clip_outline(outline: &[Xy], (lo, hi): (f64, f64)) -> Vec<Xy> {
    let mut points = outline.to_vec();
    for (edge, inside) in [(lo, 1.0), (hi, -1.0)] {
        let height = |p: &Xy| (p.1 - edge) * inside;
        let mut out = Vec::with_capacity(points.len() + 4);
        for (i, b) in points.iter().enumerate() {
            let a = points[(i + points.len() - 1) % points.len()];
            if (height(&a) < 0.0) != (height(b) < 0.0) {
                let t = (edge - a.1) / (b.1 - a.1);
                out.push((a.0 + t * (b.0 - a.0), edge));
            }
            if height(b) >= 0.0 {
                out.push(*b);
            }
        }
        points = out;
    }
    points
}

/// About `limit` of the items, spread evenly without the rhythm of a stride: data often repeats
/// with a period (classes in turn), and a stride would show one class only.
pub(super) fn sample<T: Copy>(items: &[T], limit: usize) -> impl Iterator<Item = T> {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let share = limit as f64 / items.len().max(1) as f64;
    let chosen = move |i: usize| share >= 1.0 || (i as f64 * GOLDEN).fract() < share;
    items.iter().enumerate().filter(move |(i, _)| chosen(*i)).map(|(_, item)| *item)
}

/// The `q`-quantile (0 to 1) of drawable values, linear between neighbours; sorts `values`.
pub(super) fn quantile(values: &mut Vec<f64>, q: f64) -> Option<f64> {
    values.retain(|v| drawable(*v));
    values.sort_unstable_by(f64::total_cmp);
    let at = q.clamp(0.0, 1.0) * values.len().checked_sub(1)? as f64;
    let (i, t) = (at.floor() as usize, at.fract());
    let next = values[(i + 1).min(values.len() - 1)];
    Some(values[i] + t * (next - values[i]))
}

/// The range of the values between their `tail` and `1 - tail` quantiles, 8 % wider on each side.
pub(super) fn robust_range(values: &mut Vec<f64>, tail: f64) -> Option<(f64, f64)> {
    let lo = quantile(values, tail)?;
    let hi = quantile(values, 1.0 - tail)?;
    Some(widen(lo, hi, 0.08))
}

/// `lo..hi` with a share of its width added on both sides; a point becomes a range around it, and
/// what is closer to zero than 1e-100 counts as zero.
pub(super) fn widen(lo: f64, hi: f64, share: f64) -> (f64, f64) {
    let (width, size) = (hi - lo, lo.abs().max(hi.abs()));
    let margin = match size {
        ..1e-100 => 1.0,
        _ if width > 1e-9 * size => width * share,
        _ => 0.1 * size,
    };
    (lo - margin, hi + margin)
}

/// The horizontal range of a training curve: from its first to its last step.
pub(super) fn step_range<'a>(curves: impl IntoIterator<Item = &'a [Xy]>) -> (f64, f64) {
    let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
    for p in curves.into_iter().flatten() {
        (lo, hi) = (lo.min(p.0), hi.max(p.0));
    }
    if lo < hi {
        (lo, hi)
    } else if lo == hi {
        ((lo - 1.0).max(0.0), hi + 1.0)
    } else {
        (0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_a_line_a_line() {
        // A centred median of a linear series is the series itself, but for the half windows at
        // the ends: there the median of 0..=5 is 2.5 steps away.
        let line: Vec<Xy> = (0..400).map(|i| (f64::from(i), 3.0 * f64::from(i))).collect();
        let (smoothed, window) = smooth(&line);
        assert_eq!(window, 11);
        assert_eq!(smoothed[5..395], line[5..395]);
        assert_eq!((smoothed[0].1, smoothed[399].1), (7.5, 1197.0 - 7.5));
        assert!(smooth(&[]).0.is_empty());
        // A wild start leaves the rest alone, and the last point is always there.
        let mut wild = vec![(0.0, 1e38)];
        wild.extend((1..100_000).map(|i| (f64::from(i), -2.0)));
        let (smoothed, _) = smooth(&wild);
        assert!(smoothed.len() <= 1001);
        assert_eq!(smoothed.last(), Some(&(99_999.0, -2.0)));
    }

    #[test]
    fn thinning_keeps_the_spikes() {
        let mut points: Vec<Xy> = (0..10_000).map(|i| (f64::from(i), 0.0)).collect();
        points[5_003].1 = 7.0;
        points[5_004].1 = -7.0;
        let thinned = thin(&points, 500);
        assert!(thinned.len() <= 502);
        assert!(thinned.contains(&(5_003.0, 7.0)) && thinned.contains(&(5_004.0, -7.0)));
        assert!(thinned.windows(2).all(|p| p[0].0 < p[1].0));
    }

    #[test]
    fn clipping_cuts_where_the_curve_crosses() {
        let parts = clip(&[(0.0, -1.0), (2.0, 1.0), (4.0, 3.0), (6.0, 1.0)], (0.0, 2.0));
        let expected = vec![vec![(1.0, 0.0), (2.0, 1.0), (3.0, 2.0)], vec![(5.0, 2.0), (6.0, 1.0)]];
        assert_eq!(parts, expected);
        // Straight through the band from below to above.
        assert_eq!(
            clip(&[(0.0, -2.0), (1.0, 4.0)], (0.0, 2.0)),
            [[(1.0 / 3.0, 0.0), (2.0 / 3.0, 2.0)]]
        );
        assert!(clip(&[(0.0, 5.0), (1.0, 6.0)], (0.0, 2.0)).is_empty());
    }

    #[test]
    fn an_outline_is_cut_where_it_leaves() {
        let triangle = [(0.0, -1.0), (2.0, 1.0), (4.0, -1.0)];
        let cut = clip_outline(&triangle, (0.0, 0.5));
        assert_eq!(cut, [(1.0, 0.0), (1.5, 0.5), (2.5, 0.5), (3.0, 0.0)]);
        assert!(clip_outline(&triangle, (2.0, 3.0)).is_empty());
    }

    #[test]
    fn a_sample_of_classes_in_turn_has_all_classes() {
        let items: Vec<usize> = (0..10_000).map(|i| i % 8).collect();
        let mut counts = [0usize; 8];
        sample(&items, 1000).for_each(|class| counts[class] += 1);
        assert!(counts.iter().all(|n| (120..=130).contains(n)), "{counts:?}");
        assert_eq!(sample(&items, 20_000).count(), 10_000);
    }

    #[test]
    fn one_outlier_does_not_widen_the_range() {
        let mut values: Vec<f64> = (0..1000).map(|i| f64::from(i) / 1000.0).collect();
        values.extend([-1e6, f64::NAN, f64::INFINITY]);
        let (lo, hi) = robust_range(&mut values, 0.01).unwrap();
        assert!(lo > -0.2 && hi < 1.2, "{lo} {hi}");
        assert_eq!(robust_range(&mut vec![f64::NAN], 0.01), None);
        let (lo, hi) = widen(0.0, 0.0, 0.1);
        assert_eq!((lo, hi), (-1.0, 1.0));
    }
}
