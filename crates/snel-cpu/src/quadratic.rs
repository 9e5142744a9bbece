//! The quadratic energy on a tile, coordinate by coordinate.

use snel_core::energy::triangle;

use crate::layer::RowsMut;
use crate::tile::Tile;

/// Number of coefficients in `dim` dimensions.
pub(crate) fn coefficients(dim: usize) -> usize {
    dim * (dim + 1) / 2 + dim
}

/// Each monomial with its coefficient's index: `f(index, factor, i, j)`, where `j` is none for a
/// linear term.
#[inline(always)]
fn monomials(dim: usize, mut f: impl FnMut(usize, f32, usize, Option<usize>)) {
    let linear = dim * (dim + 1) / 2;
    for i in 0..dim {
        f(linear + i, 1.0, i, None);
        for j in 0..=i {
            f(triangle(i, j), if i == j { 0.5 } else { 1.0 }, i, Some(j));
        }
    }
}

/// Energies of the points of `tile`.
pub(crate) fn energies(parameters: &[f32], tile: &Tile, energies: &mut [f32]) {
    energies.fill(0.0);
    monomials(tile.dim(), |index, factor, i, j| {
        let a = parameters[index] * factor;
        let x = tile.coordinate(i);
        match j.map(|j| tile.coordinate(j)) {
            None => energies.iter_mut().zip(x).for_each(|(e, x)| *e += a * x),
            Some(y) => {
                energies.iter_mut().zip(x.iter().zip(y)).for_each(|(e, (x, y))| *e += a * x * y);
            }
        }
    });
}

/// Writes the cotangents of the points to `to`, given those of their energies.
pub(crate) fn point_cotangents(
    parameters: &[f32],
    tile: &Tile,
    cotangents: &[f32],
    to: RowsMut<'_>,
) {
    for row in to.values.chunks_exact_mut(to.stride).take(cotangents.len()) {
        row.fill(0.0);
    }
    monomials(tile.dim(), |index, factor, i, j| {
        let a = parameters[index] * factor;
        for (t, c) in cotangents.iter().enumerate() {
            let row = &mut to.values[t * to.stride..][..to.stride];
            match j {
                None => row[i] += a * c,
                Some(j) => {
                    row[i] += a * c * tile.coordinate(j)[t];
                    row[j] += a * c * tile.coordinate(i)[t];
                }
            }
        }
    });
}

/// Adds the cotangent-weighted gradients of the points of `tile`.
pub(crate) fn add_gradient(tile: &Tile, cotangents: &[f32], gradient: &mut [f32]) {
    monomials(tile.dim(), |index, factor, i, j| {
        let x = tile.coordinate(i);
        let sum: f32 = match j.map(|j| tile.coordinate(j)) {
            None => cotangents.iter().zip(x).map(|(c, x)| c * x).sum(),
            Some(y) => cotangents.iter().zip(x.iter().zip(y)).map(|(c, (x, y))| c * x * y).sum(),
        };
        gradient[index] += factor * sum;
    });
}
