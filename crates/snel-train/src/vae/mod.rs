//! Variational auto-encoders: from a config to the model, validation, evaluation, samples, pictures.

mod evaluate;
mod latent;
mod page;
mod pictures;
mod report;
mod sample;
mod setup;

pub use evaluate::validate;
pub use page::page;
pub use pictures::pictures;
pub use report::{VaeEvaluation, VaeReport, evaluate_run};
pub use sample::{Decoding, decode};
pub use setup::VaeSetupError;
pub(crate) use setup::{default_chunk, model, start};
