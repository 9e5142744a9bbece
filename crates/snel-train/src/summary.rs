//! A data file at a glance.

use serde::Serialize;
use snel_data::{DataError, Source};

/// Moments and range of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// Mean.
    pub mean: f64,
    /// Standard deviation (over n).
    pub sd: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
}

/// Number of rows, and a summary of each column, in one pass (Welford 1962).
///
/// # Errors
/// [`DataError`], naming the bad row.
pub fn summarise(mut source: Source) -> Result<(u64, Vec<ColumnSummary>), DataError> {
    let mut columns: Vec<ColumnSummary> = source
        .columns()
        .iter()
        .map(|name| ColumnSummary {
            name: name.clone(),
            mean: 0.0,
            sd: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        })
        .collect();
    let mut rows = 0u64;
    let mut chunk = Vec::new();
    while source.next_chunk(&mut chunk)? > 0 {
        for row in chunk.chunks_exact(columns.len()) {
            rows += 1;
            for (c, &x) in columns.iter_mut().zip(row) {
                let offset = x - c.mean;
                c.mean += offset / rows as f64;
                // `sd` holds the sum of squares until the end.
                c.sd += offset * (x - c.mean);
                c.min = c.min.min(x);
                c.max = c.max.max(x);
            }
        }
    }
    columns.iter_mut().for_each(|c| c.sd = (c.sd / rows as f64).sqrt());
    Ok((rows, columns))
}
