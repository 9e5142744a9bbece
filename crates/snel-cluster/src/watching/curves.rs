//! The curves of a run from its `metrics.jsonl`, thinned to what a picture can show.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Serialize;
use snel_train::metrics::{Record, ValidationRecord};

/// Points of a curve that are kept, at most.
const POINTS: usize = 600;

/// Points against steps.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Curves {
    /// Validations.
    pub(crate) validations: Vec<ValidationRecord>,
    /// Steps, and the effective sample size of training as a fraction.
    pub(crate) ess: Vec<(u64, f64)>,
}

impl Curves {
    /// Reads what can be read: a file that is not there yet has no points, and a line that is none
    /// is passed over. Takes no more memory for a longer file.
    pub(crate) fn read(path: &Path) -> Self {
        let (mut validations, mut ess) = (Thinned::default(), Thinned::default());
        if let Ok(file) = File::open(path) {
            for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
                match serde_json::from_slice(&line) {
                    Ok(Record::Step(r)) => {
                        r.weighed.iter().for_each(|w| ess.push((r.step, w.ess_fraction)));
                    }
                    Ok(Record::Validation(r)) => validations.push(r),
                    Err(_) => {}
                }
            }
        }
        Self { validations: validations.points(), ess: ess.points() }
    }
}

/// Every so-manieth of a sequence, and its last.
struct Thinned<T> {
    kept: Vec<T>,
    every: usize,
    seen: usize,
    last: Option<T>,
}

impl<T> Default for Thinned<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), every: 1, seen: 0, last: None }
    }
}

impl<T> Thinned<T> {
    fn push(&mut self, point: T) {
        let falls = self.seen.is_multiple_of(self.every);
        self.seen += 1;
        if !falls {
            self.last = Some(point);
            return;
        }
        self.last = None;
        self.kept.push(point);
        if self.kept.len() == POINTS {
            let mut even = false;
            self.kept.retain(|_| {
                even = !even;
                even
            });
            self.every *= 2;
        }
    }

    fn points(mut self) -> Vec<T> {
        self.kept.extend(self.last);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_both_ends_in_even_steps() {
        for n in [0, 1, 2, POINTS - 1, POINTS, POINTS + 1, 10_007] {
            let mut thinned = Thinned::default();
            (0..n).for_each(|i| thinned.push(i));
            let points = thinned.points();
            assert!(points.len() <= POINTS && points.len() >= n.min(POINTS / 2), "{n}");
            assert_eq!(points.first().copied(), (n > 0).then_some(0));
            // At the moment of thinning the newest point may go; the next brings the end back.
            assert!(points.last().is_none_or(|last| n - last <= 2), "{n}");
            assert!(points.is_sorted());
        }
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        assert!(Curves::read(&path).validations.is_empty());
        let line = r#"{"kind":"validation","step":4,"lower":-2.5,"upper":-2.25,"ess_fraction":0.5,"log_z":0.1,"b":0.1,"best":true}"#;
        std::fs::write(&path, [b"\xff\n{\n", line.as_bytes(), b"\n"].concat()).unwrap();
        let curves = Curves::read(&path);
        assert_eq!((curves.validations[0].step, curves.validations[0].lower), (4, -2.5));
    }
}
