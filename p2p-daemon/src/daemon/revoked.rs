//! What ends with a ticket that is taken back: the connections of those who came with it.

use std::{collections::BTreeSet, sync::Weak, time::Duration};

use p2p::CloseCode;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Inner;
use crate::access::{Token, TokenId};

/// Ends what is open by a ticket soon after that was revoked, until `ending`.
///
/// Streams that are opened ask each time, and so do handshakes. A ticket that was revoked before a peer came with it let
/// nobody in, so the connection that such a peer has is owed to something else, and stays.
pub(super) async fn end_what_is_open(daemon: Weak<Inner>, ending: CancellationToken) {
    let mut seen = BTreeSet::new();
    if let Some(daemon) = daemon.upgrade() {
        daemon.access.revoked().news(&mut seen);
    }
    while ending.run_until_cancelled(sleep(PERIOD)).await.is_some() {
        let Some(daemon) = daemon.upgrade() else { return };
        let news = daemon.access.revoked().news(&mut seen);
        daemon.end_those_with(&news);
    }
}

impl Inner {
    /// Ends the connections of peers who came with one of these tickets, and with them what is open.
    fn end_those_with(&self, tickets: &BTreeSet<TokenId>) {
        for session in self.peers.all() {
            if let Some(ticket) = session.token.as_ref().and_then(Token::terms).map(|terms| terms.id)
                && tickets.contains(&ticket)
            {
                info!(peer = ?session.peer, %ticket, "Ended a connection, because its ticket was revoked.");
                session.connection.close(CLOSED_REVOKED, "the ticket was revoked");
            }
        }
    }
}

/// How often to look whether tickets were revoked.
const PERIOD: Duration = Duration::from_secs(1);

/// What a peer sees whose ticket was revoked.
const CLOSED_REVOKED: CloseCode = CloseCode(2);
