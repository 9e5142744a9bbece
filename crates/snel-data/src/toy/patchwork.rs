//! A regression of four pieces (after the second of Gustafsson, Danelljan, Bhat, Schön 2020), `x`
//! uniform on [0, 1]:
//!
//! | `x` from, of 38 | `y` |
//! |---|---|
//! | 0 | `0.5 + 5 B`, the root of `B` uniform on [0.1, 1]: piled up at its lower end |
//! | 8 | normal around `m = 3 cos(t) - 2`, `t` from 0 to 5, with deviation `|m| / 4 + 0.05` |
//! | 18 | uniform between ends that move from -2 to -4.5 and from -0.5 to 9 |
//! | 23 | one of three boxes: [8, 8.5], [1, 4], [-4.5, -3] |

use super::draw::Draw;
use super::log_normal;

/// Where the pieces begin, and the last one ends.
const EDGES: [f64; 5] = [0.0, 8.0 / 38.0, 18.0 / 38.0, 23.0 / 38.0, 1.0];
const BOXES: [[f64; 2]; 3] = [[8.0, 8.5], [1.0, 4.0], [-4.5, -3.0]];

/// The piece of `x` and how far within it `x` is, 0 to 1.
fn place(x: f64) -> (usize, f64) {
    let piece = (1..4).rev().find(|&k| x >= EDGES[k]).unwrap_or(0);
    (piece, (x - EDGES[piece]) / (EDGES[piece + 1] - EDGES[piece]))
}

fn wave(t: f64) -> (f64, f64) {
    let mean = 3.0 * (5.0 * t).cos() - 2.0;
    (mean, 0.25 * mean.abs() + 0.05)
}

fn ends(t: f64) -> [f64; 2] {
    [-2.0 - 2.5 * t, -0.5 + 9.5 * t]
}

pub(super) fn sample(draw: &mut Draw) -> [f64; 2] {
    let [x, u, which, _] = draw.uniforms();
    let [z, ..] = draw.normals();
    let within = |[low, high]: [f64; 2]| low + (high - low) * u;
    let y = match place(x) {
        (0, _) => 0.5 + 5.0 * (0.1 + 0.9 * u).powi(2),
        (1, t) => {
            let (mean, sd) = wave(t);
            mean + sd * z
        }
        (2, t) => within(ends(t)),
        _ => within(BOXES[((3.0 * which) as usize).min(2)]),
    };
    [x, y]
}

/// Log-density of `y` given `x`.
pub(super) fn conditional(x: f64, y: f64) -> f64 {
    let uniform = |[low, high]: [f64; 2]| {
        if (low..=high).contains(&y) { -(high - low).ln() } else { f64::NEG_INFINITY }
    };
    match place(x) {
        (0, _) => {
            let b = (y - 0.5) / 5.0;
            let inside = (0.01..=1.0).contains(&b);
            if inside { -(9.0 * b.sqrt()).ln() } else { f64::NEG_INFINITY }
        }
        (1, t) => {
            let (mean, sd) = wave(t);
            log_normal(y, mean, sd)
        }
        (2, t) => uniform(ends(t)),
        _ => {
            let log = BOXES.into_iter().map(uniform).fold(f64::NEG_INFINITY, f64::max);
            log - 3.0f64.ln()
        }
    }
}

/// Log-density of `x`.
pub(super) fn marginal(x: f64) -> f64 {
    if (0.0..=1.0).contains(&x) { 0.0 } else { f64::NEG_INFINITY }
}
