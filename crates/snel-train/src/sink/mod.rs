//! Where metrics go.

pub mod tensorboard;
