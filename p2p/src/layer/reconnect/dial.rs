//! The dialling side's part: the first dial, and those that get another transport.

use std::{sync::Arc, time::Duration};

use super::{
    driver,
    session::{Role, Session},
    shared::Shared,
    state::REPLACED,
    wire::{self, Hello, RESUME, STREAMS_MAX, Welcome},
};
use crate::{
    CloseReason, ConnectionConfig, Instant, P2PConnection, P2PError, P2PProvider, PeerAddr, Result, RuntimeExt,
};

/// Dials a peer. If it speaks `resume` the connection is a session, else what the provider made.
pub(super) async fn first(
    shared: &Arc<Shared>,
    provider: Arc<dyn P2PProvider>,
    addr: PeerAddr,
    mut config: ConnectionConfig,
) -> Result<Result<Arc<Session>, Arc<dyn P2PConnection>>> {
    let id = shared.new_session_id();
    let hello = Hello::New { session: id, budget_bytes: shared.config.replay_bytes_max as u64 };
    config.streams_max = config.streams_max.min(STREAMS_MAX);
    let offer = config.clone().with_capability(wire::capability(&hello));
    let connection = provider.connect_with(addr.clone(), offer).await?;
    let Some(answer) = connection.negotiated().capability(RESUME) else {
        shared.totals.plain.add(1);
        tracing::debug!(peer = ?addr.peer, "The peer does not resume; this connection ends with its transport.");
        return Ok(Err(connection));
    };
    let welcome: Welcome = match wire::decode(answer) {
        Ok(Welcome { session, attempt: 0, budget_bytes, progress }) if session == id => {
            Welcome { session, attempt: 0, budget_bytes, progress }
        }
        Ok(_) => return Err(refuse(&*connection, "the peer answers for another session".into())),
        Err(violation) => return Err(refuse(&*connection, violation)),
    };
    let role = Role::Dialler { provider, addr };
    let session = Session::new(id, role, config, connection, welcome.budget_bytes, shared.clone());
    shared.add(&session);
    driver::start(&session);
    Ok(Ok(session))
}

fn refuse(connection: &dyn P2PConnection, violation: String) -> P2PError {
    connection.close(super::session::VIOLATION, &violation);
    P2PError::protocol(violation)
}

/// Dials until the session has another transport, or is over.
pub(super) async fn again(session: &Session, provider: &dyn P2PProvider, addr: &PeerAddr) {
    let Some(since) = session.lock().since else { return };
    let grace = session.shared.config.grace;
    let closed = session.closed();
    let dialling = session.runtime().timeout(grace, dial(session, provider, addr, since));
    crate::select! {
        // What a user closes meanwhile is closed.
        _ = closed => {}
        dialled = dialling => match dialled {
            Ok(None) => {}
            Ok(Some(reason)) => session.end(reason, REPLACED),
            Err(_) => {
                session.give_up(format!("no transport within {grace:?}"));
            }
        },
    }
}

/// Dials until the session has another transport: nothing then, else why it can have none.
async fn dial(session: &Session, provider: &dyn P2PProvider, addr: &PeerAddr, since: Instant) -> Option<CloseReason> {
    let shared = &session.shared;
    let mut last: Option<P2PError> = None;
    for count in 0.. {
        let delay = shared.config.backoff.delay(count, &mut shared.rng.lock());
        let Some(mut delay) = delay else {
            shared.totals.given_up.add(1);
            let last = last.map_or_else(String::new, |error| format!(": {}", error.chain()));
            return Some(CloseReason::Lost { source: format!("no transport after {count} attempts{last}").into() });
        };
        if let Some(P2PError::Refused { refusal, .. }) = &last {
            delay = delay.max(refusal.retry_after.unwrap_or_default());
        }
        if std::mem::take(&mut session.lock().moving) {
            shared.totals.moved.add(1);
            delay = Duration::ZERO;
        }
        if count > 0 {
            delay = delay.max(shared.retries.lock().take(session.runtime().now()));
        }
        session.runtime().sleep(delay).await;

        let attempt = {
            let mut state = session.lock();
            state.attempt += 1;
            state.attempt
        };
        session.set_attempt(since, count + 1);
        shared.totals.attempts.add(1);
        match attempt_once(session, provider, addr, attempt).await {
            Ok(None) => return None,
            Ok(Some(reason)) => return Some(reason),
            Err(error) if error.is_retryable() => {
                tracing::debug!(peer = ?session.peer, attempt, error = %error.chain(), "An attempt to resume failed.");
                last = Some(error);
            }
            Err(P2PError::ShutDown) => return Some(CloseReason::ShutDown),
            Err(error) => {
                shared.totals.given_up.add(1);
                return Some(CloseReason::Lost { source: crate::SharedError::new(error.chain()) });
            }
        }
    }
    unreachable!("the loop ends when the delays do")
}

async fn attempt_once(
    session: &Session,
    provider: &dyn P2PProvider,
    addr: &PeerAddr,
    attempt: u32,
) -> Result<Option<CloseReason>> {
    let progress = session.lock().progress();
    let hello = Hello::Resume { session: session.id, attempt, progress };
    let mut config = session.config.clone();
    // The application's own were settled when the session began.
    config.capabilities = vec![wire::capability(&hello)];
    let connection = provider.connect_with(addr.clone(), config).await?;
    let welcome: Result<Welcome, String> = match connection.negotiated().capability(RESUME) {
        Some(answer) => wire::decode(answer),
        None => Err("the peer no longer resumes".into()),
    };
    match welcome {
        Ok(welcome) if (welcome.session, welcome.attempt) == (session.id, attempt) => {
            session.resume(connection, attempt, Some(welcome.progress));
            Ok(None)
        }
        Ok(_) => Ok(Some(violated(&*connection, "the peer answers for another session".into()))),
        Err(violation) => Ok(Some(violated(&*connection, violation))),
    }
}

fn violated(connection: &dyn P2PConnection, violation: String) -> CloseReason {
    connection.close(super::session::VIOLATION, &violation);
    CloseReason::Protocol { violation }
}
