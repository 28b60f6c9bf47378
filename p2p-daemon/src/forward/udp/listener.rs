//! The side that has the sources: a local UDP socket whose flows go to a peer.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::UdpSocket,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    super::{
        header::{Header, Kind},
        meter::{Dropped, Open},
        rules::Core,
    },
    Channel, PAYLOAD_BYTES_MAX,
    channel::{Frame, What},
    flows::Flows,
};

/// Forwards what comes to `socket` for as long as it is polled. `core` says which rule it is for now.
pub(crate) async fn listen(socket: UdpSocket, port_offset: u16, core: impl Fn() -> Arc<Core>) {
    let first = core();
    let mut listener = Listener {
        socket,
        port_offset,
        flows: Flows::new(first.rule.udp_idle),
        by_source: BTreeMap::new(),
        next: 0,
        channel: None,
        core: first,
    };
    let mut sweep = interval(listener.flows.sweep_period());
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut buffer = vec![0; PAYLOAD_BYTES_MAX];
    loop {
        p2p::select! {
            received = listener.socket.recv_from(&mut buffer) => {
                // An error here is of a datagram that was sent before: its target is gone.
                if let Ok((len, source)) = received {
                    let current = core();
                    if !Arc::ptr_eq(&current, &listener.core) {
                        listener.forget_all();
                        listener.flows = Flows::new(current.rule.udp_idle);
                        listener.core = current;
                    }
                    listener.outwards(source, &buffer[..len]).await;
                }
            }
            frame = next_frame(&mut listener.channel) => match frame {
                Some(frame) => listener.inwards(frame),
                None => listener.forget_all(),
            },
            _ = sweep.tick() => listener.sweep(),
        }
    }
}

async fn next_frame(channel: &mut Option<Channel>) -> Option<Frame> {
    match channel {
        Some(channel) => channel.recv().await,
        None => std::future::pending().await,
    }
}

struct Listener {
    socket: UdpSocket,
    port_offset: u16,
    core: Arc<Core>,
    channel: Option<Channel>,
    flows: Flows<Flow>,
    by_source: BTreeMap<SocketAddr, u32>,
    next: u32,
}

struct Flow {
    source: SocketAddr,
    /// Whether datagrams of the connection find it at the peer.
    known: bool,
    _open: Open,
}

impl Listener {
    async fn outwards(&mut self, source: SocketAddr, payload: &[u8]) {
        if self.channel.is_none() {
            match timeout(PATIENCE, self.open()).await {
                Ok(Some(channel)) => self.channel = Some(channel),
                _ => return self.core.meter.dropped(Dropped::PeerUnreachable),
            }
        }
        let now = Instant::now();
        let number = match self.by_source.get(&source) {
            Some(number) => *number,
            None => match self.new_flow(source, now) {
                Some(number) => number,
                None => return self.core.meter.dropped(Dropped::FlowLimit),
            },
        };
        let (Some(flow), Some(channel)) = (self.flows.get(number, now), &self.channel) else { return };
        channel.sender.send(number, payload, flow.known);
    }

    async fn open(&self) -> Option<Channel> {
        let session = self.core.session().await.ok()?;
        let channel = session.udp.next();
        let kind = Kind::Udp { port_offset: self.port_offset, channel };
        let header = Header { service: self.core.rule.service.clone(), kind };
        let (stream, _token) = session.open(&header).await.ok()?;
        Some(Channel::new(channel, stream, &session, self.core.meter.clone()))
    }

    fn new_flow(&mut self, source: SocketAddr, now: Instant) -> Option<u32> {
        if let Some((number, flow)) = self.flows.make_room(now).ok()? {
            self.forget(number, &flow);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.flows.insert(number, Flow { source, known: false, _open: self.core.meter.open_flow() }, now);
        self.by_source.insert(source, number);
        Some(number)
    }

    fn inwards(&mut self, Frame { flow: number, what }: Frame) {
        let meter = self.core.meter.clone();
        let Some(flow) = self.flows.get(number, Instant::now()) else {
            if matches!(what, What::Payload(_)) {
                meter.dropped(Dropped::Unknown);
            }
            return;
        };
        match what {
            What::Known => flow.known = true,
            What::Payload(payload) => {
                flow.known = true;
                if !meter.admits_in(payload.len()) {
                    return meter.dropped(Dropped::Bandwidth);
                }
                match self.socket.try_send_to(&payload, flow.source) {
                    Ok(_) => meter.datagram_in(payload.len()),
                    Err(_) => meter.dropped(Dropped::QueueFull),
                }
            }
            What::Forgotten => {
                if let Some(flow) = self.flows.remove(number) {
                    self.by_source.remove(&flow.source);
                }
            }
        }
    }

    fn sweep(&mut self) {
        for (number, flow) in self.flows.sweep(Instant::now()) {
            self.forget(number, &flow);
        }
    }

    fn forget(&mut self, number: u32, flow: &Flow) {
        self.by_source.remove(&flow.source);
        if let Some(channel) = &self.channel {
            channel.sender.say(number, What::Forgotten);
        }
    }

    /// The channel has ended, and the peer has forgotten everything.
    fn forget_all(&mut self) {
        self.channel = None;
        self.flows.clear();
        self.by_source.clear();
    }
}

/// How long a datagram waits for the peer: a resolver has sent it again by then. What comes meanwhile waits in the
/// socket's buffer.
const PATIENCE: Duration = Duration::from_secs(2);
