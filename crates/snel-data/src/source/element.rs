//! Numbers in bytes.

/// The type of one stored number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Element {
    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Appends the numbers in `bytes` to `out`; 64-bit integers round to the nearest f64.
    pub(super) fn decode(self, big_endian: bool, bytes: &[u8], out: &mut Vec<f64>) {
        match self {
            Self::Bool => out.extend(bytes.iter().map(|&b| f64::from(u8::from(b != 0)))),
            Self::U8 => out.extend(bytes.iter().map(|&b| f64::from(b))),
            Self::I8 => out.extend(bytes.iter().map(|&b| f64::from(b as i8))),
            Self::U16 => each(bytes, big_endian, out, |b| f64::from(u16::from_le_bytes(b))),
            Self::I16 => each(bytes, big_endian, out, |b| f64::from(i16::from_le_bytes(b))),
            Self::U32 => each(bytes, big_endian, out, |b| f64::from(u32::from_le_bytes(b))),
            Self::I32 => each(bytes, big_endian, out, |b| f64::from(i32::from_le_bytes(b))),
            Self::F32 => each(bytes, big_endian, out, |b| f64::from(f32::from_le_bytes(b))),
            Self::U64 => each(bytes, big_endian, out, |b| u64::from_le_bytes(b) as f64),
            Self::I64 => each(bytes, big_endian, out, |b| i64::from_le_bytes(b) as f64),
            Self::F64 => each(bytes, big_endian, out, f64::from_le_bytes),
        }
    }
}

fn each<const N: usize>(
    bytes: &[u8],
    big_endian: bool,
    out: &mut Vec<f64>,
    number: impl Fn([u8; N]) -> f64,
) {
    let (numbers, _) = bytes.as_chunks::<N>();
    out.extend(numbers.iter().map(|&(mut bytes)| {
        if big_endian {
            bytes.reverse();
        }
        number(bytes)
    }));
}
