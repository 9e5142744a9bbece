use std::ops::Range;
use std::sync::Arc;

use snel_core::chunks::ChunkSet;
use snel_core::engine::{DensityEngine, Engine, EngineError, Fingerprint, Head, SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::optim::{Applied, Optim};
use snel_core::partial::{Partial, Reduced};
use snel_core::plan::StepPlan;
use snel_core::problem::Problem;
use snel_core::rows::Matrix;
use snel_core::state::State;
use snel_cpu::CpuEngine;

use super::super::{SampleError, default_pool, resample};
use super::{GAUSSIAN, assert_gaussian, gaussian_model, mean};

/// Errors of pool and resampling add: `1/ESS + 1/n`, as for independent choices; systematic ones
/// err less.
#[test]
fn resampling_finds_a_gaussian() {
    let problem = Problem::new(gaussian_model(), Objective::Snl, Optim::default(), 5);
    let mut engine = CpuEngine::new(Arc::new(problem), Arc::new(Matrix::empty(2)), 2).unwrap();
    engine.restore(&State::new(GAUSSIAN.to_vec())).unwrap();
    let drawn = resample(&engine, 2, 9, 20_000, 200_000).unwrap();
    assert_eq!((drawn.points.len(), drawn.pool, drawn.warnings.len()), (40_000, 200_000, 0));
    assert!((20_000.0..100_000.0).contains(&drawn.ess), "{}", drawn.ess);
    assert!((drawn.ess_fraction - drawn.ess / 200_000.0).abs() < 1e-12);
    assert_gaussian(&drawn.points, 1.0 / (1.0 / drawn.ess + 1.0 / 20_000.0));
    assert_eq!(drawn, resample(&engine, 2, 9, 20_000, 200_000).unwrap());
    let other = resample(&engine, 2, 10, 20_000, 200_000).unwrap();
    assert_ne!((&drawn.points, drawn.ess), (&other.points, other.ess));
}

/// One value a point, the number of the proposal sample; its log-weight is a function of that.
struct Numbered(fn(u64) -> f32);

impl Engine for Numbered {
    fn fingerprint(&self) -> Fingerprint {
        unreachable!()
    }
    fn accumulate(
        &mut self,
        _: &StepPlan,
        _: &ChunkSet,
        _: &mut Partial,
    ) -> Result<(), EngineError> {
        unreachable!()
    }
    fn apply(&mut self, _: &Reduced<'_>) -> Applied {
        unreachable!()
    }
    fn skip(&mut self) {
        unreachable!()
    }
    fn head(&self) -> Head {
        unreachable!()
    }
    fn set_b(&mut self, _: f32) {
        unreachable!()
    }
    fn digest(&self) -> u128 {
        unimplemented!()
    }

    fn snapshot(&self) -> State {
        unreachable!()
    }
    fn restore(&mut self, _: &State) -> Result<(), EngineError> {
        unreachable!()
    }
}

impl DensityEngine for Numbered {
    fn score_samples(&self, _: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        for ((m, x), scored) in range.zip(x).zip(out) {
            *x = m as f32;
            *scored = Scored { energy: -(self.0)(m), ..Scored::default() };
        }
    }
    fn score(&self, _: &[f32], _: &mut [Scored]) {
        unreachable!()
    }
}

/// Weights 0, 1, 2, 3 in turn, over more samples than a block holds: each sample appears as often
/// as its weight says, rounded up or down, and the order tells nothing.
#[test]
fn each_sample_appears_by_weight() {
    let (count, pool) = (100_000, 40_000);
    let drawn = resample(&Numbered(|m| ((m % 4) as f32).ln()), 1, 2, count, pool).unwrap();
    let mut counts = vec![0.0; pool as usize];
    drawn.points.iter().for_each(|&x| counts[x as usize] += 1.0);
    for (m, n) in counts.iter().enumerate() {
        let expected = (m % 4) as f64 * count as f64 / (1.5 * pool as f64);
        assert!((n - expected).abs() < 1.0 + 1e-4, "sample {m} appears {n} times, not {expected}");
    }
    assert_eq!(drawn.unique, counts.iter().filter(|&&n| n > 0.0).count() as u64);
    // ESS = M (0+1+2+3)^2 / (4 (0+1+4+9)), and log-weights are f32.
    assert!((drawn.ess - pool as f64 * 36.0 / 56.0).abs() < 1e-2, "{}", drawn.ess);
    assert!(drawn.warnings.len() == 1 && drawn.warnings[0].contains("30000 are distinct"));
    // Two neighbours are copies of one sample with probability about 4 / pool.
    let copies = drawn.points.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(copies < 40, "{copies} neighbours are equal");
    // Mean position of the first half of the pool: uniform on 0..n, n / 2 of them.
    let first = drawn.points.iter().enumerate().filter(|&(_, &x)| x < 20_000.0);
    let position = mean(first.map(|(i, _)| i as f64 / count as f64));
    assert!((position - 0.5).abs() < 5.0 * (1.0 / (12.0 * 50_000.0f64)).sqrt(), "{position}");
}

#[test]
fn degenerate_pools() {
    let none = resample(&Numbered(|_| 0.0), 1, 0, 0, 10).unwrap();
    assert!(none.points.is_empty() && none.unique == 0);
    let one = |m| if m == 7 { -300.0 } else { f32::NEG_INFINITY };
    let drawn = resample(&Numbered(one), 1, 0, 50, 1000).unwrap();
    assert_eq!((drawn.points, drawn.unique, drawn.ess), (vec![7.0; 50], 1, 1.0));
    assert!(drawn.warnings[0].contains("1 are distinct"), "{:?}", drawn.warnings);
    assert!(drawn.warnings[1].contains("100.0 % of the weight"), "{:?}", drawn.warnings);
    // NaN and +inf are left out, the rest is drawn from.
    let odd = |m| [0.0, f32::NAN, f32::INFINITY][m as usize % 3];
    let drawn = resample(&Numbered(odd), 1, 0, 100, 900).unwrap();
    assert!(drawn.points.iter().all(|x| x % 3.0 == 0.0));
    assert!(drawn.warnings[0].starts_with("600 log-weights were not finite"));

    let error = resample(&Numbered(|_| f32::NAN), 1, 0, 5, 20).unwrap_err();
    assert!(error.to_string().contains("20 log-weights are not finite"), "{error}");
    assert!(error.hint().unwrap().contains("diverged"));
    let error = resample(&Numbered(|_| f32::NEG_INFINITY), 1, 0, 5, 20).unwrap_err();
    assert!(error.hint().unwrap().contains("misses"), "{error}");
    assert!(resample(&Numbered(|_| 0.0), 1, 0, 5, 0).is_err());
    let error = resample(&Numbered(|_| 0.0), 1, 0, u64::MAX, 5).unwrap_err();
    assert!(matches!(error, SampleError::Memory { .. }), "{error}");
    assert_eq!([1, 5000, u64::MAX].map(default_pool), [100_000, 500_000, u64::MAX]);
}
