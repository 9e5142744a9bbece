//! The energy at points that come from elsewhere, and what flows back to them: for models in which
//! this one is a part.

use super::{Parameters, Shared, Workspace};
use crate::layer::RowsMut;
use crate::tile::Tile;

impl Workspace {
    /// The points.
    pub(crate) fn points(&self) -> &Tile {
        &self.tile
    }

    /// The same, to be replaced.
    pub(crate) fn points_mut(&mut self) -> &mut Tile {
        &mut self.tile
    }

    /// Energies of the points.
    pub(crate) fn energies(&mut self, parameters: Parameters<'_>) -> &[f32] {
        self.forward(parameters);
        &self.energies[..self.tile.len()]
    }

    /// Log-densities of the points under base and proposal, which are one.
    pub(crate) fn base_log_densities(&mut self, shared: &Shared) -> &[f32] {
        self.log_densities(shared, true);
        &self.log_base[..self.tile.len()]
    }

    /// After [`Self::energies`]: gathers the gradient of the energies, each with the cotangent
    /// `cotangent`, and writes those of the points to `to`.
    pub(crate) fn pull(&mut self, parameters: Parameters<'_>, cotangent: f32, to: RowsMut<'_>) {
        let n = self.tile.len();
        self.cotangents[..n].fill(cotangent);
        self.backward(parameters);
        let Self { network, tile, cotangents, .. } = self;
        network.point_cotangents(parameters.flat, parameters.packed, tile, cotangents, to);
    }
}
