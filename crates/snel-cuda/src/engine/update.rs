//! The state on the device, and the update of its parameters.
#![allow(unsafe_code)]

use snel_core::optim::Constants;
use snel_core::partial::Reduced;
use snel_core::problem::Problem;
use snel_core::state::State;

use super::machine::Machine;
use super::work::SumsOfStep;
use crate::arguments::UpdateArguments;
use crate::device::{Device, DeviceError, Grid, Memory};

/// Blocks and threads that sum the norm: those of `kernels/update.cuh`.
const NORM: Grid = Grid { blocks: 64, threads: 256, shared: 8 * 256 / 32 };

/// What the update needs besides parameters and sums.
pub(crate) struct Update<D: Device> {
    norm: D::Kernel,
    move_parameters: D::Kernel,
    first_moment: D::Memory,
    second_moment: D::Memory,
    norm_parts: D::Memory,
    /// Norm of the gradient, and the new `b`.
    result: D::Memory,
}

/// What an update says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Updated {
    pub(crate) gradient_norm: f64,
    pub(crate) b: f32,
}

impl<D: Device> Update<D> {
    pub(super) fn new(
        device: &D,
        [norm, move_parameters]: [D::Kernel; 2],
        parameters: usize,
    ) -> Result<Self, DeviceError> {
        let moment = || device.allocate(4 * parameters);
        Ok(Self {
            norm,
            move_parameters,
            first_moment: moment()?,
            second_moment: moment()?,
            norm_parts: device.allocate(8 * NORM.blocks as usize)?,
            result: device.allocate(16)?,
        })
    }
}

impl<D: Device> Machine<D> {
    /// Copies the vectors of `state` to the device.
    pub(crate) fn set_state(&mut self, state: &State) -> Result<(), DeviceError> {
        let Self { device, parameters, update, .. } = self;
        device.upload(bytemuck::cast_slice(&state.parameters), parameters)?;
        device.upload(bytemuck::cast_slice(&state.first_moment), &mut update.first_moment)?;
        device.upload(bytemuck::cast_slice(&state.second_moment), &mut update.second_moment)?;
        self.pack()
    }

    /// Copies the vectors on the device to `state`.
    pub(crate) fn copy_state(&self, state: &mut State) -> Result<(), DeviceError> {
        let Self { device, parameters, update, .. } = self;
        device.download(parameters, bytemuck::cast_slice_mut(&mut state.parameters))?;
        let Update { first_moment, second_moment, .. } = update;
        device.download(first_moment, bytemuck::cast_slice_mut(&mut state.first_moment))?;
        device.download(second_moment, bytemuck::cast_slice_mut(&mut state.second_moment))
    }

    /// Applies the gradient of `reduced`. `sums` are those on the device: what the others of a
    /// cluster have added is uploaded first.
    pub(crate) fn apply(
        &mut self,
        problem: &Problem,
        reduced: &Reduced<'_>,
        constants: Constants,
        sums: &mut SumsOfStep,
    ) -> Result<Updated, DeviceError> {
        self.set_sums(reduced, sums)?;
        let arguments = self.update_arguments(problem, reduced, constants);
        let bytes = bytemuck::bytes_of(&arguments);
        let Update { norm, move_parameters, result, .. } = &self.update;
        // SAFETY: all memory is of this device, lives as long as `self`, and was made for as many
        // parameters as `new` has compared with the kernels'; the grid of the norm is the one that
        // it is written for, as are its parts.
        unsafe {
            self.device.launch(norm, NORM, bytes)?;
            self.device.launch(move_parameters, self.elementwise(), bytes)?;
        }
        self.pack()?;
        let mut values = [0.0f64; 2];
        self.device.download(result, bytemuck::cast_slice_mut(&mut values))?;
        Ok(Updated { gradient_norm: values[0], b: values[1] as f32 })
    }

    fn set_sums(
        &mut self,
        reduced: &Reduced<'_>,
        sums: &mut SumsOfStep,
    ) -> Result<(), DeviceError> {
        let (rows, samples, _) = reduced.integers();
        if sums.rows != rows {
            self.device.upload(bytemuck::cast_slice(rows), &mut self.row_sums)?;
            sums.rows.copy_from_slice(rows);
        }
        if let (Some(memory), true) = (&mut self.sample_sums, sums.samples != samples) {
            self.device.upload(bytemuck::cast_slice(samples), memory)?;
            sums.samples.copy_from_slice(samples);
        }
        Ok(())
    }

    fn update_arguments(
        &self,
        problem: &Problem,
        reduced: &Reduced<'_>,
        constants: Constants,
    ) -> UpdateArguments {
        let Constants { beta1, beta2, epsilon, correct1, correct2, lr, b_lr } = constants;
        let (_, _, scale) = reduced.integers();
        UpdateArguments {
            parameters: self.parameters.address(),
            first_moment: self.update.first_moment.address(),
            second_moment: self.update.second_moment.address(),
            row_sums: self.row_sums.address(),
            sample_sums: self.sample_sums.as_ref().map_or(0, Memory::address),
            norm_parts: self.update.norm_parts.address(),
            result: self.update.result.address(),
            unit: 2.0f64.powi(-scale),
            sample_factor: reduced.sample_factor(),
            beta1,
            beta2,
            epsilon,
            correct1,
            correct2,
            lr,
            b_lr,
            weight_decay: problem.optim.weight_decay,
            clip_norm: problem.optim.clip_norm.unwrap_or(f64::INFINITY),
        }
    }
}
