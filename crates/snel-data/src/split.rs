//! Which rows train, which validate, which test.
//!
//! A permutation named by the seed gives each row a rank; the lowest ranks train, the next
//! validate, the rest test. So the split depends on (seed, number of rows, fractions) alone, and
//! no list of rows is kept. Within a part, rows keep the order of the file.

use crate::DataError;
use snel_core::philox::{Key, Stream};
use snel_core::shuffle::Permutation;

/// How far the sum of the fractions may be from 1: room for decimals such as 0.7 + 0.2 + 0.1.
const SUM_TOLERANCE: f64 = 1e-9;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Gradients, standardisation and proposals come from these rows.
    Train,
    /// Chooses between checkpoints.
    Valid,
    /// Gives the final numbers.
    Test,
}

/// The part of each of `len` rows.
#[derive(Debug, Clone, Copy)]
pub struct Split {
    ranks: Permutation,
    sizes: [u64; 3],
}

impl Split {
    /// Shares out `rows` rows. The sizes of train and valid are rounded to the nearest row; test
    /// gets what is left.
    ///
    /// # Errors
    /// [`DataError::Fractions`] unless all three are positive and sum to 1;
    /// [`DataError::TooFewRows`] if a part would get no row, or train only one.
    pub fn new(rows: u64, fractions: [f64; 3], seed: u32) -> Result<Self, DataError> {
        let refuse = |why| Err(DataError::Fractions { found: fractions, why });
        if !fractions.iter().all(|fraction| *fraction > 0.0) {
            return refuse("each must be positive");
        }
        if (fractions.iter().sum::<f64>() - 1.0).abs() > SUM_TOLERANCE {
            return refuse("they must sum to 1");
        }
        let share = |fraction: f64| (rows as f64 * fraction).round() as u64;
        let train = share(fractions[0]).min(rows);
        let valid = share(fractions[1]).min(rows - train);
        let sizes = [train, valid, rows - train - valid];
        let parts = [("training", 2), ("validation", 1), ("test", 1)];
        for (&got, (part, least)) in sizes.iter().zip(parts) {
            if got < least {
                return Err(DataError::TooFewRows { rows, part, got, least });
            }
        }
        let ranks = Permutation::new(Key::new(seed, Stream::Split), 0, rows);
        Ok(Self { ranks, sizes })
    }

    /// Rows of train, valid, test.
    pub fn sizes(&self) -> [u64; 3] {
        self.sizes
    }

    /// The part of row `row`, which must be below the number of rows.
    pub fn part(&self, row: u64) -> Part {
        let rank = self.ranks.at(row);
        if rank < self.sizes[0] {
            Part::Train
        } else if rank < self.sizes[0] + self.sizes[1] {
            Part::Valid
        } else {
            Part::Test
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_has_one_part_and_the_sizes_are_kept(
            rows in 10u64..2000, train in 0.3..0.7f64, valid in 0.1..0.2f64, seed: u32,
        ) {
            let fractions = [train, valid, 1.0 - train - valid];
            let split = Split::new(rows, fractions, seed).unwrap();
            let mut counts = [0u64; 3];
            for row in 0..rows {
                counts[split.part(row) as usize] += 1;
            }
            prop_assert_eq!(counts, split.sizes());
            // Rounding moves a size by at most half a row, the last by two halves.
            for (size, fraction) in counts.iter().zip(fractions) {
                prop_assert!((*size as f64 - rows as f64 * fraction).abs() <= 1.0 + 1e-6);
            }
        }
    }

    #[test]
    fn the_seed_decides() {
        let parts = |seed| {
            let split = Split::new(300, [0.8, 0.1, 0.1], seed).unwrap();
            (0..300).map(|row| split.part(row)).collect::<Vec<_>>()
        };
        assert_eq!(parts(1), parts(1));
        assert_ne!(parts(1), parts(2));
    }

    #[test]
    fn refuses_fractions_that_cannot_be() {
        for bad in [[0.8, 0.2, 0.0], [1.2, -0.1, -0.1], [0.8, 0.1, 0.2], [f64::NAN, 0.5, 0.5]] {
            let refused = Split::new(100, bad, 0);
            assert!(matches!(refused, Err(DataError::Fractions { .. })), "{bad:?}");
        }
        assert!(Split::new(100, [0.7, 0.2, 0.1], 0).is_ok());
    }

    #[test]
    fn refuses_parts_without_rows() {
        let few = |rows| Split::new(rows, [0.8, 0.1, 0.1], 0);
        assert!(matches!(few(3), Err(DataError::TooFewRows { part: "validation", .. })));
        assert!(matches!(few(1), Err(DataError::TooFewRows { part: "training", got: 1, .. })));
        assert_eq!(few(10).unwrap().sizes(), [8, 1, 1]);
    }
}
