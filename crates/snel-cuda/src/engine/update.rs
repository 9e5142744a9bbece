//! The state on the device, and the update of its parameters.
#![allow(unsafe_code)]

use snel_core::optim::Constants;
use snel_core::partial::Reduced;
use snel_core::problem::Problem;
use snel_core::state::State;

use super::machine::Machine;
use super::work::SumsOfStep;
use crate::arguments::{Control, StepReport, UpdateArguments};
use crate::device::{Device, DeviceError, Grid, Memory};

/// Most blocks that sum the norm, and their threads: those of `kernels/update.cuh`.
const NORM: Grid = Grid { blocks: 64, threads: 256, shared: 8 * 256 / 32 };

/// What the update needs besides parameters and sums.
pub(crate) struct Update<D: Device> {
    norm: D::Kernel,
    move_parameters: D::Kernel,
    first_moment: D::Memory,
    second_moment: D::Memory,
    /// Zero where a block would have nothing to sum and is not launched.
    norm_parts: D::Memory,
    /// What an update alone tells.
    report: D::Memory,
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
            report: device.allocate(size_of::<StepReport>())?,
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
    ) -> Result<StepReport, DeviceError> {
        self.set_sums(reduced, sums)?;
        let (_, _, scale) = reduced.integers();
        let finished = Control { scale, scale_of_sums: scale, ..Control::default() };
        self.device.upload(bytemuck::bytes_of(&finished), &mut self.control)?;
        let report = self.update.report.address();
        self.launch_update(problem, constants, reduced.sample_factor(), report)?;
        let mut report = StepReport::default();
        self.device.download(&self.update.report, bytemuck::bytes_of_mut(&mut report))?;
        Ok(report)
    }

    /// Starts the update by the sums on the device, unless the batch has stalled, and packs the
    /// parameters; packing those that have not changed does no harm. `report` is the address of a
    /// [`StepReport`].
    pub(super) fn launch_update(
        &self,
        problem: &Problem,
        constants: Constants,
        sample_factor: f64,
        report: u64,
    ) -> Result<(), DeviceError> {
        let arguments = self.update_arguments(problem, constants, sample_factor, report);
        let bytes = bytemuck::bytes_of(&arguments);
        let Update { norm, move_parameters, .. } = &self.update;
        let blocks = (self.sizes.parameters as u32).div_ceil(NORM.threads).min(NORM.blocks);
        // SAFETY: all memory is of this device, lives as long as `self`, and was made for as many
        // parameters as `new` has compared with the kernels'; the norm has the threads that it is
        // written for, and no more blocks than there are parts.
        unsafe {
            self.device.launch(norm, Grid { blocks, ..NORM }, bytes)?;
            self.device.launch(move_parameters, self.elementwise(), bytes)?;
        }
        self.pack()
    }

    fn set_sums(
        &mut self,
        reduced: &Reduced<'_>,
        sums: &mut SumsOfStep,
    ) -> Result<(), DeviceError> {
        let (rows, samples, _) = reduced.integers();
        let stale = !sums.on_device;
        if stale || sums.rows != rows {
            self.device.upload(bytemuck::cast_slice(rows), &mut self.row_sums)?;
            sums.rows.copy_from_slice(rows);
        }
        if let (Some(memory), true) = (&mut self.sample_sums, stale || sums.samples != samples) {
            self.device.upload(bytemuck::cast_slice(samples), memory)?;
            sums.samples.copy_from_slice(samples);
        }
        sums.on_device = true;
        Ok(())
    }

    fn update_arguments(
        &self,
        problem: &Problem,
        constants: Constants,
        sample_factor: f64,
        report: u64,
    ) -> UpdateArguments {
        let Constants { beta1, beta2, epsilon, correct1, correct2, lr, b_lr } = constants;
        UpdateArguments {
            parameters: self.parameters.address(),
            first_moment: self.update.first_moment.address(),
            second_moment: self.update.second_moment.address(),
            row_sums: self.row_sums.address(),
            sample_sums: self.sample_sums.as_ref().map_or(0, Memory::address),
            norm_parts: self.update.norm_parts.address(),
            report,
            control: self.control.address(),
            sample_factor,
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
