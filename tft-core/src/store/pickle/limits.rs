//! How large a pickle may be. Together they bound memory to about a gigabyte and time to seconds, whatever the
//! bytes say; the original system's file has 2.3 MB, 6,000 rows and about half a million instructions.

/// Most bytes of a file; also keeps every position within 32 bits.
pub(super) const BYTES_MAX: u64 = 128 << 20;
/// Most instructions. Each puts at most one value into a container or onto the stack, of 16 bytes.
pub(super) const INSTRUCTIONS_MAX: usize = 16 << 20;
/// Most containers and other objects that are not held within a value.
pub(super) const OBJECTS_MAX: usize = 4 << 20;
/// Most values that are remembered for later use.
pub(super) const MEMO_MAX: usize = 4 << 20;
/// Most values that wait for their container; a pickler writes a thousand entries at a time.
pub(super) const STACK_MAX: usize = 1 << 20;
/// Most containers that are open at a time.
pub(super) const MARKS_MAX: usize = 1_000;
/// Most bytes of text that has to be decoded: few, as only protocols 0 to 2 and numpy's texts need that.
pub(super) const DECODED_BYTES_MAX: usize = 64 << 20;
/// Most rows.
pub(super) const ROWS_MAX: usize = 1 << 20;
/// Longest text that is looked at as a key, a time, a name or a status; longer ones match nothing.
pub(super) const TEXT_BYTES_MAX: usize = 256;
