//! One entry in the file: length, checksum, payload.
//!
//! Invariant: no sound frame begins inside a payload, but for a checksum in 2^32 that is right by
//! chance. A length has a zero byte, as it is below 2^24, and JSON has none.

/// The first bytes of every record.
pub(super) const MAGIC: &[u8] = b"snel record 1\n";
/// Bytes before the payload.
pub(super) const HEADER: usize = 8;
/// The longest payload that is written or read: some ten thousand names of workers.
pub(super) const LONGEST: usize = 1 << 20;

/// Puts the header of `frame`, whose first [`HEADER`] bytes are free for it.
pub(super) fn seal(frame: &mut [u8]) {
    if let Some((header, payload)) = frame.split_first_chunk_mut::<HEADER>() {
        let [length, sum] = [payload.len() as u32, crc32c::crc32c(payload)].map(u32::to_le_bytes);
        header[..4].copy_from_slice(&length);
        header[4..].copy_from_slice(&sum);
    }
}

/// Payload of the frame that `bytes` begin with; none if it is damaged or does not end.
pub(super) fn payload(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > LONGEST {
        return None;
    }
    let payload = rest.get(..length)?;
    // The cheap look first: whoever searches for a frame asks at every byte. It also refuses the
    // zeros that some file systems leave behind, which are a sound checksum of nothing.
    let object = payload.starts_with(b"{") && payload.ends_with(b"}");
    (object && crc32c::crc32c(payload) == u32::from_le_bytes(*sum)).then_some(payload)
}
