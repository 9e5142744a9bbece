//! Chunks layer by layer, for layers that are too wide for a tile: products of large matrices, and
//! kernels for what is between them (`kernels/layerwise.cuh`).
//!
//! Some chunks at a time are in the memory of the device, each with as many rows as a chunk has at most.
//! A product is made for all of them at once, with a matrix for each chunk.
//!
//! Invariants
//! 1. Shapes of products depend on the config alone: a chunk with fewer points is filled up.
//! 2. How many chunks there are beside one changes none of its bits. For the kernels that is so by
//!    their making; of the products it is seen before they are used ([`trial`]).
#![allow(unsafe_code)]

mod products;
mod trial;

use products::Products;

use super::setup::{SCRATCH, blocks_for, grow};
use crate::arguments::{
    Chunk, ChunkExtent, ChunkTally, LayerArguments, ScoreArguments, Scored, StepArguments,
};
use crate::device::{Device, DeviceError, Grid, Memory};
use crate::settings::Settings;
use crate::shape::Shape;

/// The kernels, in the order in which they are kept.
pub(super) const KERNELS: [&str; 8] = [
    "snel_points",
    "snel_activate",
    "snel_energies",
    "snel_weigh",
    "snel_slopes",
    "snel_vectors",
    "snel_extents",
    "snel_add",
];
/// Rows that are in work at a time, about. Fewer, and starting the kernels takes longer than they do.
const ROWS: usize = 1 << 15;
/// Rows of what passes for a chunk where points are scored.
const SCORED_ROWS: usize = 1024;

pub(super) struct Layers<D: Device> {
    kernels: [D::Kernel; 8],
    blocks: u32,
    /// Rows that are in work at a time, about.
    rows: usize,
    /// For steps, as soon as the first is made; and for scoring.
    of_steps: Option<Products<D>>,
    of_scores: Option<Products<D>>,
    /// Chunks to score.
    chunks: D::Memory,
    room: Room<D>,
}

/// Memory for the chunks in work: see the struct of the arguments.
struct Room<D: Device> {
    points: D::Memory,
    values: D::Memory,
    slopes: D::Memory,
    product: D::Memory,
    /// Log-densities, energies, cotangents: four floats a row.
    scalars: D::Memory,
    gradients: D::Memory,
    extents: D::Memory,
}

impl<D: Device> Layers<D> {
    pub(super) fn new(
        device: &D,
        kernels: [D::Kernel; 8],
        shape: &Shape,
        settings: &Settings,
    ) -> Result<Self, DeviceError> {
        let nothing = || device.allocate(1);
        let room = Room {
            points: nothing()?,
            values: nothing()?,
            slopes: nothing()?,
            product: nothing()?,
            scalars: nothing()?,
            gradients: nothing()?,
            extents: nothing()?,
        };
        let blocks = blocks_for(device, shape).min(settings.blocks.unwrap_or(u32::MAX)).max(1);
        let (rows, chunks) = (settings.rows.unwrap_or(ROWS), nothing()?);
        Ok(Self { kernels, blocks, rows, of_steps: None, of_scores: None, chunks, room })
    }

    /// Starts a step whose chunks have at most `chunk_size` points.
    ///
    /// # Safety
    /// The arguments are those of a step, but for the memory that is this value's.
    pub(super) unsafe fn step(
        &mut self,
        device: &mut D,
        shape: &Shape,
        arguments: &StepArguments,
        chunk_size: u64,
    ) -> Result<(), DeviceError> {
        let rows = (chunk_size as usize).next_multiple_of(shape.tile);
        let products = match self.of_steps.take() {
            Some(products) if products.chunk_rows == rows => products,
            _ => Products::of_steps(device, shape, rows, self.most_chunks(shape, rows))?,
        };
        self.room.grow(device, shape, &products, true)?;
        let all = arguments.n_chunks;
        for first in (0..all).step_by(products.most as usize) {
            let n_chunks = products.most.min(all - first);
            let mut piece = self.arguments(shape, &products, *arguments, n_chunks);
            piece.step.chunks += u64::from(first) * size_of::<Chunk>() as u64;
            piece.step.tallies += u64::from(first) * size_of::<ChunkTally>() as u64;
            // SAFETY: there is room for `products.most` chunks; the rest is the caller's promise.
            unsafe {
                self.forward(device, shape, &products, &piece)?;
                self.backward(device, shape, &products, &piece)?;
            }
        }
        self.of_steps = Some(products);
        Ok(())
    }

    /// Scores that there must be room for where `count` points are scored.
    pub(super) fn scores(count: usize, shape: &Shape) -> usize {
        count.next_multiple_of(SCORED_ROWS.next_multiple_of(shape.tile))
    }

    /// Starts scoring.
    ///
    /// # Safety
    /// The arguments are those of scoring; points have room for as many as they say, scores for
    /// [`Self::scores`].
    pub(super) unsafe fn score(
        &mut self,
        device: &mut D,
        shape: &Shape,
        arguments: &ScoreArguments,
    ) -> Result<(), DeviceError> {
        let rows = SCORED_ROWS.next_multiple_of(shape.tile);
        let products = match self.of_scores.take() {
            Some(products) => products,
            None => Products::of_scores(device, shape, rows, self.most_chunks(shape, rows))?,
        };
        self.room.grow(device, shape, &products, false)?;
        let ScoreArguments { model, points, scored, first, count, is_sample, step, stream } =
            *arguments;
        let begins = (0..count).step_by(rows);
        let chunk = |begin: u32| Chunk {
            first: if is_sample == 0 { u64::from(begin) } else { first + u64::from(begin) },
            count: (rows as u32).min(count - begin),
            is_sample,
        };
        let chunks: Vec<Chunk> = begins.clone().map(chunk).collect();
        grow(device, &mut self.chunks, size_of_val(&chunks[..]))?;
        device.upload(bytemuck::cast_slice(&chunks), &mut self.chunks)?;
        let whole =
            StepArguments { model, rows: points, step, stream, ..bytemuck::Zeroable::zeroed() };
        for (i, begin) in begins.enumerate().step_by(products.most as usize) {
            let n_chunks = products.most.min((chunks.len() - i) as u32);
            let mut piece = self.arguments(shape, &products, whole, n_chunks);
            piece.step.chunks = self.chunks.address() + (i * size_of::<Chunk>()) as u64;
            piece.scored = scored + u64::from(begin) * size_of::<Scored>() as u64;
            if is_sample != 0 {
                piece.drawn = points + u64::from(begin) * (4 * shape.levels[0]) as u64;
            }
            // SAFETY: as for a step.
            unsafe { self.forward(device, shape, &products, &piece)? };
        }
        self.of_scores = Some(products);
        Ok(())
    }

    fn arguments(
        &self,
        shape: &Shape,
        products: &Products<D>,
        step: StepArguments,
        n_chunks: u32,
    ) -> LayerArguments {
        let Room { points, values, slopes, product, scalars, gradients, extents } = &self.room;
        let rows = products.rows();
        let scalar = |i: usize| scalars.address() + (4 * i * rows) as u64;
        // Parts that are float are the points themselves.
        let points = if shape.part_bytes() == 4 { values } else { points };
        LayerArguments {
            step: StepArguments { n_chunks, ..step },
            points: points.address(),
            values: values.address(),
            slopes: slopes.address(),
            product: product.address(),
            log_base: scalar(0),
            log_proposal: scalar(1),
            energies: scalar(2),
            cotangents: scalar(3),
            gradients: gradients.address(),
            extents: extents.address(),
            drawn: 0,
            scored: 0,
            rows: rows as u64,
            chunk_rows: products.chunk_rows as u32,
            layer: 0,
        }
    }

    /// From points to energies.
    ///
    /// # Safety
    /// The arguments are those of a piece, and `self.room` has grown for it.
    unsafe fn forward(
        &self,
        device: &D,
        shape: &Shape,
        products: &Products<D>,
        piece: &LayerArguments,
    ) -> Result<(), DeviceError> {
        let [points, activate, energies, ..] = &self.kernels;
        let rows = piece.step.n_chunks as usize * products.chunk_rows;
        let tiles = shape.grid(self.blocks.min((rows / shape.tile) as u32));
        // SAFETY: the caller's promise.
        unsafe {
            device.launch(points, tiles, bytemuck::bytes_of(piece))?;
            for layer in 1..=shape.layers() {
                products.forward(device, shape, piece, layer)?;
                let of_layer = LayerArguments { layer: layer as i32, ..*piece };
                let grid = self.elementwise(rows * shape.padded_width(layer) / 2);
                device.launch(activate, grid, bytemuck::bytes_of(&of_layer))?;
            }
            device.launch(energies, self.elementwise(WARP * rows), bytemuck::bytes_of(piece))
        }
    }

    /// From energies to sums.
    ///
    /// # Safety
    /// As for [`Self::forward`], whose work this is on.
    unsafe fn backward(
        &self,
        device: &D,
        shape: &Shape,
        products: &Products<D>,
        piece: &LayerArguments,
    ) -> Result<(), DeviceError> {
        let [.., weigh, slopes, vectors, extents, add] = &self.kernels;
        let n_chunks = piece.step.n_chunks;
        let rows = n_chunks as usize * products.chunk_rows;
        let columns = |level: usize| n_chunks as usize * shape.padded_width(level) / 8;
        let parameters = shape.sizes().parameters;
        // SAFETY: the caller's promise.
        unsafe {
            device.launch(
                weigh,
                shape.grid(self.blocks.min(n_chunks)),
                bytemuck::bytes_of(piece),
            )?;
            let output = LayerArguments { layer: shape.layers() as i32 + 1, ..*piece };
            let grid = self.elementwise(WARP * columns(shape.layers()));
            device.launch(vectors, grid, bytemuck::bytes_of(&output))?;
            for layer in (1..=shape.layers()).rev() {
                let of_layer = LayerArguments { layer: layer as i32, ..*piece };
                let grid = self.elementwise(rows * shape.padded_width(layer) / 2);
                device.launch(slopes, grid, bytemuck::bytes_of(&of_layer))?;
                let grid = self.elementwise(WARP * columns(layer));
                device.launch(vectors, grid, bytemuck::bytes_of(&of_layer))?;
                products.backward(device, shape, piece, layer)?;
            }
            // As many slices of each chunk as there may be blocks, and work.
            let slices = (self.blocks / n_chunks).clamp(1, parameters.div_ceil(THREADS) as u32);
            let grid = Grid { blocks: n_chunks * slices, ..ELEMENTWISE };
            device.launch(extents, grid, bytemuck::bytes_of(piece))?;
            device.launch(add, self.elementwise(parameters), bytemuck::bytes_of(piece))
        }
    }

    /// Chunks of `chunk_rows` rows that are in work at a time. No number depends on it.
    fn most_chunks(&self, shape: &Shape, chunk_rows: usize) -> u32 {
        let sizes = shape.sizes();
        let row = 4 * shape.padded_width(0) + sizes.row + 4 * shape.widest() + 16;
        let room = SCRATCH / (chunk_rows * row + sizes.sums);
        (self.rows / chunk_rows).min(room).max(1) as u32
    }

    /// A launch of about `threads` threads.
    fn elementwise(&self, threads: usize) -> Grid {
        let blocks = threads.div_ceil(THREADS).clamp(1, self.blocks as usize);
        Grid { blocks: blocks as u32, ..ELEMENTWISE }
    }
}

/// Threads of a warp.
const WARP: usize = 32;
/// Threads of a block that works element by element.
const THREADS: usize = 256;
const ELEMENTWISE: Grid = Grid { blocks: 1, threads: THREADS as u32, shared: 0 };

impl<D: Device> Room<D> {
    fn grow(
        &mut self,
        device: &D,
        shape: &Shape,
        products: &Products<D>,
        with_gradients: bool,
    ) -> Result<(), DeviceError> {
        let (rows, end) = (products.rows(), shape.layers() + 1);
        if shape.part_bytes() == 2 {
            grow(device, &mut self.points, 4 * rows * shape.padded_width(0))?;
        }
        grow(device, &mut self.values, rows * shape.values_before(end))?;
        grow(device, &mut self.slopes, rows * shape.slopes_before(end))?;
        grow(device, &mut self.product, 4 * rows * shape.widest())?;
        grow(device, &mut self.scalars, 16 * rows)?;
        if with_gradients {
            let most = products.most as usize;
            grow(device, &mut self.gradients, most * shape.sizes().sums)?;
            grow(device, &mut self.extents, most * size_of::<ChunkExtent>())?;
        }
        Ok(())
    }
}
