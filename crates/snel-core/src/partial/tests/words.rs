use super::bytes::{CHUNKS, chunks, encoded, of, sample, use_up};
use super::*;

fn words(partial: &Partial) -> Vec<i64> {
    let mut out = Vec::new();
    partial.write_words(&mut out);
    assert_eq!(out.len(), partial.n_words());
    out
}

proptest! {
    /// The chunks are dealt to some workers; the words of the workers' sums add to the words of the
    /// sum of all, whose bytes are the same.
    #[test]
    fn the_sum_of_words_is_the_words_of_the_sum(
        chunks in chunks(),
        separates_samples in any::<bool>(),
        dealer in any::<u64>(),
        workers in 1usize..5,
    ) {
        let all: Vec<usize> = (0..chunks.len()).collect();
        let whole = of(&chunks, &all, separates_samples);
        let worker_of = |i: usize| (dealer.wrapping_mul(2 * i as u64 + 1) >> 32) as usize % workers;
        let mut sum = vec![0; whole.n_words()];
        let mut extremes = Extremes::default();
        for worker in 0..workers {
            let mine: Vec<usize> = all.iter().copied().filter(|i| worker_of(*i) == worker).collect();
            let part = of(&chunks, &mine, separates_samples);
            sum.iter_mut().zip(words(&part)).for_each(|(sum, word)| *sum += word);
            extremes = extremes.or(part.extremes());
        }
        let mut read = of(&chunks, &[], separates_samples);
        read.set_words(&sum, whole.chunks().clone(), extremes).unwrap();
        prop_assert_eq!(encoded(&read), encoded(&whole));
        prop_assert_eq!(words(&read), words(&whole));
    }

    /// Numbers from the ends of their type, anywhere.
    #[test]
    fn damage_is_refused_or_harmless(
        separates_samples in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            i64::MIN, i64::MIN + 1, -(1 << 62), -1, 0, 1, 1 << 32, 1 << 62, i64::MAX,
        ])), 1..6),
    ) {
        let honest = sample(separates_samples);
        let mut words = words(&honest);
        for (at, number) in damage {
            let at = at.index(words.len());
            words[at] = number;
        }
        let mut read = honest.clone();
        if read.set_words(&words, honest.chunks().clone(), honest.extremes()).is_ok() {
            use_up(&read);
        } else {
            prop_assert_eq!(encoded(&read), encoded(&honest));
        }
    }
}

#[test]
fn faults_say_what_and_where() {
    let honest = sample(true);
    let words = words(&honest);
    let extremes = honest.extremes();
    let scalars = words.len() - 482;
    let refusal = |words: &[i64], chunks: ChunkSet, extremes| {
        honest.clone().set_words(words, chunks, extremes).unwrap_err().to_string()
    };
    for (at, word, message) in [
        (0, -1, format!("byte {}: a count is beyond what its chunks can hold", 8 * scalars)),
        (3, 3 << 33 | 1, format!("byte {}: a count is beyond", 8 * (scalars + 3))),
        (6, 1 << 62, format!("byte {}: a sum is beyond what", 8 * (scalars + 6))),
        (209, 1, format!("byte {}: a sum is beyond what", 8 * (scalars + 6 + 2 * 68))),
    ] {
        let mut damaged = words.clone();
        damaged[scalars + at] = word;
        let said = refusal(&damaged, honest.chunks().clone(), extremes);
        assert!(said.starts_with(&format!("partial sums, {message}")), "{said}");
    }
    let short = refusal(&words[1..], honest.chunks().clone(), extremes);
    let (found, needed) = (8 * (words.len() - 1), 8 * words.len());
    assert_eq!(
        short,
        format!("partial sums of {found} bytes; by their header there must be {needed}")
    );
    let foreign = refusal(&words, ChunkSet::of(0..CHUNKS + 1), extremes);
    assert!(foreign.ends_with("the step has no such chunk"), "{foreign}");
    for (extremes, message) in [
        (Extremes { magnitude: f32::NAN, ..extremes }, "the largest magnitude is not one"),
        (Extremes { magnitude: -0.0, ..extremes }, "the largest magnitude is not one"),
        (Extremes { u: f64::NAN, ..extremes }, "the largest u is not a number"),
    ] {
        let said = refusal(&words, honest.chunks().clone(), extremes);
        assert!(said.ends_with(message), "{said}");
    }
}

/// As many sums as invariant 2 says stay within what is read.
#[test]
fn digits_have_room() {
    let digit = i64::from(u32::MAX);
    assert!(digit << 30 < 1 << 62);
    let mut honest = Statistics::default();
    let mut tally = Tally::default();
    tally.add_row(-1e300);
    honest.add(&tally);
    let mut words = Vec::new();
    honest.write_words(&mut words);
    assert!(words.iter().all(|word| (-1..=digit).contains(word)), "{words:?}");
}
