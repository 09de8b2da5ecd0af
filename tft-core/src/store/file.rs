//! Files: read within a limit, replaced as a whole or not at all, moved aside without overwriting.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use crate::time::Timestamp;

/// How many names are tried for a file that must be new.
const NAMES_MAX: u32 = 100;

/// Removes a temporary file unless it was renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // The failure that led here is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Reads a file of at most `bytes_max`.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, StoreError> {
    let file = File::open(path).map_err(io_error("opening it"))?;
    let metadata = file.metadata().map_err(io_error("reading its size"))?;
    if metadata.len() > bytes_max {
        return Err(StoreError::TooMany { what: "bytes", count: metadata.len(), max: bytes_max });
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // The file may grow while it is read.
    file.take(bytes_max).read_to_end(&mut bytes).map_err(io_error("reading it"))?;
    Ok(bytes)
}

/// Replaces the file at `path` by what `write` writes: after a crash at any moment it is the old or the new
/// one. The file is readable for its owner and group only.
pub(super) fn replace<R>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<R, StoreError>,
) -> Result<R, StoreError> {
    let (mut temporary, file) = create_beside(path)?;
    let mut buffered = BufWriter::new(file);
    let result = write(&mut buffered)?;
    buffered.flush().map_err(io_error("writing it"))?;
    buffered.get_ref().sync_all().map_err(io_error("syncing it"))?;
    fs::rename(&temporary.path, path).map_err(io_error("renaming the new file"))?;
    temporary.renamed = true;
    sync_directory(path).map_err(io_error("syncing its directory"))?;
    Ok(result)
}

/// Moves a file to `<name>.corrupt-<time>`, or to that with a number if there is such a file already.
pub(super) fn move_aside(path: &Path, at: Timestamp) -> Result<PathBuf, StoreError> {
    rename_with_suffix(path, &format!("corrupt-{}", compact_time(at)))
}

/// Moves a file to `<name>.<suffix>`, or to that with a number if there is such a file already.
pub(super) fn rename_with_suffix(path: &Path, suffix: &str) -> Result<PathBuf, StoreError> {
    let (aside, _) = create_new(|number| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        with_name(path, |name| format!("{name}.{suffix}{number}"))
    })?;
    // The name is ours now, so that the rename overwrites nothing but the empty file.
    let mut placeholder = Temporary { path: aside, renamed: false };
    fs::rename(path, &placeholder.path).map_err(io_error("moving it aside"))?;
    placeholder.renamed = true;
    sync_directory(path).map_err(io_error("syncing its directory"))?;
    Ok(placeholder.path.clone())
}

fn create_beside(path: &Path) -> Result<(Temporary, File), StoreError> {
    let (path, file) = create_new(|number| with_name(path, |name| format!(".{name}.tmp-{number}")))?;
    Ok((Temporary { path, renamed: false }, file))
}

fn create_new(name: impl Fn(u32) -> PathBuf) -> Result<(PathBuf, File), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut number = 0;
    loop {
        let path = name(number);
        match options.open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < NAMES_MAX => number += 1,
            Err(error) => return Err(io_error("creating a file beside it")(error)),
        }
    }
}

fn with_name(path: &Path, rename: impl FnOnce(&str) -> String) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    path.with_file_name(rename(&name))
}

/// Makes a rename last; only Unix lets a directory be synced.
fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// Writes an instant as `20260105T120000Z`.
fn compact_time(at: Timestamp) -> String {
    let whole_seconds = Timestamp::from_millis(at.as_millis().div_euclid(1000) * 1000);
    whole_seconds.to_string().chars().filter(char::is_ascii_alphanumeric).collect()
}

fn io_error(action: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let result = replace(&path, |file| {
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
        replace(&path, |file| file.write_all(b"new").map_err(io_error("writing it"))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), [".window.parquet.tmp-0", "window.parquet"]);
    }

    #[cfg(unix)]
    #[test]
    fn others_may_not_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        replace(&path, |_| Ok(())).unwrap();
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
            assert_eq!(fs::read(move_aside(&path, at).unwrap()).unwrap(), content.as_bytes());
        }
        assert_eq!(
            names(directory.path()),
            ["window.parquet.corrupt-20260105T120000Z", "window.parquet.corrupt-20260105T120000Z-1"]
        );
        assert!(move_aside(&path, at).is_err());
        assert_eq!(names(directory.path()).len(), 2);
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("window.parquet");
        fs::write(&path, "four").unwrap();
        assert!(matches!(read(&path, 3), Err(StoreError::TooMany { .. })));
        assert_eq!(read(&path, 4).unwrap(), b"four");
    }
}
