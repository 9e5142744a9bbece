//! Damage by counter: the same seed and round give the same bytes.

use snel_core::philox::philox4x32_10;

/// Random numbers of one round.
#[derive(Debug, Clone)]
pub struct Draws {
    round: u32,
    next: u32,
}

impl Draws {
    /// The numbers of `round`, from the first.
    pub fn new(round: u32) -> Self {
        Self { round, next: 0 }
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.next += 1;
        philox4x32_10([11, 0], [self.round, self.next, 0, 0])[0] as usize % bound.max(1)
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Sizes that break arithmetic: the ends of the integer types, and powers of two between them.
const HUGE: &[u64] =
    &[0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 31, 1 << 40, 1 << 62, 1 << 63, u64::MAX];

/// Pieces that mean something in a text or in a header.
const SPICE: &[&[u8]] = &[
    b"[",
    b"]",
    b"(",
    b"{",
    b"}",
    b"\"",
    b"'",
    b"=",
    b",",
    b";",
    b":",
    b"#",
    b"\\",
    b"\n",
    b"\r",
    b"\t",
    b"\0",
    b"\x1b[31m",
    b"-",
    b"nan",
    b"-inf",
    b"1e999",
    b"null",
    b"99999999999999999999",
    b"18446744073709551615",
    b"4294967296",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\xa6\x80",
];

/// One of `seeds`, damaged in one to four ways.
pub fn damage(seeds: &[Vec<u8>], draws: &mut Draws) -> Vec<u8> {
    let mut bytes = seeds[draws.below(seeds.len())].clone();
    for _ in 0..=draws.below(4) {
        hurt(&mut bytes, seeds, draws);
    }
    bytes
}

fn hurt(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], draws: &mut Draws) {
    let (at, end) = place(bytes.len(), draws);
    match draws.below(9) {
        0 => bytes[at..end].iter_mut().take(1).for_each(|b| *b ^= 1 << draws.below(8)),
        1 => bytes[at..end].iter_mut().take(1).for_each(|b| *b = draws.below(256) as u8),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            let (to, _) = place(bytes.len(), draws);
            bytes.splice(to..to, copy);
        }
        5 => {
            let other = &seeds[draws.below(seeds.len())];
            let (from, to) = place(other.len(), draws);
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        6 => {
            let piece = draws.pick(SPICE);
            bytes.splice(at..at, piece.iter().copied());
        }
        7 => overwrite(&mut bytes[at..], draws),
        _ => rewrite_number(bytes, at, draws),
    }
}

/// A piece of up to 32 bytes. Headers are at the start and indices at the end, so half of the
/// pieces are there.
fn place(len: usize, draws: &mut Draws) -> (usize, usize) {
    let at = match draws.below(4) {
        0 => draws.below(len.min(128)),
        1 => len.saturating_sub(1 + draws.below(len.min(256))),
        _ => draws.below(len),
    };
    (at, (at + 1 + draws.below(32)).min(len))
}

/// Puts a number of 2, 4 or 8 bytes, in either order of bytes, over what is there.
fn overwrite(bytes: &mut [u8], draws: &mut Draws) {
    let number = draws.pick(HUGE).to_le_bytes();
    let size = draws.pick(&[2, 4, 8]).min(bytes.len());
    bytes[..size].copy_from_slice(&number[..size]);
    if draws.below(2) == 0 {
        bytes[..size].reverse();
    }
}

/// Replaces the first number in decimal digits after `at` by a huge one.
fn rewrite_number(bytes: &mut Vec<u8>, at: usize, draws: &mut Draws) {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit) else { return };
    let start = at + start;
    let end = start + digits(&bytes[start..]);
    let number = draws.pick(HUGE).to_string();
    bytes.splice(start..end, number.into_bytes());
}
