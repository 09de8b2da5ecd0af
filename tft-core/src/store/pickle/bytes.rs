//! The bytes of a pickle, taken from the front and never beyond the end.

use super::error::PickleError;

/// A position in the file.
#[derive(Debug)]
pub(super) struct Bytes<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(file: &'a [u8]) -> Self {
        Self { file, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn remaining(&self) -> usize {
        self.file.len() - self.at
    }

    pub(super) fn damaged(&self, reason: &'static str) -> PickleError {
        PickleError::Damaged { at: self.at, reason }
    }

    /// Takes bytes whose number the file states.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.file.len());
        let Some(end) = end else { return Err(self.damaged("a length goes beyond the end")) };
        let taken = &self.file[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        let Some((taken, _)) = self.file[self.at..].split_first_chunk::<N>() else {
            return Err(self.damaged("it ends within an instruction"));
        };
        self.at += N;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes an unsigned length of 1, 4 or 8 bytes.
    pub(super) fn length<const N: usize>(&mut self) -> Result<usize, PickleError> {
        let taken = self.array::<N>()?;
        let length = taken.iter().rev().fold(0_u64, |length, &byte| length << 8 | u64::from(byte));
        usize::try_from(length).map_err(|_| self.damaged("a length goes beyond the end"))
    }

    /// Takes what stands before the next line feed, and that.
    pub(super) fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = &self.file[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.damaged("a line has no end"));
        };
        self.at += length + 1;
        Ok(&rest[..length])
    }

    /// Takes a line of characters below 128, without the blanks around it.
    pub(super) fn ascii_line(&mut self) -> Result<&'a str, PickleError> {
        let at = self.at;
        let line = self.line()?;
        let text = std::str::from_utf8(line).ok().filter(|text| text.is_ascii());
        text.map(str::trim).ok_or(PickleError::Damaged { at, reason: "a line is not ASCII" })
    }
}
