//! Neal's funnel (*Slice sampling*, Annals of Statistics 31, 2003, section 8): `v ~ N(0, 9)`, and
//! given `v` the others are `N(0, exp(v))`; the second numbers are variances.

use super::draw::Draw;
use super::log_normal;

const SD: f64 = 3.0;

pub(super) fn sample(dim: usize, draw: &mut Draw, points: &mut Vec<f64>) {
    let mut normals = draw.many_normals(dim);
    let v = SD * normals.next().unwrap_or_default();
    let scale = (0.5 * v).exp();
    points.push(v);
    points.extend(normals.map(|z| scale * z));
}

pub(super) fn log_density(v: f64, rest: &[f64]) -> f64 {
    let scale = (0.5 * v).exp();
    log_normal(v, 0.0, SD) + rest.iter().map(|&x| log_normal(x, 0.0, scale)).sum::<f64>()
}
