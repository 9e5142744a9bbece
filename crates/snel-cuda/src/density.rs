//! Densities as tables that kernels read.
//!
//! Constants are summed in f64 and rounded once. Node 0 is the whole density; the children of a
//! mixture stand side by side.

use snel_core::density::{Affine, Density, Scale};

use crate::arguments::{DensityNode, kind};

/// A density's nodes and the floats they point to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub(crate) nodes: Vec<DensityNode>,
    pub(crate) values: Vec<f32>,
    pub(crate) has_lower: bool,
}

impl Table {
    /// The table of `density`.
    pub(crate) fn new(density: &Density) -> Self {
        let mut table = Self::default();
        table.nodes.push(DensityNode { weight: 1.0, ..DensityNode::default() });
        table.fill(0, density, 0.0);
        table
    }

    /// Makes node `index` that of `density`. `log_weight` is the log of all mixture weights above.
    fn fill(&mut self, index: usize, density: &Density, log_weight: f64) {
        let weight = self.nodes[index].weight;
        let node = match density {
            Density::Gaussian { at } => DensityNode { kind: kind::GAUSSIAN, ..self.affine(at) },
            Density::Student { df, at } => DensityNode {
                kind: kind::STUDENT,
                exponent: (-0.5 * (df + at.dim() as f64)) as f32,
                inverse_df: (1.0 / df) as f32,
                df: *df,
                ..self.affine(at)
            },
            Density::Uniform { low, high } => DensityNode {
                kind: kind::UNIFORM,
                mean: self.push(low),
                scale: self.push(high),
                ..DensityNode::default()
            },
            Density::Mixture { weights, components } => {
                let first = self.nodes.len();
                for &weight in weights {
                    self.nodes.push(DensityNode { weight, ..DensityNode::default() });
                }
                for (i, (component, w)) in components.iter().zip(weights).enumerate() {
                    self.fill(first + i, component, log_weight + w.ln());
                }
                DensityNode {
                    kind: kind::MIXTURE,
                    first_child: first as i32,
                    children: components.len() as i32,
                    ..DensityNode::default()
                }
            }
        };
        let offset = match density {
            Density::Mixture { .. } => 0.0,
            _ => (log_weight + density.log_constant()) as f32,
        };
        self.nodes[index] = DensityNode { offset, weight, ..node };
    }

    fn affine(&mut self, at: &Affine) -> DensityNode {
        let (scale, diagonal) = match &at.scale {
            Scale::Diagonal(s) => (s, true),
            Scale::Lower(s) => (s, false),
        };
        self.has_lower |= !diagonal;
        DensityNode {
            diagonal: i32::from(diagonal),
            mean: self.push(&at.mean),
            scale: self.push(scale),
            inverse: self.push(&at.inverse_scale()),
            ..DensityNode::default()
        }
    }

    /// Appends values and returns where they begin.
    fn push(&mut self, values: &[f64]) -> i32 {
        let start = self.values.len();
        self.values.extend(values.iter().map(|&v| v as f32));
        start as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixtures_of_mixtures_keep_both_weights() {
        let uniform = |high: f64| Density::Uniform { low: vec![0.0], high: vec![high] };
        let inner = Density::Mixture {
            weights: vec![0.25, 0.75],
            components: vec![uniform(1.0), uniform(2.0)],
        };
        let outer =
            Density::Mixture { weights: vec![0.4, 0.6], components: vec![uniform(4.0), inner] };
        let Table { nodes, values, has_lower } = Table::new(&outer);
        let expected: Vec<(i32, f64, f64)> = vec![
            (kind::MIXTURE, 1.0, 0.0),
            (kind::UNIFORM, 0.4, (0.4f64 / 4.0).ln()),
            (kind::MIXTURE, 0.6, 0.0),
            (kind::UNIFORM, 0.25, (0.6f64 * 0.25).ln()),
            (kind::UNIFORM, 0.75, (0.6f64 * 0.75 / 2.0).ln()),
        ];
        assert_eq!(nodes.len(), expected.len());
        for (node, (kind, weight, offset)) in nodes.iter().zip(expected) {
            assert_eq!((node.kind, node.weight), (kind, weight));
            // Rounded to f32 once.
            assert!((f64::from(node.offset) - offset).abs() < 2e-7, "{node:?}");
        }
        assert_eq!((nodes[0].first_child, nodes[2].first_child), (1, 3));
        assert_eq!(values[nodes[4].scale as usize], 2.0);
        assert!(!has_lower);
    }
}
