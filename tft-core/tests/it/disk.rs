//! A disk in memory that remembers every operation, fails the ones that a test asks it to, and tells what a
//! crash could have left of it.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use tft_core::store::{Storage, StorageFile};

/// The bytes that a disk writes as a whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The files of a disk.
pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;

/// A disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    contents: Vec<Vec<u8>>,
    names: BTreeMap<PathBuf, usize>,
    trace: Vec<Operation>,
    operations: usize,
    fault: Option<Fault>,
    is_locked: bool,
}

/// What fails: the operation of a number, counted from zero, and all after it if it lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) lasts: bool,
    pub(crate) kind: ErrorKind,
}

#[derive(Debug, Clone)]
enum Operation {
    Create { path: PathBuf, file: usize },
    Rename { from: PathBuf, to: PathBuf, file: usize },
    Remove { path: PathBuf },
    Change { file: usize, content: Vec<u8> },
    Sync { file: usize },
    FailedSync { file: usize },
    SyncDirectory,
    Mark(usize),
}

#[derive(Debug)]
struct DiskFile {
    disk: Disk,
    file: usize,
}

/// Releases the disk as the end of a process would.
#[derive(Debug)]
struct Lock(Disk);

impl Disk {
    pub(crate) fn with(image: &Image) -> Self {
        let disk = Self::default();
        for (path, content) in image {
            let mut state = disk.lock();
            let file = state.contents.len();
            state.contents.push(content.clone());
            state.names.insert(path.clone(), file);
        }
        disk
    }

    pub(crate) fn fail(&self, fault: Option<Fault>) {
        let mut state = self.lock();
        state.fault = fault;
        state.operations = 0;
    }

    /// Returns how many operations there were since the fault was set.
    pub(crate) fn operations(&self) -> usize {
        self.lock().operations
    }

    /// Notes in the trace that a test was promised something.
    pub(crate) fn mark(&self, mark: usize) {
        self.lock().trace.push(Operation::Mark(mark));
    }

    /// What is on the disk if only the process ends.
    pub(crate) fn image(&self) -> Image {
        let state = self.lock();
        state.names.iter().map(|(path, &file)| (path.clone(), state.contents[file].clone())).collect()
    }

    /// What a loss of power could leave now.
    pub(crate) fn images_now(&self) -> Vec<Image> {
        let trace = self.lock().trace.clone();
        let mut crash = Crash::default();
        for operation in &trace {
            crash.apply(operation);
        }
        crash.images(trace.len() as u64)
    }

    /// Calls `visit` with what a loss of power could leave after every operation, and the newest mark then.
    pub(crate) fn crash_images(&self, mut visit: impl FnMut(Option<usize>, &Image)) {
        let trace = self.lock().trace.clone();
        let mut crash = Crash::default();
        visit(None, &Image::new());
        for (index, operation) in trace.iter().enumerate() {
            crash.apply(operation);
            for image in crash.images(index as u64) {
                visit(crash.mark, &image);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Counts an operation and fails it if it is its turn.
    fn begin(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        let number = state.operations;
        state.operations += 1;
        match state.fault {
            Some(fault) if number == fault.at || fault.lasts && number > fault.at => Err(fault.kind.into()),
            _ => Ok(state),
        }
    }
}

/// What is durable after a part of a trace, and what is not yet.
#[derive(Debug, Default)]
struct Crash {
    names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Operation>,
    /// By file, what is durable and what it would be with everything written.
    contents: BTreeMap<usize, (Vec<u8>, Vec<u8>)>,
    /// What a failed sync has dropped: no later one writes it.
    lost: BTreeMap<usize, Range<usize>>,
    mark: Option<usize>,
}

impl Crash {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { .. } | Operation::Rename { .. } | Operation::Remove { .. } => {
                self.pending_names.push(operation.clone());
            }
            Operation::Change { file, content } => {
                self.contents.entry(*file).or_default().1.clone_from(content);
            }
            Operation::Sync { file } => {
                let (durable, written) = self.contents.entry(*file).or_default();
                durable.clone_from(written);
                if let Some(lost) = self.lost.get(file) {
                    let end = lost.end.min(durable.len());
                    durable[lost.start.min(end)..end].fill(0);
                }
            }
            Operation::FailedSync { file } => {
                let (durable, written) = self.contents.entry(*file).or_default();
                self.lost.insert(*file, durable.len()..written.len());
            }
            Operation::SyncDirectory => {
                for operation in std::mem::take(&mut self.pending_names) {
                    change_names(&mut self.names, &operation);
                }
            }
            Operation::Mark(mark) => self.mark = Some(*mark),
        }
    }

    /// Names: those that are durable with each prefix of the pending changes, and with each of them alone
    /// missing. Contents: nothing pending, all of it, and torn in several ways.
    fn images(&self, seed: u64) -> Vec<Image> {
        let count = self.pending_names.len();
        let prefixes = (0..=count).map(|length| (0..length).collect::<Vec<_>>());
        let missing = (0..count).map(|gone| (0..count).filter(|&kept| kept != gone).collect());
        let mut images = Vec::new();
        for kept in prefixes.chain(missing) {
            let mut names = self.names.clone();
            for index in kept {
                change_names(&mut names, &self.pending_names[index]);
            }
            for tear in 0..6 {
                let mut random = Random(seed << 8 | tear);
                let content = |file: &usize| match (tear, self.contents.get(file)) {
                    (_, None) => Vec::new(),
                    (0, Some((durable, _))) => durable.clone(),
                    (1, Some((_, written))) => written.clone(),
                    (_, Some((durable, written))) => random.tear(durable, written),
                };
                let mut content = content;
                images.push(names.iter().map(|(path, file)| (path.clone(), content(file))).collect());
            }
        }
        images.sort();
        images.dedup();
        images
    }
}

fn change_names(names: &mut BTreeMap<PathBuf, usize>, operation: &Operation) {
    match operation {
        Operation::Create { path, file } => {
            names.insert(path.clone(), *file);
        }
        Operation::Rename { from, to, file } => {
            names.remove(from);
            names.insert(to.clone(), *file);
        }
        Operation::Remove { path } => {
            names.remove(path);
        }
        _ => {}
    }
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end.max(1) as u64) as usize
    }

    /// Some length between the two, and each sector that differs old or new.
    fn tear(&mut self, durable: &[u8], written: &[u8]) -> Vec<u8> {
        let (short, long) = (durable.len().min(written.len()), durable.len().max(written.len()));
        let mut torn = vec![0; short + self.below(long - short + 1)];
        for (sector, bytes) in torn.chunks_mut(SECTOR_BYTES).enumerate() {
            let source = if self.below(2) == 0 { durable } else { written };
            let source = source.get(sector * SECTOR_BYTES..).unwrap_or_default();
            let count = source.len().min(bytes.len());
            bytes[..count].copy_from_slice(&source[..count]);
        }
        // Whatever is durable and was not cut since stays.
        let same = durable.iter().zip(written).take_while(|(durable, written)| durable == written).count();
        torn[..same].copy_from_slice(&durable[..same]);
        torn
    }
}

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.begin()?;
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.contents.len();
        state.contents.push(Vec::new());
        state.names.insert(path.to_owned(), file);
        state.trace.push(Operation::Create { path: path.to_owned(), file });
        Ok(Box::new(DiskFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let state = self.begin()?;
        let file = *state.names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(Box::new(DiskFile { disk: self.clone(), file }))
    }

    fn read(&self, path: &Path) -> io::Result<(Box<dyn Read>, u64)> {
        let state = self.begin()?;
        let file = *state.names.get(path).ok_or(ErrorKind::NotFound)?;
        let content = state.contents[file].clone();
        let length = content.len() as u64;
        Ok((Box::new(Cursor::new(content)), length))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.begin()?;
        let file = state.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), file);
        state.trace.push(Operation::Rename { from: from.to_owned(), to: to.to_owned(), file });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin()?;
        state.names.remove(path).ok_or(ErrorKind::NotFound)?;
        state.trace.push(Operation::Remove { path: path.to_owned() });
        Ok(())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let names = self.begin()?;
        Ok(names.names.keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.begin()?.trace.push(Operation::SyncDirectory);
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut state = self.begin()?;
        if std::mem::replace(&mut state.is_locked, true) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock(self.clone())))
    }
}

impl DiskFile {
    fn change(&self, state: &mut State, change: impl FnOnce(&mut Vec<u8>)) {
        change(&mut state.contents[self.file]);
        let content = state.contents[self.file].clone();
        state.trace.push(Operation::Change { file: self.file, content });
    }
}

impl StorageFile for DiskFile {
    /// A failing append leaves half of the bytes, as a disk that becomes full does.
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.disk.begin() {
            Ok(mut state) => self.change(&mut state, |content| content.extend_from_slice(bytes)),
            Err(error) => {
                let half = &bytes[..bytes.len() / 2];
                self.change(&mut self.disk.lock(), |content| content.extend_from_slice(half));
                return Err(error);
            }
        }
        Ok(bytes.len())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.begin()?;
        self.change(&mut state, |content| content.truncate(length as usize));
        Ok(())
    }

    /// A failed sync drops what was pending and says nothing of it later, as Linux does.
    fn sync(&self) -> io::Result<()> {
        let file = self.file;
        match self.disk.begin() {
            Ok(mut state) => state.trace.push(Operation::Sync { file }),
            Err(error) => {
                self.disk.lock().trace.push(Operation::FailedSync { file });
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.lock().is_locked = false;
    }
}
