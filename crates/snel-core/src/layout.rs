//! The one flat parameter vector and its named segments.
//!
//! Gradient, optimiser moments, checkpoint and wire share this layout.
//!
//! Invariants
//! 1. Segments are contiguous, in order, and cover the vector.
//! 2. The last segment is `b`, of length one.

use crate::energy::Energy;

/// What a segment holds; the optimiser treats kinds differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// Weights, subject to weight decay.
    Weight,
    /// Biases and linear terms, without weight decay.
    Bias,
    /// What training leaves as it is.
    Constant,
    /// The log-normaliser `b`: never decayed, with a learning rate of its own.
    LogNormaliser,
}

/// A named part of the flat vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Name, such as `energy.layers.0.weight`.
    pub name: String,
    /// First index in the flat vector.
    pub offset: usize,
    /// Sizes of the axes, row-major.
    pub shape: Vec<usize>,
    /// What it holds.
    pub kind: SegmentKind,
    /// It belongs to the energy of a latent space, which has a learning rate of its own.
    pub of_prior: bool,
}

impl Segment {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True if the segment holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// False if training leaves the segment as it is.
    pub fn is_trained(&self) -> bool {
        self.kind != SegmentKind::Constant
    }

    /// Indices of the segment in the flat vector.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// The segments of one model, `b` last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    segments: Vec<Segment>,
    len: usize,
}

impl Layout {
    /// Layout of the parameters of `energy`, followed by `b`.
    pub fn new(energy: &Energy) -> Self {
        Self::of(energy.tensors())
    }

    /// Layout of tensors with a name, a shape and a kind, followed by `b`.
    pub fn of(tensors: Vec<(String, Vec<usize>, SegmentKind)>) -> Self {
        let mut layout = Self { segments: Vec::new(), len: 0 };
        for (name, shape, kind) in tensors {
            layout.push(name, shape, kind);
        }
        layout.push("b".to_owned(), vec![1], SegmentKind::LogNormaliser);
        layout
    }

    fn push(&mut self, name: String, shape: Vec<usize>, kind: SegmentKind) {
        let segment = Segment { name, offset: self.len, shape, kind, of_prior: false };
        self.len += segment.len();
        self.segments.push(segment);
    }

    /// The same with the segments before `end` as those of the energy of a latent space.
    pub(crate) fn with_prior(mut self, end: usize) -> Self {
        self.segments.iter_mut().for_each(|segment| segment.of_prior = segment.offset < end);
        self
    }

    /// All segments in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Number of parameters, `b` included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false: `b` is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Index of `b`.
    pub fn b(&self) -> usize {
        self.len - 1
    }
}
