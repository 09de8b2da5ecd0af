//! A stream in Arrow's IPC format, taken apart without trusting it.
//!
//! The decoder (arrow-ipc 59.3) slices its buffers where a message says, checks text again for every batch that shares
//! it, and has panics for what it does not know. Its messages are therefore looked at first: what they say of lengths
//! must fit the bytes that are there, and what all of them cost together is bounded. What is left is caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{Message, MessageHeader, RecordBatch as BatchHeader};
use arrow_schema::ArrowError;

use super::ArrowFeedError;
use crate::time::abbreviate;

/// Most fields of the schema, those inside of other fields included.
const FIELDS_MAX: usize = 1_024;
/// Most levels of fields inside each other.
const DEPTH_MAX: usize = 16;
/// Most messages of a stream: the schema, dictionaries and batches.
const MESSAGES_MAX: usize = 10_000;
/// Most bytes of dictionaries that the decoder looks at, counted again for each batch and field that may use them.
const DICTIONARY_WORK_BYTES_MAX: u64 = 1 << 30;

/// Reads the batches of a stream; their rows are at most `records_max`.
pub(super) fn read(bytes: &[u8], records_max: usize) -> Result<Vec<RecordBatch>, ArrowFeedError> {
    Check::new(records_max).stream(bytes)?;
    // What the decoder works on is dropped with it, so that no broken state is left behind.
    catch_unwind(AssertUnwindSafe(|| decode(bytes)))
        .unwrap_or_else(|panic| Err(refused(format!("the decoder gave up with `{}`", message_of(&*panic)))))
}

fn decode(bytes: &[u8]) -> Result<Vec<RecordBatch>, ArrowFeedError> {
    let failed = |error: ArrowError| refused(abbreviate(&error.to_string()));
    let mut buffer = Buffer::from(bytes);
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    while !buffer.is_empty() {
        batches.extend(decoder.decode(&mut buffer).map_err(failed)?);
    }
    decoder.finish().map_err(failed)?;
    if decoder.schema().is_none() {
        return Err(refused("it has no schema"));
    }
    Ok(batches)
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    abbreviate(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message"))
}

fn refused(reason: impl Into<String>) -> ArrowFeedError {
    ArrowFeedError::Stream { reason: reason.into() }
}

/// What the messages so far say.
struct Check {
    records_max: usize,
    records: usize,
    messages: usize,
    /// Fields that a batch has.
    fields: usize,
    dictionary_bytes: u64,
    dictionary_work_bytes: u64,
}

impl Check {
    fn new(records_max: usize) -> Self {
        Self {
            records_max,
            records: 0,
            messages: 0,
            fields: 0,
            dictionary_bytes: 0,
            dictionary_work_bytes: 0,
        }
    }

    fn stream(&mut self, mut bytes: &[u8]) -> Result<(), ArrowFeedError> {
        while let Some((size, rest)) = message_size(bytes)? {
            let Some((head, rest)) = rest.split_at_checked(size) else {
                return Err(refused("it ends within a message"));
            };
            let message = arrow_ipc::root_as_message(head).map_err(|error| {
                refused(format!("a message is damaged: {}", abbreviate(&error.to_string())))
            })?;
            let body =
                usize::try_from(message.bodyLength()).ok().and_then(|length| rest.split_at_checked(length));
            let Some((body, rest)) = body else { return Err(refused("it ends within a message")) };
            self.message(&message, body.len())?;
            bytes = rest;
        }
        Ok(())
    }

    fn message(&mut self, message: &Message<'_>, body_bytes: usize) -> Result<(), ArrowFeedError> {
        self.messages += 1;
        if self.messages > MESSAGES_MAX {
            return Err(refused(format!("it has more than {MESSAGES_MAX} messages")));
        }
        match message.header_type() {
            MessageHeader::Schema => self.schema(message),
            MessageHeader::RecordBatch => {
                let batch =
                    message.header_as_record_batch().ok_or_else(|| refused("a batch has no header"))?;
                self.records =
                    self.records.saturating_add(usize::try_from(batch.length()).unwrap_or(usize::MAX));
                if self.records > self.records_max {
                    let (count, max) = (self.records, self.records_max);
                    return Err(ArrowFeedError::TooManyRecords { count, max });
                }
                self.batch(&batch, body_bytes)
            }
            MessageHeader::DictionaryBatch => {
                let header = message.header_as_dictionary_batch();
                let header = header.ok_or_else(|| refused("a dictionary has no header"))?;
                if header.isDelta() {
                    return Err(refused("it has a delta of a dictionary, which is not read"));
                }
                self.dictionary_bytes += body_bytes as u64;
                let batch = header.data().ok_or_else(|| refused("a dictionary has no content"))?;
                self.batch(&batch, body_bytes)
            }
            _ => Err(refused("it has a message that is neither schema, dictionary nor batch")),
        }
    }

    fn schema(&mut self, message: &Message<'_>) -> Result<(), ArrowFeedError> {
        let schema = message.header_as_schema().ok_or_else(|| refused("its schema has no header"))?;
        let mut level: Vec<_> = schema.fields().into_iter().flatten().collect();
        for _ in 0..DEPTH_MAX {
            self.fields += level.len();
            if self.fields > FIELDS_MAX {
                return Err(refused(format!("it has more than {FIELDS_MAX} columns")));
            }
            level = level.into_iter().flat_map(|field| field.children().into_iter().flatten()).collect();
            if level.is_empty() {
                return Ok(());
            }
        }
        Err(refused(format!("its columns lie in each other more than {DEPTH_MAX} levels deep")))
    }

    /// Checks what a batch, or the content of a dictionary, says of its body.
    fn batch(&mut self, batch: &BatchHeader<'_>, body_bytes: usize) -> Result<(), ArrowFeedError> {
        if batch.compression().is_some() {
            return Err(refused("it is compressed, send it uncompressed"));
        }
        let mut left = body_bytes as u64;
        for buffer in batch.buffers().into_iter().flatten() {
            let (Ok(start), Ok(length)) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length()))
            else {
                return Err(refused("a buffer has a negative length"));
            };
            let is_inside = start.checked_add(length).is_some_and(|end| end <= body_bytes as u64);
            // Buffers that share bytes would let a small body stand for any amount of work.
            let rest = left.checked_sub(length).filter(|_| is_inside);
            left = rest.ok_or_else(|| refused("a buffer lies outside of its message"))?;
        }
        let rows_max = (self.records_max as u64).max(8 * body_bytes as u64 + 1);
        let is_sane = |length: i64| u64::try_from(length).is_ok_and(|length| length <= rows_max);
        let mut nodes = batch.nodes().into_iter().flatten();
        if !is_sane(batch.length()) || !nodes.all(|node| is_sane(node.length()) && is_sane(node.null_count()))
        {
            return Err(refused("a column has more rows than bytes"));
        }
        self.dictionary_work_bytes += self.dictionary_bytes.saturating_mul(self.fields as u64);
        if self.dictionary_work_bytes > DICTIONARY_WORK_BYTES_MAX {
            return Err(refused("its dictionaries are too large for so many columns and batches"));
        }
        Ok(())
    }
}

/// Reads the size of the next message's head; none at the end of the stream.
fn message_size(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, ArrowFeedError> {
    const CONTINUATION: [u8; 4] = [0xff; 4];
    if bytes.is_empty() {
        return Ok(None);
    }
    let word =
        |bytes: &[u8]| bytes.first_chunk::<4>().copied().ok_or_else(|| refused("it ends within a message"));
    let (mut size, mut rest) = (word(bytes)?, bytes.get(4..).unwrap_or_default());
    if size == CONTINUATION {
        (size, rest) = (word(rest)?, rest.get(4..).unwrap_or_default());
    }
    match u32::from_le_bytes(size) as usize {
        0 if rest.is_empty() => Ok(None),
        0 => Err(refused("it goes on after its end")),
        size => Ok(Some((size, rest))),
    }
}
