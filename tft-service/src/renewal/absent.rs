//! What stands in for asking an authority in a program without the feature `acme`: a type without values.

use std::future::Pending;
use std::sync::Arc;

use crate::clock::Clock;
use crate::tls::{Identity, TlsConfig};

/// Who asks for certificates, which nobody does.
#[derive(Debug)]
pub(crate) enum Renewal {}

impl Renewal {
    pub(crate) fn of(_: &TlsConfig, _: Option<&Arc<Identity>>, _: &Arc<dyn Clock>) -> Option<Self> {
        None
    }

    pub(crate) fn run(self, _: impl Fn() + Clone + Send + 'static) -> Pending<()> {
        match self {}
    }
}
