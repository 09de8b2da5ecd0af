//! A file that is read from its start to its end, of which a part can be looked at before it is passed.
//!
//! Owns how much of a file is in memory: what was looked at and not passed yet, and a block.

use std::io::{self, Read};

/// A file that is read from its start to its end.
pub(super) struct Lookahead {
    input: Box<dyn Read>,
    held: Vec<u8>,
    /// Where the first byte that was not passed is in `held`.
    start: usize,
    at: u64,
}

impl Lookahead {
    pub(super) fn new(input: Box<dyn Read>) -> Self {
        Self { input, held: Vec::new(), start: 0, at: 0 }
    }

    /// Returns the place in the file, in bytes, up to which everything was passed.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the next `count` bytes, or as many as there are until the end of the file.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        let held = self.held.len() - self.start;
        if held < count {
            self.held.drain(..self.start);
            self.start = 0;
            let missing = (count - held).max(BLOCK_BYTES);
            self.held.reserve(missing);
            (&mut self.input).take(missing as u64).read_to_end(&mut self.held)?;
        }
        let bytes = &self.held[self.start..];
        Ok(&bytes[..count.min(bytes.len())])
    }

    /// Passes bytes that were looked at.
    pub(super) fn pass(&mut self, count: usize) {
        let count = count.min(self.held.len() - self.start);
        self.start += count;
        self.at += count as u64;
    }
}

const BLOCK_BYTES: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_passed_is_seen_again() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
        let mut file = Lookahead::new(Box::new(io::Cursor::new(bytes.clone())));
        let mut at = 0;
        for count in [0, 1, 300_000, 5, 16, 600_000, 200_000] {
            assert_eq!(file.peek(count).unwrap(), &bytes[at..bytes.len().min(at + count)]);
            assert_eq!(file.peek(count / 2).unwrap(), &bytes[at..bytes.len().min(at + count / 2)]);
            file.pass(count / 2);
            at += count / 2;
            assert_eq!(file.at(), at as u64);
        }
        assert_eq!(file.peek(1 << 21).map(<[u8]>::len).unwrap(), bytes.len() - at);
        file.pass(usize::MAX);
        assert_eq!((file.at(), file.peek(1).unwrap()), (bytes.len() as u64, &[][..]));
    }
}
