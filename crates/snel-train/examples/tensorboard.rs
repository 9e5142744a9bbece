//! Writes a run that was stopped and resumed, for TensorBoard to read:
//! `cargo run -p snel-train --example tensorboard -- LOGDIR && tensorboard --logdir LOGDIR`

use std::{error::Error, path::PathBuf};

use snel_train::sink::tensorboard::TensorBoard;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: tensorboard LOGDIR")?);
    let start = 1_700_000_000.0;
    let mut first = TensorBoard::create(&dir, start)?;
    for step in 0..70u16 {
        let bound = -2.0 - (-f32::from(step) / 20.0).exp();
        let values = [("train/bound", bound), ("train/ess", 0.4), ("train/zero", 0.0)];
        first.scalars(u64::from(step), start + f64::from(step), &values)?;
    }
    first.flush()?;
    // Killed after step 69; the last checkpoint is that of step 50.
    let mut second = TensorBoard::resume(&dir, start + 100.0, 50)?;
    for step in 50..100u16 {
        second.scalars(u64::from(step), start + 100.0, &[("train/bound", f32::from(step))])?;
    }
    second.flush()?;
    Ok(())
}
