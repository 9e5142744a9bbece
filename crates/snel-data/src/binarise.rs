//! Grey values that become 0 or 1 once and for all.
//!
//! A value is the probability of a 1. The uniform number that decides is a function of the number
//! of the row and of the column: every run sees the same rows, whatever its seed, its split and its
//! number of workers.

use snel_core::philox::{Key, Stream, uniform};

use crate::DataError;

/// The one seed of all binarised data.
const SEED: u32 = 0;

/// Binarises row `number`.
///
/// # Errors
/// [`DataError::NotGrey`] if a value is not from 0 to 1.
pub(crate) fn binarise(number: u64, row: &mut [f64], columns: &[String]) -> Result<(), DataError> {
    let key = Key::new(SEED, Stream::Binarise);
    for (block, (values, names)) in row.chunks_mut(4).zip(columns.chunks(4)).enumerate() {
        for ((value, name), word) in
            values.iter_mut().zip(names).zip(key.block(0, number, block as u32))
        {
            if !(0.0..=1.0).contains(value) {
                return Err(DataError::NotGrey { column: name.clone(), value: *value });
            }
            *value = f64::from(u8::from(uniform(word) < *value));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Black stays black, white stays white, and of many half-grey values half become white: the
    /// count of 38,000 is within five standard deviations of 100.
    #[test]
    fn grey_is_a_probability() {
        let names: Vec<String> = (0..40).map(|k| k.to_string()).collect();
        let mut white = 0.0;
        for number in 0..1000 {
            let mut row = [0.5; 40];
            (row[0], row[39]) = (0.0, 1.0);
            binarise(number, &mut row, &names).unwrap();
            assert_eq!((row[0], row[39]), (0.0, 1.0));
            white += row[1..39].iter().sum::<f64>();
        }
        assert!((white - 19_000.0).abs() < 500.0, "{white}");
    }

    #[test]
    fn what_is_no_grey_value_is_named() {
        let names = ["a", "b"].map(str::to_owned);
        for bad in [-0.1, 1.5, 255.0, f64::NAN] {
            let error = binarise(0, &mut [0.5, bad], &names).unwrap_err();
            assert!(
                matches!(&error, DataError::NotGrey { column, .. } if column == "b"),
                "{error}"
            );
        }
    }
}
