//! One request in flight.

use std::sync::Arc;

use p2p::Instant;
use tokio::sync::oneshot;

use super::{
    body::{BodyReader, Pipe},
    home::Home,
};
use crate::{
    route::Failure,
    wire::{HttpRequest, Packet, Reorder, ReorderConfig, ResponseHead},
};

/// What the home's side of the server knows of a request in flight.
#[derive(Debug)]
pub(super) struct Exchange {
    reorder: Reorder,
    /// Who waits for the head, until it is there.
    head: Option<oneshot::Sender<Result<ResponseHead, Failure>>>,
    pub(super) pipe: Arc<Pipe>,
    /// Since when the home may have lost what it sent: its socket ended, and no packet has come since.
    pub(super) at_risk_since: Option<Instant>,
}

impl Exchange {
    /// Takes a packet, and passes on what is next in order. Says whether the response is complete.
    pub(super) fn take(&mut self, packet: Packet, now: Instant) -> Result<bool, Failure> {
        self.at_risk_since = None;
        let taken = self.reorder.push(packet, now);
        while let Some(packet) = self.reorder.pop(now) {
            if let Some(head) = packet.head
                && let Some(waiting) = self.head.take()
            {
                // Nobody there: the app left, and the request is about to be aborted.
                let _ = waiting.send(Ok(head));
            }
            self.pipe.push(packet.body);
        }
        taken.map_err(|error| Failure::Broken(error.to_string()))?;
        let is_complete = self.reorder.is_finished();
        if is_complete {
            self.pipe.end(Ok(()));
        }
        Ok(is_complete)
    }

    /// When a missing packet has been missing for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reorder.deadline()
    }

    /// Ends it for the app.
    pub(super) fn fail(self, failure: Failure) {
        match self.head {
            Some(waiting) => {
                let _ = waiting.send(Err(failure));
            }
            None => self.pipe.end(Err(failure.to_string())),
        }
    }
}

/// A request that was sent and waits for its head. Dropping it aborts the request.
pub(super) struct Pending {
    home: Arc<Home>,
    request_id: u64,
    head: oneshot::Receiver<Result<ResponseHead, Failure>>,
    pipe: Arc<Pipe>,
    is_answered: bool,
}

impl Pending {
    /// Sends a request, under a number that nobody can guess. None if too many are in flight.
    pub(super) fn send(home: &Arc<Home>, request: HttpRequest) -> Option<Self> {
        let (sender, head) = oneshot::channel();
        let pipe = Arc::new(Pipe::default());
        let exchange = Exchange {
            reorder: Reorder::new(reorder_of(home)),
            head: Some(sender),
            pipe: pipe.clone(),
            at_risk_since: None,
        };
        let request_id = home.begin(request, exchange)?;
        Some(Self { home: home.clone(), request_id, head, pipe, is_answered: false })
    }

    /// Waits for the head. The body follows it.
    pub(super) async fn head(mut self) -> Result<(ResponseHead, BodyReader), Failure> {
        let gone = || Err(Failure::Broken("the home left".into()));
        let head = (&mut self.head).await.unwrap_or_else(|_| gone())?;
        self.is_answered = true;
        Ok((head, BodyReader::new(self.home.clone(), self.request_id, self.pipe.clone())))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.is_answered {
            self.home.abandon(self.request_id);
        }
    }
}

fn reorder_of(home: &Home) -> ReorderConfig {
    home.config().reorder
}
