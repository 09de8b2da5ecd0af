//! One order: the account, the proof of each name, and the certificate.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use sha2::{Digest, Sha256};

use super::client::Client;
use crate::tls::{Acme, Challenges, Contents, TlsError, replace, write_pair};

/// Why an order came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the authority at {url} did not do what was asked for: {attempt}")]
    Authority { url: String, attempt: &'static str, source: instant_acme::Error },
    #[error("the authority could not see that `{name}` is this service's: {reason}")]
    Unproven { name: String, reason: String },
    #[error("the account file `{path}` cannot be used")]
    Account { path: PathBuf, source: io::Error },
    #[error("the answer to the authority about `{name}` cannot be made: {reason}")]
    Answer { name: String, reason: String },
}

/// Asks for a certificate and puts it in its files.
///
/// # Errors
/// [`OrderError`]; the pair before is kept then.
pub(super) async fn obtain(wanted: &Acme, challenges: &Challenges) -> Result<(), OrderError> {
    let failed =
        |attempt| move |source| OrderError::Authority { url: wanted.directory_url.clone(), attempt, source };
    let account = account(wanted).await?;
    let names: Vec<_> = wanted.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(failed("to take an order"))?;
    // Nobody is answered any more, however this ends.
    let _cleared = Cleared(challenges);
    answer(&mut order, challenges).await.map_err(|error| match error {
        Answering::Authority(source) => failed("to prove the names")(source),
        Answering::Own(error) => error,
    })?;
    match order.poll_ready(&PATIENCE).await.map_err(failed("to look at the names"))? {
        OrderStatus::Ready | OrderStatus::Valid => {}
        _ => return Err(unproven(&mut order, wanted).await),
    }
    let key = order.finalize().await.map_err(failed("to sign"))?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(failed("to give the certificate"))?;
    let files = wanted.files();
    Contents::of(&chain, &key).into_pair(&files)?;
    Ok(write_pair(&files, &chain, &key)?)
}

/// Goes on with the account that is kept, or makes one.
async fn account(wanted: &Acme) -> Result<Account, OrderError> {
    let failed = |source| OrderError::Authority {
        url: wanted.directory_url.clone(),
        attempt: "to know the account",
        source,
    };
    let client = || Client::new(wanted.ca_file.as_deref()).map(Box::new);
    // One account per authority.
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(wanted.directory_url.as_bytes()).into();
    let of = u32::from_be_bytes([a, b, c, d]);
    let path = wanted.directory.join(format!("tft-acme-account-{of:08x}.json"));
    let unusable = |source| OrderError::Account { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(text) => {
            let kept: AccountCredentials =
                serde_json::from_slice(&text).map_err(|error| unusable(error.into()))?;
            Account::builder_with_http(client()?).from_credentials(kept).await.map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let contact = wanted.contact.as_ref().map(|contact| format!("mailto:{contact}"));
            let contact: Vec<_> = contact.iter().map(String::as_str).collect();
            let wish =
                NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
            let url = wanted.directory_url.clone();
            let made = Account::builder_with_http(client()?).create(&wish, url, None).await;
            let (account, credentials) = made.map_err(failed)?;
            let text = serde_json::to_vec(&credentials).map_err(|error| unusable(error.into()))?;
            replace(&path, &text, 0o600).map_err(unusable)?;
            Ok(account)
        }
        Err(error) => Err(unusable(error)),
    }
}

/// What may go wrong while names are proven.
enum Answering {
    Authority(instant_acme::Error),
    Own(OrderError),
}

/// Prepares the handshake of each name that is not proven yet, and tells the authority to make it.
async fn answer(order: &mut Order, challenges: &Challenges) -> Result<(), Answering> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(Answering::Authority)?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            let reason = "it offers no TLS-ALPN-01".to_owned();
            return Err(Answering::Own(OrderError::Unproven { name, reason }));
        };
        let digest = challenge.key_authorization().digest();
        let expected = challenges.expect(&name, digest.as_ref());
        expected.map_err(|reason| Answering::Own(OrderError::Answer { name, reason }))?;
        challenge.set_ready().await.map_err(Answering::Authority)?;
    }
    Ok(())
}

/// Finds the name that the authority did not believe, and what it says of it.
async fn unproven(order: &mut Order, wanted: &Acme) -> OrderError {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { break };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return OrderError::Unproven { name, reason: problem.to_string() };
        }
    }
    OrderError::Unproven { name: wanted.names.join(","), reason: "it does not say why".into() }
}

/// Takes back all answers.
struct Cleared<'c>(&'c Challenges);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

/// For the authority to look at names, and to sign.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).timeout(Duration::from_mins(2));
