//! One task per session: keeps the control stream, moves what could not be moved at once, and gets new transports.

use std::{
    collections::BTreeMap,
    future::{pending, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::{
    dial,
    session::{Role, Session},
    state::{Finish, Link, REPLACED, State, Violation},
    wakes::Wakes,
    wire::{self, Header},
};
use crate::{BiStream, CloseCode, CloseReason, P2PConnection, RecvStream, RuntimeExt, SendStream};

/// Starts the task that drives a session to its end.
pub(super) fn start(session: &Arc<Session>) {
    let task = drive(session.clone());
    session.runtime().spawn("reconnect", Box::pin(task)).detach();
}

async fn drive(session: Arc<Session>) {
    loop {
        let link = session.lock().link.clone();
        match link {
            Some(link) => {
                let transport = Transport::new(&session, &link);
                let over = transport.run().await;
                end_transport(&session, &link, over, transport.confirmed.load(Relaxed));
            }
            None => match &session.role {
                Role::Dialler { provider, addr } => dial::again(&session, &**provider, addr).await,
                Role::Accepter => wait_for_dialler(&session).await,
            },
        }
        if session.close_reason().is_some() {
            return;
        }
    }
}

/// The accepting side keeps its half until the dialling side must have noticed and given up.
async fn wait_for_dialler(session: &Session) {
    session.shared.bound_suspended();
    let patience = session.shared.config.grace + session.config.idle_timeout.unwrap_or(Duration::ZERO);
    let Some(since) = session.lock().since else { return };
    let deadline = session.runtime().sleep_until(since + patience);
    crate::select! {
        // A transport that is here, or the end.
        _ = session.link(None) => {}
        _ = deadline => session.give_up(format!("the peer did not come back within {patience:?}")),
    }
}

/// How the time with one transport ended.
enum Over {
    /// As its connection says.
    Closed(CloseReason),
    /// The peer broke this layer's protocol.
    Violated(Violation),
    /// Everything has reached the peer's provider, and the connection closed for that.
    Finished,
}

fn end_transport(session: &Session, link: &Link, over: Over, confirmed: bool) {
    match over {
        // A dialler that gives an attempt up may look as if it dropped the connection it never had.
        Over::Closed(CloseReason::Peer { code: CloseCode::OK, .. }) if !confirmed => session.lose(link),
        Over::Violated(violation) => session.violated(violation),
        Over::Finished => {
            session.lock().finish = Finish::Done;
            let reason = match session.shared.is_shut_down() {
                true => CloseReason::ShutDown,
                false => CloseReason::Local { code: CloseCode::OK, reason: String::new() },
            };
            session.end(reason, (CloseCode::OK, ""));
        }
        // Not by this layer, which lets go of a transport before it closes it: by one below that knows a better one.
        Over::Closed(reason @ CloseReason::Local { .. }) if is_replaced(&reason) => {
            session.lock().moving = true;
            session.lose(link);
        }
        Over::Closed(reason) if reason.is_retryable() || is_replaced(&reason) => session.lose(link),
        Over::Closed(reason) => {
            if session.lock().is_on(link) {
                session.end(reason, REPLACED);
            }
        }
    }
}

/// Whether a layer, here or there, ended the transport and not the session.
fn is_replaced(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::Local { code, reason } | CloseReason::Peer { code, reason } => {
            (*code, reason.as_str()) == REPLACED
        }
        _ => false,
    }
}

/// The time with one transport.
struct Transport<'a> {
    session: &'a Session,
    link: &'a Link,
    /// The control stream, once it is there. Its halves are used by one branch each.
    control: Mutex<(Option<SendStream>, Option<RecvStream>)>,
    /// The peer is known to have the connection, too.
    confirmed: AtomicBool,
}

impl<'a> Transport<'a> {
    fn new(session: &'a Session, link: &'a Link) -> Self {
        // The one who dialled had its answer. A session's first transport has nothing to go back to.
        let confirmed = matches!(session.role, Role::Dialler { .. }) || link.is_first();
        Self { session, link, control: Mutex::default(), confirmed: confirmed.into() }
    }

    async fn run(&self) -> Over {
        // All branches run in one task; each waits for the state by way of the one waker in it.
        crate::select! {
            () = self.finish() => Over::Finished,
            reason = self.link.connection.closed() => Over::Closed(reason),
            violation = self.read_control() => Over::Violated(violation),
            violation = self.accept_streams() => Over::Violated(violation),
            violation = self.open_streams() => Over::Violated(violation),
            () = self.write_control() => unreachable!("it goes on"),
            () = self.send_messages() => unreachable!("it goes on"),
            () = self.follow_path() => unreachable!("it goes on"),
        }
    }

    fn connection(&self) -> &dyn P2PConnection {
        &*self.link.connection
    }

    /// Waits for `look` to find something in the state.
    async fn when<T>(&self, mut look: impl FnMut(&mut State, &mut Context<'_>) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut state = self.session.lock();
            if !state.driver.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                state.driver = Some(cx.waker().clone());
            }
            if !state.is_on(self.link) {
                // The connection is closed, and its end will be noticed.
                return Poll::Pending;
            }
            look(&mut state, cx).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Resolves when everything accepted has reached the peer's provider.
    async fn finish(&self) {
        self.when(|state, _| (state.finish == Finish::Begun && state.is_all_given()).then_some(())).await;
        if self.connection().finish().await.is_err() {
            pending().await
        }
    }

    async fn send_messages(&self) {
        let buffer_bytes = self.session.config.send_buffer_bytes;
        loop {
            let next = self.when(|state, cx| {
                let next = state.push_messages();
                state.pump_streams(cx);
                state.wake_senders(buffer_bytes);
                next
            });
            let message = next.await;
            if self.connection().send(message).await.is_err() {
                return pending().await;
            }
            let mut state = self.session.lock();
            if state.is_on(self.link) {
                state.sent();
            }
        }
    }

    async fn write_control(&self) {
        let mut timer = self.session.runtime().timer();
        let mut send = poll_fn(|cx| {
            let send = self.control.lock().0.take();
            send.map_or_else(
                || {
                    let mut state = self.session.lock();
                    state.driver = Some(cx.waker().clone());
                    Poll::Pending
                },
                Poll::Ready,
            )
        })
        .await;
        loop {
            let frames = self.when(|state, cx| {
                let frames = state.take_frames();
                if !frames.is_empty() {
                    return Some(frames);
                }
                timer.reset(state.acks.due().flatten());
                match timer.poll_fired(cx) {
                    Poll::Ready(()) => Some(state.take_frames()),
                    Poll::Pending => None,
                }
            });
            let mut buf = BytesMut::new();
            frames.await.iter().for_each(|frame| wire::put_frame(frame, &mut buf));
            if write(&mut send, buf.freeze()).await.is_none() {
                return pending().await;
            }
        }
    }

    async fn read_control(&self) -> Violation {
        let mut recv = poll_fn(|_| self.control.lock().1.take().map_or(Poll::Pending, Poll::Ready)).await;
        let mut buf = BytesMut::new();
        loop {
            loop {
                let frame = match wire::take_frame(&mut buf) {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(violation) => return violation,
                };
                let mut state = self.session.lock();
                if state.is_on(self.link) {
                    if let Err(violation) = state.handle_frame(frame) {
                        return violation;
                    }
                    state.wake_senders(self.session.config.send_buffer_bytes);
                }
            }
            match recv.read_chunk(READ_BYTES).await {
                Ok(Some(bytes)) => buf.extend_from_slice(&bytes),
                Ok(None) => return "the resume stream ended before the connection".into(),
                Err(_) => return pending().await,
            }
        }
    }

    /// Opens the control stream, on the side that dialled, and one for each stream of ours that goes on.
    async fn open_streams(&self) -> Violation {
        if matches!(self.session.role, Role::Dialler { .. }) {
            let Ok(BiStream { mut send, recv }) = self.connection().open_stream().await else {
                return pending().await;
            };
            if write(&mut send, Header::Control.encode()).await.is_none() {
                return pending().await;
            }
            self.set_control(send, recv);
        }
        loop {
            let id = self.when(|state, _| state.next_to_open()).await;
            let Ok(stream) = self.connection().open_stream().await else { return pending().await };
            let mut state = self.session.lock();
            if state.is_on(self.link) && state.next_to_open() == Some(id) {
                state.attach_opened(id, stream);
            }
        }
    }

    fn set_control(&self, send: SendStream, recv: RecvStream) {
        *self.control.lock() = (Some(send), Some(recv));
        self.confirmed.store(true, Relaxed);
        // The branches that wait for it have had their turn.
        self.session.lock().wake_driver();
    }

    async fn accept_streams(&self) -> Violation {
        let mut has_control = matches!(self.session.role, Role::Dialler { .. });
        // A stream whose header has not come holds up no other. One more than the peer may open for the control stream,
        // and as many again, because it may know sooner than this side that one is over.
        let fresh_max = 2 * (self.session.config.streams_max.min(wire::STREAMS_MAX) + 1);
        let mut fresh: BTreeMap<u64, Fresh> = BTreeMap::new();
        let wakes = Arc::new(Wakes::default());
        let mut accepted = 0;
        loop {
            let mut accept = self.connection().accept_stream();
            let next = poll_fn(|cx| {
                wakes.register(cx.waker());
                let mut ready = wakes.take();
                while let Some(key) = ready.pop_first() {
                    let waker = wakes.waker(key);
                    let begun = |stream: &mut Fresh| stream.poll_header(&mut Context::from_waker(&waker)).is_ready();
                    if fresh.get_mut(&key).is_some_and(begun) {
                        wakes.put_back(ready);
                        return Poll::Ready(fresh.remove(&key).map(Next::Begun));
                    }
                }
                match accept.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => Poll::Ready(Some(Next::Fresh(stream))),
                    Poll::Ready(Err(_)) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            match next.await {
                None => return pending().await,
                Some(Next::Fresh(_)) if fresh.len() >= fresh_max => {
                    return format!("over {fresh_max} streams that do not say what they are");
                }
                Some(Next::Fresh(stream)) => {
                    accepted += 1;
                    fresh.insert(accepted, Fresh::new(stream));
                    wakes.add(accepted);
                }
                Some(Next::Begun(Fresh { header: None, .. })) => {}
                Some(Next::Begun(Fresh { header: Some(Header::Control), send, recv, .. })) => {
                    if std::mem::replace(&mut has_control, true) {
                        return "a second resume stream".into();
                    }
                    self.set_control(send, recv);
                }
                Some(Next::Begun(Fresh { header: Some(Header::Stream { id, offset }), send, recv, rest })) => {
                    let mut state = self.session.lock();
                    if state.is_on(self.link) {
                        let (send, recv) = (send.into_half(), recv.into_half());
                        if let Err(violation) = state.attach_accepted((id, offset), send, recv, rest.freeze()) {
                            return violation;
                        }
                    }
                }
            }
        }
    }

    async fn follow_path(&self) {
        let mut watch = self.connection().state();
        while let Ok(state) = watch.changed().await {
            if state.is_connected() && self.session.lock().is_on(self.link) {
                self.session.set_connected(state.path().cloned());
            }
        }
        pending().await
    }
}

/// Bytes read at once from the control stream and of a header.
const READ_BYTES: usize = 16 * 1024;

async fn write(send: &mut SendStream, mut bytes: Bytes) -> Option<()> {
    while !bytes.is_empty() {
        send.write_chunk(&mut bytes).await.ok()?;
    }
    Some(())
}

enum Next {
    Fresh(BiStream),
    Begun(Fresh),
}

/// A stream of the transport's that says with its first bytes what it is.
struct Fresh {
    send: SendStream,
    recv: RecvStream,
    header: Option<Header>,
    /// What was read; after the header, what follows it.
    rest: BytesMut,
}

impl Fresh {
    fn new(stream: BiStream) -> Self {
        Self { send: stream.send, recv: stream.recv, header: None, rest: BytesMut::new() }
    }

    /// Ready when the header is here, or never will be.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.header = Header::take(&mut self.rest);
            if self.header.is_some() {
                return Poll::Ready(());
            }
            match self.recv.poll_read_chunk(cx, READ_BYTES) {
                Poll::Ready(Ok(Some(bytes))) => self.rest.extend_from_slice(&bytes),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
