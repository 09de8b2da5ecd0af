//! TLS over real sockets: who is let in, what is served, and what happens when certificates change.

#[cfg(feature = "acme")]
mod authority;
mod certificates;
mod client;
mod handshakes;
mod redirect;
mod reload;
mod settings;

use std::path::Path;

use tft_service::Config;
use tft_service::tls::{TlsFiles, TlsSource};

use self::client::Client;
use crate::harness::TestServer;

/// A certificate for `localhost` and 127.0.0.1 that trusts itself, with its key.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::for_names(&["localhost", "127.0.0.1", "tft.example.com"])
    }

    pub(crate) fn for_names(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// Puts both files in place one after the other, as certbot does.
    pub(crate) fn write(&self, directory: &Path) -> TlsFiles {
        let files = TlsFiles::new(directory.join("tls.crt"), directory.join("tls.key"));
        for (path, text) in [(&files.certificate, &self.certificate), (&files.key, &self.key)] {
            let temporary = path.with_extension("new");
            std::fs::write(&temporary, text).unwrap();
            chmod(&temporary, 0o600);
            std::fs::rename(&temporary, path).unwrap();
        }
        files
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;

    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A service with a certificate, and a client that trusts it.
pub(crate) fn start(change: impl FnOnce(&mut Config)) -> (TestServer, Client) {
    let pair = Pair::new();
    let directory = tempfile::tempdir().unwrap();
    let files = pair.write(directory.path());
    let server = TestServer::in_directory(directory, |config| {
        config.tls.source = Some(TlsSource::Files(files));
        change(config);
    });
    (server, Client::trusting(&[&pair]))
}
