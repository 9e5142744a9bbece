//! Readers, splits, standardisation, and toy densities with known log-density.
