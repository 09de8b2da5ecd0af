//! Explanations of single servers, made when somebody asks.
//!
//! Only the inference thread has the model, so it answers. Owns how many questions wait for it, and what is kept of
//! the answers: an explanation of a server is made once per snapshot, however often it is read.

use std::sync::Arc;
use std::sync::mpsc;

use hyper::body::Bytes;
use tft_core::Error;
use tft_core::explain::WhatIf;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::admin::Command;
use crate::state::ServiceState;

/// Takes questions to the inference thread.
#[derive(Debug)]
pub(crate) struct Explanations {
    state: Arc<ServiceState>,
    commands: mpsc::Sender<Command>,
    seats: Arc<Semaphore>,
}

/// A question on its way to the inference thread.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) server: String,
    /// What would be different; none asks for an explanation of what is.
    pub(crate) what_if: Option<WhatIf>,
    answer: oneshot::Sender<Answer>,
    /// Given back when the question is answered, and not when the client goes away: its work is done then.
    _seat: OwnedSemaphorePermit,
}

/// The whole reply as JSON; none if there is no such server.
pub(crate) type Answer = Result<Option<Bytes>, Error>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no more questions can wait at the moment")]
    Busy,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Explanations {
    /// Most questions that wait for the inference thread or are being answered.
    pub(crate) const ASKED_MAX: usize = 8;

    pub(crate) fn new(state: Arc<ServiceState>, commands: mpsc::Sender<Command>) -> Self {
        Self { state, commands, seats: Arc::new(Semaphore::new(Self::ASKED_MAX)) }
    }

    /// Returns the explanation of a server's newest forecasts; none if there is no such server.
    ///
    /// # Errors
    /// [`AskError::Busy`] if there are no forecasts yet or too many questions, and the forecaster's.
    pub(crate) async fn explain(&self, server: &str) -> Result<Option<Bytes>, AskError> {
        if let Some(kept) = self.state.snapshot().explanation(server) {
            return Ok(Some(kept));
        }
        self.ask(server, None).await
    }

    /// Returns what would be forecast for a server after another past; none if there is no such server.
    ///
    /// # Errors
    /// As [`explain`](Self::explain), and an invalid input if the question cannot be answered.
    pub(crate) async fn what_if(&self, server: &str, question: WhatIf) -> Result<Option<Bytes>, AskError> {
        self.ask(server, Some(question)).await
    }

    async fn ask(&self, server: &str, what_if: Option<WhatIf>) -> Result<Option<Bytes>, AskError> {
        if !self.state.has_forecast() {
            return Err(AskError::Busy);
        }
        if self.state.store().window().server(server).is_none() {
            return Ok(None);
        }
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| AskError::Busy)?;
        let (answer, answered) = oneshot::channel();
        let asked = Asked { server: server.to_owned(), what_if, answer, _seat: seat };
        self.commands.send(Command::Explain(asked)).map_err(|_| AskError::Busy)?;
        self.state.wake();
        // The thread drops a question only when it ends.
        Ok(answered.await.map_err(|_| AskError::Busy)??)
    }
}

impl Asked {
    /// Returns whether the client has gone away, so that nobody needs an answer.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    pub(crate) fn answer(self, answer: Answer) {
        // Who asked may have given up waiting.
        let _ = self.answer.send(answer);
    }
}
