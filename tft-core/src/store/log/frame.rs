//! Frames: {length, checksum, sequence, batch}, written whole and read in order, also from behind damage.

use std::io::{self, Read};

use super::header::{BadHeader, FIXED_BYTES, Header};
use super::lookahead::Lookahead;
use super::{FRAME_BYTES_MAX, HEADER_BYTES_MAX};
use crate::store::sealing::{Keyring, SealError, SegmentKey};

/// Length, checksum and sequence.
pub(in crate::store) const HEAD_BYTES: usize = 16;

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
///
/// Behind damage it searches for the next frame. A place is looked at more closely if it could be the head of
/// one: the sequence takes eight bytes, and only few numbers can come next, so that they serve as a marker.
/// Memory is bounded by two frames, work by the file's bytes: see [`SEARCHES_MAX`].
pub(in crate::store) struct FrameReader {
    input: Lookahead,
    file_bytes: u64,
    next_sequence: u64,
    key: Option<SegmentKey>,
    /// The batch of the frame that was checked last, if frames are encrypted.
    opened: Vec<u8>,
    /// Bytes of the frame that was returned last.
    returned: usize,
    /// How many more bytes may be held against checksums and seals that do not match.
    search_bytes_left: u64,
    /// Whether a checksum matched, since the last good frame, and the seal did not.
    has_broken_seal: bool,
}

/// What stands at the place of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum Next<'a> {
    Frame {
        at: u64,
        sequence: u64,
        batch: &'a [u8],
        /// What stands between it and the frame before.
        skipped: Option<Skipped>,
    },
    End,
    /// No frame, and none after it.
    Bad {
        at: u64,
        reason: &'static str,
        /// Whether it can be what a write that was cut off left: all of it was searched for a frame, and nothing in
        /// it was a frame once and was changed.
        is_torn: bool,
    },
}

/// Bytes that are no frame, before one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Skipped {
    pub(in crate::store) at: u64,
    pub(in crate::store) bytes: u64,
    pub(in crate::store) reason: &'static str,
}

/// What stands at the start of a segment.
pub(in crate::store) enum Opened {
    Segment(Header, FrameReader),
    Bad(BadHeader),
}

/// The head of a frame that is whole.
#[derive(Clone, Copy)]
struct Whole {
    sequence: u64,
    bytes: usize,
}

/// What a search came to.
enum Searched {
    Found(Whole),
    Nothing,
    GaveUp,
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
        let mut input = Lookahead::new(input);
        let cut_short = Ok(Opened::Bad(BadHeader::Damaged("its header is cut short")));
        let length = match input.peek(FIXED_BYTES)?.first_chunk().map(Header::encoded_length) {
            Some(Ok(length)) => length,
            Some(Err(bad)) => return Ok(Opened::Bad(bad)),
            None => return cut_short,
        };
        let header = input.peek(length)?;
        if header.len() < length {
            return cut_short;
        }
        Ok(match Header::decode(header, keyring) {
            Err(bad) => Opened::Bad(bad),
            Ok((header, key)) => {
                input.pass(length);
                let reader = Self::behind_header(input, &header, (file_bytes, key));
                Opened::Segment(header, reader)
            }
        })
    }

    /// Reads a segment whose header is damaged as if it were `header`; none if too much of it differs. The salt of an
    /// encrypted one and the nonce of its names cannot be known: one that is damaged there differs everywhere.
    ///
    /// # Errors
    /// Those of reading.
    pub(in crate::store) fn open_as(
        header: &Header,
        keyring: &Keyring,
        (input, file_bytes): (Box<dyn Read>, u64),
    ) -> io::Result<Option<Self>> {
        let mut input = Lookahead::new(input);
        let found = input.peek(HEADER_BYTES_MAX)?;
        let resembles = |encoded: &[u8]| {
            found.get(..encoded.len()).is_some_and(|found| {
                found.iter().zip(encoded).filter(|(found, expected)| found != expected).count()
                    <= MENDED_BYTES_MAX
            })
        };
        let encodings = header.encodings_like(found, keyring);
        let Some((encoded, key)) = encodings.into_iter().find(|(encoded, _)| resembles(encoded)) else {
            return Ok(None);
        };
        input.pass(encoded.len());
        Ok(Some(Self::behind_header(input, header, (file_bytes, key))))
    }

    /// Returns the key of the frames, if they are encrypted.
    pub(in crate::store) fn key(&self) -> Option<&SegmentKey> {
        self.key.as_ref()
    }

    /// Gives the key of the frames away; those that are left cannot be read then.
    pub(in crate::store) fn take_key(&mut self) -> Option<SegmentKey> {
        self.key.take()
    }

    /// Returns the place after the last good frame.
    pub(in crate::store) fn at(&self) -> u64 {
        self.input.at() + self.returned as u64
    }

    /// Reads the next frame, searching for it if there is none at its place. After [`Next::Bad`] there is
    /// nothing more to read.
    ///
    /// # Errors
    /// Those of reading, but that a file ends too soon is a bad frame.
    pub(in crate::store) fn next(&mut self) -> io::Result<Next<'_>> {
        self.input.pass(std::mem::take(&mut self.returned));
        let at = self.input.at();
        if self.input.peek(1)?.is_empty() {
            return Ok(Next::End);
        }
        let reason = match self.check_at(0)? {
            Ok(whole) => return self.hand_out(whole, None),
            Err(reason) => reason,
        };
        match self.search()? {
            Searched::Found(whole) => {
                let skipped = Skipped { at, bytes: self.input.at() - at, reason };
                self.hand_out(whole, Some(skipped))
            }
            Searched::Nothing => Ok(Next::Bad { at, reason, is_torn: !self.has_broken_seal }),
            Searched::GaveUp => Ok(Next::Bad { at, reason, is_torn: false }),
        }
    }

    fn behind_header(
        input: Lookahead,
        header: &Header,
        (file_bytes, key): (u64, Option<SegmentKey>),
    ) -> Self {
        Self {
            input,
            file_bytes,
            next_sequence: header.first_sequence,
            key,
            opened: Vec::new(),
            returned: 0,
            search_bytes_left: file_bytes.saturating_mul(SEARCHES_MAX),
            has_broken_seal: false,
        }
    }

    fn hand_out(&mut self, whole: Whole, skipped: Option<Skipped>) -> io::Result<Next<'_>> {
        let Whole { sequence, bytes } = whole;
        self.next_sequence = sequence.saturating_add(1);
        self.returned = bytes;
        self.has_broken_seal = false;
        let at = self.input.at();
        let batch = match self.key {
            None => self.input.peek(bytes)?.get(HEAD_BYTES..).unwrap_or_default(),
            Some(_) => &self.opened,
        };
        Ok(Next::Frame { at, sequence, batch, skipped })
    }

    /// Returns the frame that starts `offset` bytes ahead, or why there is none.
    fn check_at(&mut self, offset: usize) -> io::Result<Result<Whole, &'static str>> {
        let left = self.file_bytes.saturating_sub(self.input.at() + offset as u64);
        let (next, reach) = (self.next_sequence, self.reach());
        let ahead = self.input.peek(offset + HEAD_BYTES)?;
        let Some(&head) = ahead.get(offset..).and_then(<[u8]>::first_chunk::<HEAD_BYTES>) else {
            return Ok(Err("it ends within the head of a frame"));
        };
        let length = number(&head[0..4]) as usize;
        if length > self.length_max() {
            return Ok(Err("a frame is longer than it can be"));
        }
        let bytes = HEAD_BYTES + length;
        if bytes as u64 > left {
            return Ok(Err("it ends within a frame"));
        }
        let ahead = self.input.peek(offset + bytes)?;
        let Some(frame) = ahead.get(offset..offset + bytes) else {
            return Ok(Err("it ends within a frame"));
        };
        if u64::from(checksum(&frame[0..4], &frame[8..])) != number(&frame[4..8]) {
            self.search_bytes_left = self.search_bytes_left.saturating_sub(bytes as u64);
            return Ok(Err("a frame does not match its checksum"));
        }
        let sequence = number(&head[8..16]);
        if !can_follow(sequence, next, reach) {
            return Ok(Err("a frame's sequence does not follow the one before it"));
        }
        if let Some(key) = &self.key {
            self.opened.clear();
            self.opened.extend_from_slice(&frame[HEAD_BYTES..]);
            let Some(length) = key.open(&mut self.opened, &frame[8..HEAD_BYTES]) else {
                self.search_bytes_left = self.search_bytes_left.saturating_sub(bytes as u64);
                self.has_broken_seal = true;
                return Ok(Err("a frame was changed: it does not match its seal"));
            };
            self.opened.truncate(length);
        }
        Ok(Ok(Whole { sequence, bytes }))
    }

    /// Passes what is not a frame, up to the next one or the end.
    fn search(&mut self) -> io::Result<Searched> {
        if let Some(whole) = self.pass_one()? {
            return Ok(Searched::Found(whole));
        }
        loop {
            self.input.pass(1);
            let (next, reach, length_max) = (self.next_sequence, self.reach(), self.length_max());
            let ahead = self.input.peek(SEARCH_BLOCK_BYTES)?;
            if ahead.len() < HEAD_BYTES {
                self.input.pass(HEAD_BYTES);
                return Ok(Searched::Nothing);
            }
            let heads = ahead.len() - (HEAD_BYTES - 1);
            match ahead.windows(HEAD_BYTES).position(|head| is_plausible(head, next, reach, length_max)) {
                None => self.input.pass(heads - 1),
                Some(offset) => {
                    self.input.pass(offset);
                    if let Ok(whole) = self.check_at(0)? {
                        return Ok(Searched::Found(whole));
                    }
                    if self.search_bytes_left == 0 {
                        return Ok(Searched::GaveUp);
                    }
                }
            }
        }
    }

    /// Passes exactly one damaged frame, if its length is still right: what follows it is the next but one.
    fn pass_one(&mut self) -> io::Result<Option<Whole>> {
        let length = number(self.input.peek(4)?) as usize;
        if length > self.length_max() {
            return Ok(None);
        }
        let found = self.check_at(HEAD_BYTES + length)?.ok();
        let found = found.filter(|whole| whole.sequence == self.next_sequence.saturating_add(1));
        if found.is_some() {
            self.input.pass(HEAD_BYTES + length);
        }
        Ok(found)
    }

    /// Most bytes that follow the head of a frame.
    fn length_max(&self) -> usize {
        FRAME_BYTES_MAX + self.key.as_ref().map_or(0, |_| SegmentKey::OVERHEAD_BYTES)
    }

    /// More frames than the file has.
    fn reach(&self) -> u64 {
        self.file_bytes / HEAD_BYTES as u64
    }
}

/// Returns whether bytes could be the head of a frame: cheap, and false for nearly all that are not.
fn is_plausible(head: &[u8], next_sequence: u64, reach: u64, length_max: usize) -> bool {
    let sequence = head.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    can_follow(sequence, next_sequence, reach) && number(&head[0..4]) <= length_max as u64
}

/// Returns whether a frame can be one of a file that comes later than the last one.
fn can_follow(sequence: u64, next_sequence: u64, reach: u64) -> bool {
    sequence.checked_sub(next_sequence).is_some_and(|ahead| ahead <= reach)
}

/// Reads at most eight bytes as a number, the least significant one first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// How often, all in all, the bytes of a file are held against checksums and seals that do not match before the search
/// for frames is given up. Damage does not come near; a file that is made for it could ask for the square of
/// its length.
const SEARCHES_MAX: u64 = 16;
const SEARCH_BLOCK_BYTES: usize = 1 << 16;
/// Most bytes of a header that may be damaged so that it is still taken for the one that it most resembles.
const MENDED_BYTES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::Schema;

    type Frame = (u64, Vec<u8>);

    /// What was read of a segment.
    #[derive(Debug, PartialEq, Default)]
    struct Read {
        frames: Vec<Frame>,
        /// Place and length of what was skipped.
        skipped: Vec<(u64, u64)>,
        /// Where and why there are no more frames.
        bad: Option<(u64, &'static str)>,
        gave_up: bool,
    }

    fn header() -> Header {
        Header::new(&Schema::server_metrics(), 5)
    }

    fn frame(sequence: u64, batch: &[u8]) -> Vec<u8> {
        let mut frame = [&[0; HEAD_BYTES], batch].concat();
        seal(&mut frame, sequence, None).unwrap();
        frame
    }

    /// A segment from sequence 5 with a frame for each batch, and where each frame lies.
    fn segment(batches: &[&[u8]]) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
        segment_with(batches, &Keyring::empty())
    }

    fn segment_with(batches: &[&[u8]], keyring: &Keyring) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
        let (mut bytes, key) = header().encode(keyring).unwrap();
        let mut places = Vec::new();
        for (sequence, batch) in (5..).zip(batches) {
            let start = bytes.len();
            let mut frame = [&[0; HEAD_BYTES], *batch].concat();
            seal(&mut frame, sequence, key.as_ref()).unwrap();
            bytes.extend_from_slice(&frame);
            places.push(start..bytes.len());
        }
        (bytes, places)
    }

    /// No key, and one if this build can encrypt.
    fn keyring(has_key: bool) -> Keyring {
        #[cfg(feature = "encryption")]
        if has_key {
            let key = Some(crate::store::EncryptionKey::new([7; 32]));
            return Keyring::of(&crate::store::StoreConfig { key, ..Default::default() });
        }
        let _ = has_key;
        Keyring::empty()
    }

    fn read(bytes: &[u8]) -> Read {
        read_with(bytes, &Keyring::empty())
    }

    fn read_with(bytes: &[u8], keyring: &Keyring) -> Read {
        let input = Box::new(io::Cursor::new(bytes.to_vec()));
        let opened = FrameReader::open(input, bytes.len() as u64, keyring);
        let Opened::Segment(_, mut reader) = opened.unwrap() else {
            return Read { bad: Some((0, "header")), ..Read::default() };
        };
        let mut read = Read::default();
        loop {
            match reader.next().unwrap() {
                Next::Frame { sequence, batch, skipped, .. } => {
                    read.frames.push((sequence, batch.to_vec()));
                    read.skipped.extend(skipped.map(|skipped| (skipped.at, skipped.bytes)));
                }
                Next::End => return read,
                Next::Bad { at, reason, is_torn } => {
                    return Read { bad: Some((at, reason)), gave_up: !is_torn, ..read };
                }
            }
        }
    }

    const BATCHES: [&[u8]; 4] = [b"one", b"", b"three", &[b'4'; 112]];

    #[test]
    fn frames_come_back_in_order() {
        let (bytes, _) = segment(&BATCHES);
        let frames = (5..).zip(BATCHES.map(<[u8]>::to_vec)).collect();
        assert_eq!(read(&bytes), Read { frames, ..Read::default() });
    }

    #[test]
    fn a_file_may_end_anywhere() {
        let (whole, places) = segment(&BATCHES);
        let all = read(&whole).frames;
        for length in 0..whole.len() {
            let found = read(&whole[..length]);
            let count = places.iter().filter(|place| place.end <= length).count();
            assert_eq!((&found.frames[..], found.skipped.len()), (&all[..count], 0), "{length}");
        }
    }

    #[test]
    fn a_changed_bit_costs_the_frame_that_has_it_and_no_other() {
        let (whole, places) = segment(&BATCHES);
        let all = read(&whole).frames;
        for bit in 8 * places[0].start..8 * whole.len() {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let hit = places.iter().position(|place| place.contains(&(bit / 8))).unwrap();
            let mut expected = Read { frames: all.clone(), ..Read::default() };
            expected.frames.remove(hit);
            let found = read(&changed);
            assert_eq!(found.frames, expected.frames, "bit {bit}");
            let (start, length) = (places[hit].start as u64, places[hit].len() as u64);
            if hit + 1 < places.len() {
                assert_eq!((found.skipped, found.bad), (vec![(start, length)], None), "bit {bit}");
            } else {
                assert_eq!((found.skipped, found.bad.unwrap().0), (vec![], start), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_changed_length_that_points_to_a_later_frame_hides_none() {
        let (mut bytes, places) = segment(&[&[1; 112], &[2; 112], &[3; 112], &[4; 112]]);
        bytes[places[1].start] ^= 0x80;
        assert_eq!(places[1].start + 112 + 0x80 + HEAD_BYTES, places[3].start);
        let sequences: Vec<_> = read(&bytes).frames.iter().map(|frame| frame.0).collect();
        assert_eq!(sequences, [5, 7, 8]);
    }

    #[test]
    fn zeros_after_the_last_frame_are_none() {
        let (mut bytes, _) = segment(&BATCHES);
        bytes.resize(bytes.len() + 512, 0);
        let found = read(&bytes);
        assert_eq!((found.frames.len(), found.bad.unwrap().1), (4, "a frame does not match its checksum"));
        assert!(!found.gave_up);
    }

    #[test]
    fn a_frame_that_came_before_is_skipped() {
        let (mut bytes, _) = segment(&BATCHES);
        bytes.extend_from_slice(&frame(8, b"again"));
        assert_eq!(read(&bytes).bad.unwrap().1, "a frame's sequence does not follow the one before it");
        bytes.extend_from_slice(&frame(9, b"new"));
        let found = read(&bytes);
        assert_eq!((found.frames.last().unwrap().0, found.skipped.len(), found.bad), (9, 1, None));
    }

    #[test]
    fn a_file_made_of_heads_is_given_up() {
        let (mut bytes, _) = segment(&BATCHES);
        let start = bytes.len();
        let mut left = 1_u32 << 20;
        while left > 0 {
            left -= HEAD_BYTES as u32;
            bytes.extend_from_slice(&[&left.to_le_bytes()[..], &[0; 4], &9_u64.to_le_bytes()].concat());
        }
        let found = read(&bytes);
        assert_eq!((found.frames.len(), found.bad.unwrap().0, found.gave_up), (4, start as u64, true));
    }

    #[test]
    fn a_header_that_is_nearly_the_expected_one_is_taken_for_it() {
        let (mut bytes, _) = segment(&BATCHES);
        let frames_as = |bytes: &[u8]| {
            let file: (Box<dyn io::Read>, u64) =
                (Box::new(io::Cursor::new(bytes.to_vec())), bytes.len() as u64);
            let mut reader = FrameReader::open_as(&header(), &Keyring::empty(), file).unwrap()?;
            Some(matches!(reader.next().unwrap(), Next::Frame { sequence: 5, .. }))
        };
        for byte in 0..=MENDED_BYTES_MAX {
            assert_eq!(frames_as(&bytes), Some(true));
            bytes[3 * byte] ^= 0x55;
        }
        assert_eq!(frames_as(&bytes), None);
        assert_eq!(frames_as(&bytes[..20]), None);
    }

    /// Ranges of a file, in thousandths of it, that are overwritten with zeros or noise.
    fn damages() -> impl Strategy<Value = Vec<(usize, usize, Option<u64>)>> {
        vec((0..1000_usize, 1..400_usize, proptest::option::of(any::<u64>())), 0..4)
    }

    fn overwrite(bytes: &mut [u8], noise: Option<u64>) {
        let mut state = noise.unwrap_or(0);
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(noise.is_some()));
            *byte = (state >> 56) as u8;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The model: a frame is read if its bytes are as they were written.
        #[test]
        fn frames_without_damage_are_read_and_no_others(
            batches in vec(vec(any::<u8>(), 0..300), 1..20),
            damages in damages(),
            cut in 0..1200_usize,
            has_key: bool,
        ) {
            let keyring = keyring(has_key);
            let batches: Vec<_> = batches.iter().map(Vec::as_slice).collect();
            let (whole, places) = segment_with(&batches, &keyring);
            let mut bytes = whole.clone();
            let frames = places[0].start;
            let length = bytes.len() - frames;
            for (start, span, noise) in damages {
                let start = frames + start * length / 1000;
                let end = bytes.len().min(start + span);
                overwrite(&mut bytes[start..end], noise);
            }
            bytes.truncate(frames + cut * length / 1000);
            let is_intact = |place: &std::ops::Range<usize>| bytes.get(place.clone()) == Some(&whole[place.clone()]);
            let expected: Vec<Frame> = (5..)
                .zip(&places)
                .zip(&batches)
                .filter(|((_, place), _)| is_intact(place))
                .map(|((sequence, _), batch)| (sequence, batch.to_vec()))
                .collect();
            let found = read_with(&bytes, &keyring);
            prop_assert_eq!(found.frames, expected);
            prop_assert!(!found.gave_up);
        }
    }
}
