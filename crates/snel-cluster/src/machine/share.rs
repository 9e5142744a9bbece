//! Dividing chunks among workers in proportion to their speed.

use snel_core::chunks::ChunkSet;

use crate::machine::MemberId;

/// Gives each of `workers`, by its speed and what it `has` already, its part of `chunks`. All are
/// given away; ranges stay contiguous.
pub(super) fn divide(
    mut chunks: ChunkSet,
    workers: &[(MemberId, f64, u32)],
) -> Vec<(MemberId, ChunkSet)> {
    let has: u32 = workers.iter().map(|(_, _, has)| has).sum();
    let total = f64::from(chunks.len() + has);
    let speed: f64 = workers.iter().map(|(_, speed, _)| speed).sum();
    // What each lacks of its fair part, scaled so that the parts are exactly all chunks.
    let lack = |&(_, s, has): &(MemberId, f64, u32)| (total * s / speed - f64::from(has)).max(0.0);
    let lacking: f64 = workers.iter().map(lack).sum();
    let count = f64::from(chunks.len());
    let (mut due, mut given) = (0.0, 0);
    let mut parts = Vec::with_capacity(workers.len());
    for (i, worker) in workers.iter().enumerate() {
        due += if lacking > 0.0 { count * lack(worker) / lacking } else { 0.0 };
        let end = if i + 1 == workers.len() { chunks.len() + given } else { due.round() as u32 };
        let part = chunks.take(end.saturating_sub(given).min(chunks.len()));
        given += part.len();
        parts.push((worker.0, part));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gives_everything_away_once(
            n in 0u32..500,
            workers in prop::collection::vec((0.01f64..100.0, 0u32..50), 1..9),
        ) {
            let workers: Vec<_> =
                workers.iter().enumerate().map(|(i, (s, h))| (MemberId(i as u64), *s, *h)).collect();
            let mut all = ChunkSet::default();
            for (_, part) in divide(ChunkSet::of(0..n), &workers) {
                prop_assert!(all.merge(&part).is_ok());
            }
            prop_assert_eq!(all, ChunkSet::of(0..n));
        }
    }

    #[test]
    fn follows_speed_and_what_there_is() {
        let worker = |id, speed, has| (MemberId(id), speed, has);
        let sizes = |workers: &[_]| -> Vec<u32> {
            divide(ChunkSet::of(0..60), workers).iter().map(|(_, part)| part.len()).collect()
        };
        assert_eq!(sizes(&[worker(1, 1.0, 0), worker(2, 2.0, 0)]), [20, 40]);
        assert_eq!(sizes(&[worker(1, 1.0, 20), worker(2, 1.0, 0)]), [20, 40]);
    }
}
