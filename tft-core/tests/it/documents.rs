//! A document is the newest or the one before whatever happens, and never another one.

use std::io::ErrorKind as IoErrorKind;
use std::path::Path;
use std::sync::Arc;

use tft_core::store::{Store, StoreConfig};
use tft_core::time::Timestamp;
use tft_core::{Error, RollingWindow, WindowConfig};

use crate::disk::{Disk, Fault, Image};
use crate::window_properties::schema;

const FILE: &str = "window.parquet.doc-alerts";

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(1_767_614_400_000 + 60_000 * minute)
}

fn open_with(disk: &Disk, config: StoreConfig) -> Result<Store, Error> {
    let window = RollingWindow::new(schema(), WindowConfig::default()).unwrap();
    let path = Path::new("window.parquet");
    Store::open_on(Arc::new(disk.clone()), path, window, config, at(0)).map(|(store, _)| store)
}

fn open(disk: &Disk) -> Store {
    open_with(disk, StoreConfig::default()).unwrap()
}

fn content(version: usize) -> Vec<u8> {
    format!("version {version} ").repeat(1 + 300 * version).into_bytes()
}

/// The version of the document; none if there is none.
fn version_in(store: &Store) -> Option<usize> {
    let found = store.load_document("alerts", at(1)).unwrap()?;
    Some((0..4).find(|&version| content(version) == found).expect("no document that was saved"))
}

fn with_file(change: impl FnOnce(&mut Vec<u8>)) -> Disk {
    let disk = Disk::default();
    open(&disk).save_document("alerts", &content(1)).unwrap();
    let mut image: Image = disk.image();
    change(image.get_mut(Path::new(FILE)).unwrap());
    Disk::with(&image)
}

#[test]
fn documents_come_back_by_name() {
    let disk = Disk::default();
    let store = open(&disk);
    assert_eq!(store.load_document("alerts", at(0)).unwrap(), None);
    store.save_document("alerts", b"one").unwrap();
    store.save_document("drift", b"").unwrap();
    store.save_document("alerts", b"two").unwrap();
    drop(store);
    let store = open(&disk);
    let load = |name| store.load_document(name, at(1)).unwrap();
    assert_eq!(
        (load("alerts"), load("drift"), load("other")),
        (Some(b"two".to_vec()), Some(Vec::new()), None)
    );
    store.checkpoint(at(2)).unwrap();
    store.remove_server("web1", at(3)).unwrap();
    assert_eq!(load("alerts"), Some(b"two".to_vec()));
    for name in ["", "Alerts", "a/b", "a.b", &"a".repeat(33)] {
        let error = store.save_document(name, b"").unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains("[a-z]"), "{error}");
        assert!(store.load_document(name, at(1)).is_err());
    }
}

#[test]
fn a_loss_of_power_leaves_the_newest_or_the_one_before() {
    let disk = Disk::default();
    let store = open(&disk);
    for version in 1..4 {
        store.save_document("alerts", &content(version)).unwrap();
        disk.mark(version);
    }
    drop(store);
    disk.crash_images(|promised, image| {
        let found = version_in(&open(&Disk::with(image)));
        assert!(found >= promised, "{found:?} after {promised:?}");
    });
}

#[test]
fn a_failure_leaves_the_one_before() {
    for number in 0..8 {
        let disk = Disk::default();
        let store = open(&disk);
        store.save_document("alerts", &content(1)).unwrap();
        disk.fail(Some(Fault { at: number, lasts: true, kind: IoErrorKind::StorageFull }));
        let saved = store.save_document("alerts", &content(2));
        disk.fail(None);
        let found = version_in(&store);
        match saved {
            Ok(()) => assert_eq!(found, Some(2)),
            // Renamed, and whether that lasts is not known.
            Err(error) => assert!(error.is_io() && found.is_some(), "{error}"),
        }
    }
}

#[test]
fn a_changed_byte_is_found_and_the_file_moved_aside() {
    let length = with_file(|_| ()).image()[Path::new(FILE)].len();
    for place in (0..length).step_by(7).chain([length - 1]) {
        let disk = with_file(|bytes| bytes[place] ^= 0x10);
        let store = open(&disk);
        // A byte of the version makes it a file of a newer format, which is left alone.
        let error = store.load_document("alerts", at(1)).unwrap_err();
        assert!(error.is_corrupt() || (8..12).contains(&place), "byte {place}: {error}");
        if error.is_corrupt() {
            assert_eq!(store.load_document("alerts", at(1)).unwrap(), None);
            let aside = format!("{FILE}.corrupt-20260105T120100Z");
            assert!(disk.image().contains_key(Path::new(&aside)));
            assert_eq!(store.discard_set_aside().unwrap(), [Path::new(&aside)]);
        }
    }
    for length in 0..length {
        let store = open(&with_file(|bytes| bytes.truncate(length)));
        assert!(store.load_document("alerts", at(1)).unwrap_err().is_corrupt(), "{length} bytes");
    }
    let store = open(&with_file(|bytes| bytes.push(0)));
    assert!(store.load_document("alerts", at(1)).unwrap_err().is_corrupt());
}

#[test]
fn a_large_document_fills_frames_and_none_can_be_missing() {
    const FRAME: usize = 64 << 20;
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let window = RollingWindow::new(schema(), WindowConfig::default()).unwrap();
        let path = directory.path().join("window.parquet");
        Store::open(&path, window, StoreConfig::default(), at(0)).unwrap().0
    };
    let file = directory.path().join(FILE);
    for (length, behind) in [(FRAME, 0), (FRAME + 5, 5)] {
        let content: Vec<_> = (0..length).map(|place| (place % 251) as u8).collect();
        open().save_document("alerts", &content).unwrap();
        let store = open();
        assert!(store.load_document("alerts", at(1)).unwrap().is_some_and(|found| found == content));
        let whole = std::fs::metadata(&file).unwrap().len();
        let cut = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
        cut.set_len(whole - 16 - behind).unwrap();
        assert!(store.load_document("alerts", at(1)).unwrap_err().is_corrupt(), "{length} bytes");
    }
}

#[test]
fn a_document_is_moved_aside_on_demand() {
    let disk = Disk::default();
    let store = open(&disk);
    assert_eq!(store.set_document_aside("alerts", at(1)).unwrap(), None);
    store.save_document("alerts", b"of another program").unwrap();
    let aside = store.set_document_aside("alerts", at(1)).unwrap().unwrap();
    assert_eq!(aside, Path::new(&format!("{FILE}.corrupt-20260105T120100Z")));
    assert_eq!(store.load_document("alerts", at(1)).unwrap(), None);
    assert_eq!(store.discard_set_aside().unwrap(), [aside]);
}

#[test]
fn a_renamed_document_is_not_another_one() {
    let disk = Disk::default();
    open(&disk).save_document("alerts", b"one").unwrap();
    let mut image = disk.image();
    let bytes = image.remove(Path::new(FILE)).unwrap();
    image.insert("window.parquet.doc-drift".into(), bytes);
    let store = open(&Disk::with(&image));
    assert!(store.load_document("drift", at(1)).unwrap_err().is_corrupt());
}

#[cfg(feature = "encryption")]
#[test]
fn a_document_is_encrypted_as_the_store_is() {
    use tft_core::store::EncryptionKey;
    let sealed = |byte, previous: &[u8]| StoreConfig {
        key: Some(EncryptionKey::new([byte; 32])),
        previous_keys: previous.iter().map(|&byte| EncryptionKey::new([byte; 32])).collect(),
        ..StoreConfig::default()
    };
    let shows = |disk: &Disk| disk.image().values().any(|bytes| bytes.windows(7).any(|at| at == b"version"));
    let disk = Disk::default();
    open(&disk).save_document("alerts", &content(1)).unwrap();
    assert!(shows(&disk));
    assert_eq!(version_in(&open_with(&disk, sealed(1, &[])).unwrap()), Some(1));
    assert!(!shows(&disk), "opened with a key and not rewritten");
    for config in [StoreConfig::default(), sealed(2, &[])] {
        assert!(open_with(&disk, config).unwrap_err().is_encrypted());
    }
    assert_eq!(version_in(&open_with(&disk, sealed(2, &[1])).unwrap()), Some(1));
    assert_eq!(version_in(&open_with(&disk, sealed(2, &[])).unwrap()), Some(1));
}
