//! Contours of a cloud of points: the smallest regions that hold a given share of them.

use contour::ContourBuilder;

use super::series::Xy;

/// Closed curves round the smallest regions of the rectangle that hold `share` of the points in it.
///
/// The points are counted in square cells and smoothed with a Gaussian of 1.6 cells.
pub(super) fn contour(points: &[Xy], x: (f64, f64), y: (f64, f64), share: f64) -> Vec<Vec<Xy>> {
    let cells = ((2.2 * (points.len() as f64).cbrt()) as usize).clamp(16, 64);
    let (dx, dy) = ((x.1 - x.0) / cells as f64, (y.1 - y.0) / cells as f64);
    let mut counts = vec![0.0; cells * cells];
    for p in points {
        let (i, j) = ((p.0 - x.0) / dx, (p.1 - y.0) / dy);
        let inside = |v: f64| v >= 0.0 && v < cells as f64;
        if inside(i) && inside(j) {
            counts[j as usize * cells + i as usize] += 1.0;
        }
    }
    let density = blur(&counts, cells);
    let Some(level) = level_of(&density, share) else { return Vec::new() };
    let builder =
        ContourBuilder::new(cells, cells, true).x_origin(x.0).y_origin(y.0).x_step(dx).y_step(dy);
    let Ok(lines) = builder.lines(&density, &[level]) else { return Vec::new() };
    lines
        .iter()
        .flat_map(contour::Line::geometry)
        .map(|ring| ring.coords().map(|c| (c.x, c.y)).collect())
        .collect()
}

/// The height above which the cells hold `share` of the sum.
fn level_of(density: &[f64], share: f64) -> Option<f64> {
    let mut sorted = density.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let total: f64 = sorted.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let mut sum = 0.0;
    sorted.into_iter().find(|d| {
        sum += d;
        sum >= share * total
    })
}

/// A Gaussian of 1.6 cells along both directions; what falls over the edge is lost.
fn blur(values: &[f64], cells: usize) -> Vec<f64> {
    const REACH: i64 = 5;
    let kernel: Vec<f64> =
        (-REACH..=REACH).map(|k| (-0.5 * (k as f64 / 1.6).powi(2)).exp()).collect();
    let norm: f64 = kernel.iter().sum();
    let along = |values: &[f64], stride: usize, other: usize| {
        let mut out = vec![0.0; values.len()];
        for line in 0..cells {
            for i in 0..cells {
                for (k, weight) in (-REACH..=REACH).zip(&kernel) {
                    let Ok(from) = usize::try_from(i as i64 + k) else { continue };
                    if from < cells {
                        let at = line * other + i * stride;
                        out[at] += weight / norm * values[line * other + from * stride];
                    }
                }
            }
        }
        out
    };
    along(&along(values, 1, cells), cells, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disc_of_points_has_a_round_contour_in_place() {
        // Sunflower points: uniform in the disc of radius 1 round (3, -2).
        let n = 20_000;
        let golden = std::f64::consts::PI * (3.0 - 5f64.sqrt());
        let points: Vec<Xy> = (0..n)
            .map(|i| {
                let (r, a) = ((f64::from(i) / f64::from(n)).sqrt(), f64::from(i) * golden);
                (3.0 + r * a.cos(), -2.0 + r * a.sin())
            })
            .collect();
        let rings = contour(&points, (1.5, 4.5), (-3.5, -0.5), 0.98);
        assert_eq!(rings.len(), 1);
        // The blur moves the edge by less than twice its width of 1.6 cells of 3/59.
        for p in &rings[0] {
            let r = (p.0 - 3.0).hypot(p.1 + 2.0);
            assert!((r - 1.0).abs() < 0.15, "{p:?} {r}");
        }
        let mean = rings[0].iter().map(|p| p.0).sum::<f64>() / rings[0].len() as f64;
        assert!((mean - 3.0).abs() < 0.04, "{mean}");
        assert!(contour(&[], (0.0, 1.0), (0.0, 1.0), 0.5).is_empty());
    }
}
