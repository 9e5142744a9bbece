//! Reading numbers from bytes that anyone may have written.
//!
//! Invariants
//! 1. Nothing here panics or allocates, whatever the bytes.
//! 2. A [`Fault`] names the first byte of the value that is wrong.

/// What is wrong with some bytes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is wrong.
    pub(crate) what: &'static str,
    /// Offset of the first byte of the value that is.
    pub(crate) at: usize,
}

/// The bytes that are yet to be read.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    all: &'a [u8],
    /// Offset of the value read last.
    last: usize,
    next: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(all: &'a [u8]) -> Self {
        Self { all, last: 0, next: 0 }
    }

    /// The next `len` bytes.
    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        self.last = self.next;
        let rest = &self.all[self.next..];
        let taken = rest.get(..len).ok_or(self.fault("the bytes end too early"))?;
        self.next += len;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.slice(N)?);
        Ok(taken)
    }

    /// Refuses the value read last unless it is `sound`.
    pub(crate) fn check(&self, sound: bool, what: &'static str) -> Result<(), Fault> {
        if sound { Ok(()) } else { Err(self.fault(what)) }
    }

    /// Says what is wrong with the value read last.
    pub(crate) fn fault(&self, what: &'static str) -> Fault {
        Fault { what, at: self.last }
    }
}
