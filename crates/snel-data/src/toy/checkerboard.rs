//! The dark squares of a four by four board on [-4, 4]²: eight squares of side 2, uniform.

use super::draw::Draw;

const SIDE: f64 = 2.0;
const EDGE: f64 = 4.0;
const DARK_AREA: f64 = 32.0;

pub(super) fn sample(draw: &mut Draw) -> [f64; 2] {
    let [column, row, x, y] = draw.uniforms();
    let column = (4.0 * column) as u32;
    // Two of the four squares of a column are dark: those of its own parity.
    let row = 2 * (2.0 * row) as u32 + column % 2;
    [(f64::from(column) + x) * SIDE - EDGE, (f64::from(row) + y) * SIDE - EDGE]
}

pub(super) fn log_density(x: f64, y: f64) -> f64 {
    let inside = x.abs() <= EDGE && y.abs() <= EDGE;
    let square = |x: f64| (x / SIDE).floor() as i64;
    let dark = (square(x) + square(y)) % 2 == 0;
    if inside && dark { -DARK_AREA.ln() } else { f64::NEG_INFINITY }
}
