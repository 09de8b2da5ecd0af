//! Files, as the store uses them.
//!
//! Owns a small trait, so that tests can fail any operation and rebuild what a crash leaves, and its
//! implementation over the operating system. Knows nothing of formats.

use std::any::Any;
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

/// A place for files, such as the operating system's file system.
///
/// What an implementation promises is what POSIX does: appended bytes are visible to readers at once, and
/// survive a loss of power after [`StorageFile::sync`]; names that were created, changed or removed survive
/// one after [`sync_directory`](Self::sync_directory); a rename replaces its target as a whole.
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// Creates a file for appending; others than its owner and group may not read it.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if there is one of this name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens an existing file for appending.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>>;

    /// Opens a file for reading from its start, and returns its length in bytes with it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none.
    fn read(&self, path: &Path) -> io::Result<(Box<dyn Read>, u64)>;

    /// Renames a file, replacing the one that has the new name.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns the names in a directory, in any order; those that are not UTF-8 are left out.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Makes the names in a directory last.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// Keeps other processes out until the returned value is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process is in.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// A file that is appended to; usable from several threads at a time.
pub trait StorageFile: fmt::Debug + Send + Sync {
    /// Appends some of the bytes, at least one unless there is none, and returns how many.
    ///
    /// # Errors
    /// What the operating system says; any number of bytes may have been appended then.
    fn append(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts the file to a length in bytes; what is appended next follows there.
    ///
    /// # Errors
    /// What the operating system says.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes what was appended so far survive a loss of power.
    ///
    /// # Errors
    /// What the operating system says. What was appended since the last success may be lost then, even if a
    /// later call succeeds.
    fn sync(&self) -> io::Result<()>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSystem;

#[derive(Debug)]
struct OpenFile(File);

impl Storage for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(OpenFile(private().append(true).create_new(true).open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(OpenFile(OpenOptions::new().append(true).open(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<(Box<dyn Read>, u64)> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((Box::new(file), length))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(io::Result::transpose).collect()
    }

    /// Only Unix lets a directory be synced.
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = private().append(true).create(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl StorageFile for OpenFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Appends all of the bytes.
pub(super) fn append_all(file: &dyn StorageFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.append(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns the directory that a file lies in.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns the path of a file beside another one.
pub(super) fn beside(path: &Path, rename: impl FnOnce(&str) -> String) -> std::path::PathBuf {
    path.with_file_name(rename(&name_of(path)))
}

pub(super) fn name_of(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().map(std::ffi::OsStr::to_string_lossy).unwrap_or_default()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options
}
