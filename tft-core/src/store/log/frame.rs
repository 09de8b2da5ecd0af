//! Frames: {length, checksum, sequence, batch}, written whole and read in order.

use std::io::{self, BufReader, Read};

use super::FRAME_BYTES_MAX;
use super::header::{BadHeader, FIXED_BYTES, Header};
use crate::store::sealing::{Keyring, SealError, SegmentKey};

/// Length, checksum and sequence.
pub(in crate::store) const HEAD_BYTES: usize = 16;
const READ_BUFFER_BYTES: usize = 1 << 18;

/// Completes a frame, whose batch follows [`HEAD_BYTES`] that were left free: encrypts the batch, if the segment has
/// a key, and fills in the head.
pub(in crate::store) fn seal(
    frame: &mut Vec<u8>,
    sequence: u64,
    key: Option<&SegmentKey>,
) -> Result<(), SealError> {
    if let Some(key) = key {
        key.seal(frame, HEAD_BYTES, &sequence.to_le_bytes())?;
    }
    let length = frame.len() - HEAD_BYTES;
    frame[0..4].copy_from_slice(&(length as u32).to_le_bytes());
    frame[8..16].copy_from_slice(&sequence.to_le_bytes());
    let checksum = checksum(&frame[0..4], &frame[8..]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// The checksum covers the length, the sequence and the batch.
fn checksum(length: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(length), content)
}

/// The frames of a segment, one at a time.
pub(in crate::store) struct FrameReader {
    input: BufReader<Box<dyn Read>>,
    file_bytes: u64,
    at: u64,
    next_sequence: u64,
    content: Vec<u8>,
    key: Option<SegmentKey>,
}

/// What stands at the place of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum Next<'a> {
    Frame {
        sequence: u64,
        batch: &'a [u8],
    },
    End,
    /// No frame; what follows cannot be read either.
    Bad {
        at: u64,
        reason: &'static str,
    },
}

/// What stands at the start of a segment.
pub(in crate::store) enum Opened {
    Segment(Header, FrameReader),
    Bad(BadHeader),
}

impl FrameReader {
    /// Reads a segment's header.
    ///
    /// # Errors
    /// Those of reading, but that a file ends too soon is a bad header.
    pub(in crate::store) fn open(
        input: Box<dyn Read>,
        file_bytes: u64,
        keyring: &Keyring,
    ) -> io::Result<Opened> {
        let mut input = BufReader::with_capacity(READ_BUFFER_BYTES, input);
        let mut header = vec![0; FIXED_BYTES];
        if !read_whole(&mut input, &mut header)? {
            return Ok(Opened::Bad(BadHeader::Damaged("its header is cut short")));
        }
        let length = match header.first_chunk().map(Header::encoded_length) {
            Some(Ok(length)) => length,
            Some(Err(bad)) => return Ok(Opened::Bad(bad)),
            None => return Ok(Opened::Bad(BadHeader::Damaged("its header is cut short"))),
        };
        header.resize(length, 0);
        if !read_whole(&mut input, &mut header[FIXED_BYTES..])? {
            return Ok(Opened::Bad(BadHeader::Damaged("its header is cut short")));
        }
        Ok(match Header::decode(&header, keyring) {
            Err(bad) => Opened::Bad(bad),
            Ok((header, key)) => {
                let (at, next_sequence) = (length as u64, header.first_sequence);
                let reader = Self { input, file_bytes, at, next_sequence, content: Vec::new(), key };
                Opened::Segment(header, reader)
            }
        })
    }

    /// Returns the place after the last good frame.
    pub(in crate::store) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the key of the frames, if they are encrypted.
    pub(in crate::store) fn key(&self) -> Option<&SegmentKey> {
        self.key.as_ref()
    }

    /// Gives the key of the frames away; those that are left cannot be read then.
    pub(in crate::store) fn take_key(&mut self) -> Option<SegmentKey> {
        self.key.take()
    }

    /// Reads the next frame. After [`Next::Bad`] there is nothing more to read.
    ///
    /// # Errors
    /// Those of reading, but that a file ends too soon is a bad frame.
    pub(in crate::store) fn next(&mut self) -> io::Result<Next<'_>> {
        let at = self.at;
        let left = self.file_bytes.saturating_sub(at);
        if left == 0 {
            return Ok(Next::End);
        }
        let bad = |reason| Ok(Next::Bad { at, reason });
        let mut head = [0; HEAD_BYTES];
        if left < HEAD_BYTES as u64 || !read_whole(&mut self.input, &mut head)? {
            return bad("it ends within the head of a frame");
        }
        let (length_bytes, rest) = head.split_at(4);
        let (expected_checksum, sequence) = rest.split_at(4);
        let length = number(length_bytes) as usize;
        let overhead = self.key.as_ref().map_or(0, |_| SegmentKey::OVERHEAD_BYTES);
        if length > FRAME_BYTES_MAX + overhead {
            return bad("a frame is longer than it can be");
        }
        if length as u64 > left - HEAD_BYTES as u64 {
            return bad("it ends within a frame");
        }
        self.content.resize(sequence.len() + length, 0);
        let (head, batch) = self.content.split_at_mut(sequence.len());
        head.copy_from_slice(sequence);
        if !read_whole(&mut self.input, batch)? {
            return bad("it ends within a frame");
        }
        if u64::from(checksum(length_bytes, &self.content)) != number(expected_checksum) {
            return bad("a frame does not match its checksum");
        }
        let sequence = number(sequence);
        if sequence != self.next_sequence {
            return bad("a frame's sequence does not follow the one before it");
        }
        let batch = match &self.key {
            None => 8..8 + length,
            // The checksum holds, so that this is no frame that was half written.
            Some(key) => match key.open(&mut self.content[8..], &sequence.to_le_bytes()) {
                None => return bad("a frame was changed: it does not match its seal"),
                Some(length) => 8..8 + length,
            },
        };
        self.next_sequence = self.next_sequence.saturating_add(1);
        self.at += (HEAD_BYTES + length) as u64;
        Ok(Next::Frame { sequence, batch: &self.content[batch] })
    }
}

/// Reads at most eight bytes as a number, the least significant one first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Fills `bytes`; returns false if the input ends before that.
fn read_whole(input: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    type Frame = (u64, Vec<u8>);

    /// A segment from sequence 5 with three frames.
    fn segment() -> Vec<u8> {
        let header = Header::new(&Schema::server_metrics(), 5);
        let (mut bytes, _) = header.encode(&Keyring::empty()).unwrap();
        for (sequence, batch) in [(5, &b"one"[..]), (6, b""), (7, b"three")] {
            let mut frame = [&[0; HEAD_BYTES], batch].concat();
            seal(&mut frame, sequence, None).unwrap();
            bytes.extend_from_slice(&frame);
        }
        bytes
    }

    /// The frames of a segment, and where and why there are no more.
    fn frames(bytes: &[u8]) -> (Vec<Frame>, Option<(u64, &'static str)>) {
        let input = Box::new(io::Cursor::new(bytes.to_vec()));
        let opened = FrameReader::open(input, bytes.len() as u64, &Keyring::empty());
        let Opened::Segment(_, mut reader) = opened.unwrap() else {
            return (Vec::new(), Some((0, "header")));
        };
        let mut frames = Vec::new();
        loop {
            match reader.next().unwrap() {
                Next::Frame { sequence, batch } => frames.push((sequence, batch.to_vec())),
                Next::End => return (frames, None),
                Next::Bad { at, reason } => return (frames, Some((at, reason))),
            }
        }
    }

    #[test]
    fn frames_come_back_in_order() {
        let (frames, bad) = frames(&segment());
        let expected = [(5, b"one".to_vec()), (6, Vec::new()), (7, b"three".to_vec())];
        assert_eq!((frames, bad), (expected.to_vec(), None));
    }

    #[test]
    fn whatever_is_cut_or_changed_the_frames_before_it_are_read() {
        let whole = segment();
        let (all, _) = frames(&whole);
        for length in 0..whole.len() {
            let (some, _) = frames(&whole[..length]);
            assert!(all.starts_with(&some));
        }
        for bit in 0..8 * whole.len() {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (some, bad) = frames(&changed);
            assert!(all.starts_with(&some) && some.len() < all.len() && bad.is_some(), "bit {bit}");
        }
    }

    #[test]
    fn zeros_after_the_last_frame_are_none() {
        let mut bytes = segment();
        bytes.resize(bytes.len() + 512, 0);
        let (frames, bad) = frames(&bytes);
        assert_eq!((frames.len(), bad.unwrap().1), (3, "a frame does not match its checksum"));
    }

    #[test]
    fn a_frame_out_of_sequence_is_bad() {
        let mut bytes = segment();
        let mut frame = vec![0; HEAD_BYTES];
        seal(&mut frame, 7, None).unwrap();
        bytes.extend_from_slice(&frame);
        assert_eq!(frames(&bytes).1.unwrap().1, "a frame's sequence does not follow the one before it");
    }
}
