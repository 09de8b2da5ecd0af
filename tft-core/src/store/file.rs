//! Files: read within a limit, replaced as a whole or not at all, moved aside without overwriting.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::document;
use super::error::StoreError;
use super::log::segment::INFIX as SEGMENT_INFIX;
use super::storage::{Storage, StorageFile, beside, directory_of, name_of};
use crate::time::Timestamp;

/// Bytes that are given to the system at once; what is written comes in much smaller pieces.
const BUFFER_BYTES: usize = 256 << 10;
/// How many names are tried for a file that must be new.
const NAMES_MAX: u32 = 100;

/// Removes a temporary file unless it was renamed.
struct Temporary<'s> {
    storage: &'s dyn Storage,
    path: PathBuf,
    renamed: bool,
}

/// A new file as a sink of bytes.
pub(super) struct Sink(Box<dyn StorageFile>);

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // The failure that led here is the one to report.
            let _ = self.storage.remove(&self.path);
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file of at most `bytes_max`.
pub(super) fn read(storage: &dyn Storage, path: &Path, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
    let (input, length) = storage.read(path).map_err(io_error("opening it"))?;
    if length > bytes_max {
        return Err(StoreError::TooMany { what: "bytes", count: length, max: bytes_max });
    }
    let mut bytes = Vec::with_capacity(length as usize);
    // The file may grow while it is read.
    input.take(bytes_max).read_to_end(&mut bytes).map_err(io_error("reading it"))?;
    Ok(bytes)
}

/// Replaces the file at `path` by what `write` writes: after a crash at any moment it is the old or the new
/// one. The file is readable for its owner and group only.
pub(super) fn replace<R>(
    storage: &dyn Storage,
    path: &Path,
    write: impl FnOnce(&mut BufWriter<Sink>) -> Result<R, StoreError>,
) -> Result<R, StoreError> {
    let (mut temporary, file) =
        create_new(storage, |number| beside(path, |name| format!("{}{number}", temporary_prefix(name))))?;
    let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, Sink(file));
    let result = write(&mut buffered)?;
    buffered.flush().map_err(io_error("writing it"))?;
    buffered.get_ref().0.sync().map_err(io_error("syncing it"))?;
    storage.rename(&temporary.path, path).map_err(io_error("renaming the new file"))?;
    temporary.renamed = true;
    storage.sync_directory(directory_of(path)).map_err(io_error("syncing its directory"))?;
    Ok(result)
}

/// Moves a file to `<name>.corrupt-<time>`, or to that with a number if there is such a file already.
pub(super) fn move_aside(storage: &dyn Storage, path: &Path, at: Timestamp) -> Result<PathBuf, StoreError> {
    rename_with_suffix(storage, path, &format!("{ASIDE_INFIX}{}", compact_time(at)))
}

/// Moves a file to `<name><suffix>`, or to that with a number if there is such a file already.
pub(super) fn rename_with_suffix(
    storage: &dyn Storage,
    path: &Path,
    suffix: &str,
) -> Result<PathBuf, StoreError> {
    let (mut placeholder, _) = create_new(storage, |number| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        beside(path, |name| format!("{name}{suffix}{number}"))
    })?;
    // The name is ours now, so that the rename overwrites nothing but the empty file.
    storage.rename(path, &placeholder.path).map_err(io_error("moving it aside"))?;
    placeholder.renamed = true;
    storage.sync_directory(directory_of(path)).map_err(io_error("syncing its directory"))?;
    Ok(placeholder.path.clone())
}

/// Returns the files that were moved aside from a checkpoint, its documents and its log, and what became of the pickle beside it.
pub(super) fn set_aside(storage: &dyn Storage, path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = name_of(path);
    let pickle = path.with_extension("pkl");
    let pickle = name_of(&pickle);
    let is_corrupt = |other: &str| {
        let (moved, time) = other.rsplit_once(ASIDE_INFIX)?;
        let moved = moved.strip_prefix(&*name)?;
        let is_document = document::strip_infix(moved).is_some_and(|(_, rest)| rest.is_empty());
        let is_segment = moved.strip_prefix(SEGMENT_INFIX).is_some_and(is_number);
        let is_ours = moved.is_empty() || is_document || is_segment;
        Some(is_ours && is_time(unnumbered(time)))
    };
    let is_pickle = |other: &str| {
        let suffix = unnumbered(other.strip_prefix(&*pickle)?);
        Some([MIGRATED_SUFFIX, BACKUP_SUFFIX].contains(&suffix))
    };
    let names = storage.list(directory_of(path))?;
    let ours = names.iter().filter(|name| is_corrupt(name) == Some(true) || is_pickle(name) == Some(true));
    let mut files: Vec<_> = ours.map(|name| path.with_file_name(name)).collect();
    files.sort_unstable();
    Ok(files)
}

/// Returns a name without the number that makes it new.
fn unnumbered(name: &str) -> &str {
    name.rsplit_once('-').filter(|(_, number)| is_number(number)).map_or(name, |(name, _)| name)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a text is as [`compact_time`] writes it.
fn is_time(text: &str) -> bool {
    let parts = text.strip_suffix('Z').and_then(|text| text.split_once('T'));
    parts.is_some_and(|(date, time)| is_number(date) && is_number(time))
}

/// Removes what a crash left of checkpoints and documents that were being written; returns how many files there were.
///
/// Only for who has the files for himself.
pub(super) fn sweep(storage: &dyn Storage, path: &Path) -> io::Result<usize> {
    let of = name_of(path);
    let is_temporary = |name: &String| {
        let behind = name.strip_prefix('.').and_then(|name| name.strip_prefix(&*of));
        let behind = behind.map(|rest| document::strip_infix(rest).map_or(rest, |(_, rest)| rest));
        behind.and_then(|rest| rest.strip_prefix(TEMPORARY_INFIX)).is_some_and(is_number)
    };
    let names = storage.list(directory_of(path))?;
    let left: Vec<_> = names.into_iter().filter(is_temporary).collect();
    left.iter().try_for_each(|name| storage.remove(&path.with_file_name(name)))?;
    Ok(left.len())
}

fn temporary_prefix(name: &str) -> String {
    format!(".{name}{TEMPORARY_INFIX}")
}

fn create_new(
    storage: &dyn Storage,
    name: impl Fn(u32) -> PathBuf,
) -> Result<(Temporary<'_>, Box<dyn StorageFile>), StoreError> {
    let mut number = 0;
    loop {
        let path = name(number);
        match storage.create(&path) {
            Ok(file) => return Ok((Temporary { storage, path, renamed: false }, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES_MAX => number += 1,
            Err(error) => return Err(io_error("creating a file beside it")(error)),
        }
    }
}

/// Writes an instant as `20260105T120000Z`.
fn compact_time(at: Timestamp) -> String {
    let whole_seconds = Timestamp::from_millis(at.as_millis().div_euclid(1000) * 1000);
    whole_seconds.to_string().chars().filter(char::is_ascii_alphanumeric).collect()
}

fn io_error(action: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io { action, source }
}

/// Stands between the name of a file that is being written and a number.
const TEMPORARY_INFIX: &str = ".tmp-";
/// Stands between the name of a file and when it was moved aside.
const ASIDE_INFIX: &str = ".corrupt-";
/// What is added to the name of a pickle that was taken over.
pub(super) const MIGRATED_SUFFIX: &str = ".migrated";
/// What is added to the name of a pickle that cannot be.
pub(super) const BACKUP_SUFFIX: &str = ".backup";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::storage::FileSystem;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        fs::write(&path, "old").unwrap();
        let failure = || StoreError::NotParquet { reason: "test" };
        let result = replace(&FileSystem, &path, |file| {
            file.write_all(b"half").map_err(|_| failure())?;
            Err::<(), _>(failure())
        });
        assert!(result.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(directory.path()), ["window.parquet"]);
    }

    #[test]
    fn a_left_over_temporary_file_is_not_touched() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        fs::write(directory.path().join(".window.parquet.tmp-0"), "other").unwrap();
        replace(&FileSystem, &path, |file| file.write_all(b"new").map_err(io_error("writing it"))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), [".window.parquet.tmp-0", "window.parquet"]);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_not_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        replace(&FileSystem, &path, |_| Ok(())).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    }

    #[test]
    fn moving_aside_overwrites_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        let at = Timestamp::parse("2026-01-05T12:00:00.999Z").unwrap();
        for content in ["first", "second"] {
            fs::write(&path, content).unwrap();
            assert_eq!(fs::read(move_aside(&FileSystem, &path, at).unwrap()).unwrap(), content.as_bytes());
        }
        assert_eq!(
            names(directory.path()),
            ["window.parquet.corrupt-20260105T120000Z", "window.parquet.corrupt-20260105T120000Z-1"]
        );
        assert!(move_aside(&FileSystem, &path, at).is_err());
        assert_eq!(names(directory.path()).len(), 2);
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        fs::write(&path, "four").unwrap();
        assert!(matches!(read(&FileSystem, &path, 3), Err(StoreError::TooMany { .. })));
        assert_eq!(read(&FileSystem, &path, 4).unwrap(), b"four");
    }

    #[test]
    fn only_files_of_this_checkpoint_count_as_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        let aside = [
            "window.parquet.corrupt-20260105T120000Z",
            "window.parquet.corrupt-20260105T120000Z-1",
            "window.parquet.doc-alerts.corrupt-20260105T120000Z",
            "window.parquet.log-00000000000000000007.corrupt-20260105T120000Z",
            "window.pkl.backup",
            "window.pkl.migrated",
            "window.pkl.migrated-12",
        ];
        let others = [
            "a window.parquet.corrupt-20260105T120000Z",
            "window.parquet",
            "window.parquet.corrupt-notes",
            "window.parquet.doc-alerts",
            "window.parquet.doc-.corrupt-20260105T120000Z",
            "window.parquet.log-00000000000000000007",
            "window.parquet2.corrupt-20260105T120000Z",
            "window.pkl",
            "window.pkl.migrated.txt",
            "window2.pkl.migrated",
        ];
        for name in aside.iter().chain(&others) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let found = set_aside(&FileSystem, &path).unwrap();
        assert_eq!(found, aside.map(|name| directory.path().join(name)));
    }

    #[test]
    fn what_a_crash_left_is_swept_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        let kept = [
            ".other.parquet.tmp-0",
            ".window.parquet.doc-A.tmp-0",
            ".window.parquet.tmp-",
            ".window.parquet.tmp-x",
            "window.parquet",
        ];
        for name in kept.into_iter().chain([".window.parquet.tmp-0", ".window.parquet.doc-alerts.tmp-12"]) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(sweep(&FileSystem, &path).unwrap(), 2);
        assert_eq!(names(directory.path()), kept);
    }
}
