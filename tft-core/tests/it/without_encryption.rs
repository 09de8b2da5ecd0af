//! A build without the feature `encryption` refuses encrypted files and leaves them as they are.

use std::path::Path;
use std::sync::Arc;

use tft_core::schema::Schema;
use tft_core::store::{self, Store, StoreConfig};
use tft_core::time::Timestamp;
use tft_core::{RollingWindow, WindowConfig};

use crate::disk::{Disk, Image};

#[test]
fn encrypted_files_are_refused_and_kept() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-encrypted-v1");
    let mut whole = Image::new();
    for entry in std::fs::read_dir(&fixture).unwrap() {
        let file = entry.unwrap().path();
        whole.insert(file.file_name().unwrap().into(), std::fs::read(&file).unwrap());
    }
    let name = Path::new("window.parquet");
    let log_only: Image = whole
        .iter()
        .filter(|(path, _)| *path != name)
        .map(|(path, file)| (path.clone(), file.clone()))
        .collect();
    let refused = [whole, log_only].map(|image| {
        let disk = Disk::with(&image);
        let window = RollingWindow::new(Schema::server_metrics(), WindowConfig::default()).unwrap();
        let now = Timestamp::from_millis(1_767_614_400_000);
        let error =
            Store::open_on(Arc::new(disk.clone()), name, window, StoreConfig::default(), now).unwrap_err();
        assert!(error.is_encrypted());
        assert_eq!(disk.image(), image);
        error.to_string()
    });
    insta::assert_snapshot!(refused.join("\n"), @r"
    checkpoint `window.parquet`: is encrypted, which this build does not read: it lacks the feature `encryption`
    log `window.parquet.log-00000000000000000002`: is encrypted, which this build does not read: it lacks the feature `encryption`
    ");
    let loaded = store::load(&fixture.join(name), Schema::server_metrics(), WindowConfig::default());
    assert!(loaded.unwrap_err().is_encrypted());
}
