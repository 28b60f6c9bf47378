//! One task per connection: writes what senders left, reads ahead, keeps the control stream and the clock.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    asked::{self, Asked},
    core::Core,
    stream::Finished,
};
use crate::{
    BoxFuture, CloseReason, ConnectionState, Path, RecvHalf, SendHalf, Timer, Transport, TransportClosed, Watch,
    protocol::{Violation, close, control::ControlReader, session::Event},
};

/// The future that the driver's task runs. It ends with the connection.
pub(super) struct Driver<T: Transport> {
    core: Arc<Core<T>>,
    control: ControlStream<T>,
    timer: Box<dyn Timer>,
    ended: BoxFuture<'static, TransportClosed>,
    path: NextPath,
    /// What `ended` and `path` wake.
    transport_waker: Waker,
    /// Bounded by the streams that may be open: each holds its permit.
    delivering: FuturesUnordered<Finished<T::Send>>,
}

struct ControlStream<T: Transport> {
    send: T::Send,
    recv: T::Recv,
    recv_waker: Waker,
    reader: ControlReader,
    /// What is being written. More stays in the session, which bounds it.
    outgoing: Bytes,
}

/// Bytes read at once from the control stream.
const CONTROL_READ_BYTES: usize = 16 * 1024;

/// Reads of the control stream before the rest of the connection has its turn, and other tasks have theirs.
const CONTROL_READS_MAX: usize = 16;

impl<T: Transport> Driver<T> {
    /// A driver that goes on with the control stream where the handshake left it.
    pub(super) fn new(core: Arc<Core<T>>, (send, recv): (T::Send, T::Recv), reader: ControlReader) -> Self {
        let timer = core.runtime.timer();
        let ended = {
            let core = core.clone();
            Box::pin(async move { core.transport.closed().await })
        };
        let path = next_path(core.transport.path());
        let recv_waker = asked::waker(&core.readers, Asked::CONTROL);
        let transport_waker = asked::waker(&core.readers, Asked::TRANSPORT);
        let control = ControlStream { send, recv, recv_waker, reader, outgoing: Bytes::new() };
        Self { core, control, timer, ended, path, transport_waker, delivering: FuturesUnordered::new() }
    }

    /// Does what it was asked for. The clock and the control stream's writing end are looked at each time.
    fn drive(&mut self, asked: Asked, cx: &mut Context<'_>) -> Result<(), Violation> {
        if asked.includes(Asked::TRANSPORT) {
            self.follow_path();
        }
        let told = asked.includes(Asked::CONTROL) && self.read_control()?;
        if told || asked.includes(Asked::MESSAGES) || self.core.readers.is_readable() {
            self.read_messages()?;
            self.write_messages();
            self.finish();
        }
        self.watch_clock(cx);
        self.write_control(cx);
        Ok(())
    }

    fn follow_path(&mut self) {
        let mut cx = Context::from_waker(&self.transport_waker);
        while let Poll::Ready(changed) = self.path.as_mut().poll(&mut cx) {
            let Some((path, watch)) = changed else {
                self.path = Box::pin(std::future::pending());
                return;
            };
            self.core.state.modify(|state| match state {
                ConnectionState::Connected { path: old } if *old != path => {
                    *old = path;
                    true
                }
                _ => false,
            });
            self.path = next_path(watch);
        }
    }

    /// Says whether the peer told anything beyond that it lives.
    fn read_control(&mut self) -> Result<bool, Violation> {
        let mut told = false;
        for _ in 0..CONTROL_READS_MAX {
            while let Some(frame) = self.control.reader.poll_frame()? {
                let event = self.core.session.lock().handle_frame(self.core.runtime.now(), frame)?;
                told |= event.is_some();
                event.into_iter().for_each(|event| self.handle(event));
            }
            let ControlStream { recv, recv_waker, reader, .. } = &mut self.control;
            match recv.poll_read(&mut Context::from_waker(recv_waker), CONTROL_READ_BYTES) {
                Poll::Ready(Ok(Some(bytes))) => reader.push(&bytes),
                Poll::Ready(Ok(None)) => return Err(Violation::new("the control stream ended before the connection")),
                Poll::Ready(Err(_)) | Poll::Pending => return Ok(told),
            }
        }
        self.control.recv_waker.wake_by_ref();
        Ok(told)
    }

    fn handle(&self, event: Event) {
        match event {
            Event::PeerFinishing => {}
            Event::Finished => self.core.outbound.lock().finished(),
            Event::Disconnected { code, reason } => {
                self.core.close_with(close::from_peer(code, reason.as_bytes()), Some((0, "")));
            }
            Event::TimedOut => self.core.close_with(CloseReason::TimedOut, Some((close::TIMED_OUT, ""))),
        }
    }

    fn read_messages(&self) -> Result<(), Violation> {
        let awaited = self.core.session.lock().peer_awaits();
        let (arrived, waiting, violation) = {
            let mut inbound = self.core.inbound.lock();
            inbound.fill(awaited);
            (inbound.arrived(), !inbound.is_empty(), inbound.take_violation())
        };
        if let Some(violation) = violation {
            return Err(violation);
        }
        if waiting {
            self.core.readers.wake_receiver();
        }
        self.core.session.lock().handle_received(arrived)
    }

    fn write_messages(&self) {
        let mut cx = Context::from_waker(&self.core.message_waker);
        let senders = self.core.outbound.lock().drive(&mut cx, || self.core.runtime.now());
        senders.into_values().for_each(Waker::wake);
    }

    fn deliver_streams(&mut self) {
        self.delivering.extend(self.core.finished_streams.lock().iter_mut().flat_map(std::mem::take));
        let mut cx = Context::from_waker(&self.core.message_waker);
        // It looks for what woke it even when it holds nothing.
        while !self.delivering.is_empty() && self.delivering.poll_next_unpin(&mut cx).is_ready() {}
    }

    /// Announces this side's finish when its streams have arrived, and closes when both sides are done.
    fn finish(&mut self) {
        // Asked before the streams are looked at: those that were finished before the connection are among them.
        let messages = self.core.outbound.lock().messages_at_finish();
        self.deliver_streams();
        let mut session = self.core.session.lock();
        if let Some(messages) = messages
            && self.delivering.is_empty()
        {
            session.finish(messages);
        }
        if session.is_finished() && session.peer_awaits().is_none() {
            let peer_finished = session.peer_finished();
            drop(session);
            let (code, text) = if peer_finished {
                (close::FINISHED_BOTH, String::new())
            } else {
                // The peer may be about to finish as well, and can do so if this is all it sent.
                (close::FINISHED, self.core.inbound.lock().arrived().to_string())
            };
            self.core.close_with(self.core.finish_reason(), Some((code, &text)));
        }
    }

    fn watch_clock(&mut self, cx: &mut Context<'_>) {
        loop {
            let due = self.core.session.lock().poll_timeout();
            self.timer.reset(due);
            if self.timer.poll_fired(cx).is_pending() {
                return;
            }
            let event = self.core.session.lock().handle_timeout(self.core.runtime.now());
            self.core.measure();
            if let Some(event) = event {
                return self.handle(event);
            }
        }
    }

    fn write_control(&mut self, cx: &mut Context<'_>) {
        let ControlStream { send, outgoing, .. } = &mut self.control;
        loop {
            if outgoing.is_empty() {
                let Some(next) = self.core.session.lock().poll_transmit() else { return };
                *outgoing = next;
            }
            match send.poll_write(cx, std::slice::from_mut(outgoing)) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) | Poll::Pending => return,
            }
        }
    }
}

impl<T: Transport> Future for Driver<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.core.readers.set_driver(cx.waker());
        let asked = this.core.readers.asked().take_all();
        if let Err(violation) = this.drive(asked, cx) {
            this.core.close_for(violation);
        }
        // What was done just now may have ended the transport.
        let asked_since = this.core.readers.asked().take(Asked::TRANSPORT);
        if !asked.includes(Asked::TRANSPORT) && !asked_since.includes(Asked::TRANSPORT) {
            return Poll::Pending;
        }
        let how = ready!(this.ended.as_mut().poll(&mut Context::from_waker(&this.transport_waker)));
        this.core.transport_closed(how, this.delivering.is_empty());
        Poll::Ready(())
    }
}

impl<T: Transport> Drop for Driver<T> {
    /// Nobody sees streams delivered any more.
    fn drop(&mut self) {
        let late = self.core.finished_streams.lock().take();
        // Not under the lock: their callers are woken.
        drop(late);
    }
}

/// The path after its next change, and the watch to wait on for the one after; `None` if there will be none.
type NextPath = BoxFuture<'static, Option<(Option<Path>, Watch<Option<Path>>)>>;

fn next_path(mut watch: Watch<Option<Path>>) -> NextPath {
    Box::pin(async move { watch.changed().await.ok().map(|path| (path, watch)) })
}
