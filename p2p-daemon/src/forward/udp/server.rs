//! The side that has the service: a socket for each flow.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    net::{UdpSocket, lookup_host},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::warn;

use super::{
    super::{
        meter::{Dropped, Meter, Open},
        rules::Shared,
    },
    Channel, PAYLOAD_BYTES_MAX,
    channel::{Frame, Sender, What},
    flows::Flows,
};
use crate::rule::HostPort;

/// Forwards the flows of a channel to `target` until the channel ends.
pub(crate) async fn serve(mut channel: Channel, target: &HostPort, port_offset: u16, shared: &Shared) {
    let mut server = Server {
        target,
        port_offset,
        meter: shared.meter.clone(),
        flows: Flows::new(shared.rule.udp_idle),
        readers: JoinSet::new(),
        buffer: Arc::new(Mutex::new(vec![0; PAYLOAD_BYTES_MAX])),
        sender: channel.sender.clone(),
    };
    let mut sweep = interval(server.flows.sweep_period());
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        p2p::select! {
            frame = channel.recv() => match frame {
                Some(frame) => server.outwards(frame).await,
                None => return,
            },
            Some(_) = server.readers.join_next() => {}
            _ = sweep.tick() => server.sweep(),
        }
    }
}

struct Server<'a> {
    target: &'a HostPort,
    port_offset: u16,
    meter: Arc<Meter>,
    flows: Flows<Flow>,
    readers: JoinSet<()>,
    /// Where datagrams of the service are read into, one at a time.
    buffer: Arc<Mutex<Vec<u8>>>,
    sender: Sender,
}

struct Flow {
    socket: Arc<UdpSocket>,
    /// When the service was last heard of.
    answered: Arc<Mutex<Instant>>,
    reader: tokio::task::AbortHandle,
    _open: Open,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Server<'_> {
    async fn outwards(&mut self, Frame { flow: number, what }: Frame) {
        match what {
            What::Payload(payload) => {
                if !self.meter.admits_in(payload.len()) {
                    return self.meter.dropped(Dropped::Bandwidth);
                }
                if self.flows.get(number, Instant::now()).is_none() && !self.open(number).await {
                    return;
                }
                self.send(number, &payload);
            }
            What::Forgotten => drop(self.flows.remove(number)),
            What::Known => {}
        }
    }

    fn send(&mut self, number: u32, payload: &Bytes) {
        let Some(flow) = self.flows.get(number, Instant::now()) else { return };
        match flow.socket.try_send(payload) {
            Ok(_) => self.meter.datagram_in(payload.len()),
            // What was sent before met no listener; this one was not sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.meter.dropped(Dropped::TargetRefused)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.meter.dropped(Dropped::QueueFull),
            Err(_) => self.meter.dropped(Dropped::TooLarge),
        }
    }

    async fn open(&mut self, number: u32) -> bool {
        let now = Instant::now();
        match self.flows.make_room(now) {
            Ok(None) => {}
            Ok(Some((silent, _))) => self.sender.say(silent, What::Forgotten),
            Err(()) => {
                self.meter.dropped(Dropped::FlowLimit);
                return false;
            }
        }
        let socket = match connect(self.target, self.port_offset).await {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                warn!(target = %self.target, %error, "The service cannot be sent datagrams.");
                self.meter.dropped(Dropped::TargetRefused);
                return false;
            }
        };
        let answered = Arc::new(Mutex::new(now));
        let reader = self.readers.spawn(inwards(
            number,
            socket.clone(),
            answered.clone(),
            self.buffer.clone(),
            self.sender.clone(),
            self.meter.clone(),
        ));
        self.flows.insert(number, Flow { socket, answered, reader, _open: self.meter.open_flow() }, now);
        self.sender.say(number, What::Known);
        true
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        for (number, flow) in self.flows.sweep(now) {
            // A service may speak for long without being asked again.
            let answered = *flow.answered.lock();
            if now - answered < self.flows.idle() {
                self.flows.insert(number, flow, answered);
            } else {
                self.sender.say(number, What::Forgotten);
            }
        }
    }
}

/// Sends what the service says back to the peer, until it is aborted.
async fn inwards(
    number: u32,
    socket: Arc<UdpSocket>,
    answered: Arc<Mutex<Instant>>,
    buffer: Arc<Mutex<Vec<u8>>>,
    sender: Sender,
    meter: Arc<Meter>,
) {
    while socket.readable().await.is_ok() {
        let mut buffer = buffer.lock();
        match socket.try_recv(&mut buffer) {
            Ok(len) => {
                *answered.lock() = Instant::now();
                sender.send(number, &buffer[..len], true);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Nobody listens there, at least now.
            Err(_) => meter.dropped(Dropped::TargetRefused),
        }
    }
}

async fn connect(target: &HostPort, port_offset: u16) -> io::Result<UdpSocket> {
    let port = target.ports.get(port_offset).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let addr = lookup_host((target.host.as_str(), port)).await?.next().ok_or(io::ErrorKind::NotFound)?;
    let any: SocketAddr = match addr {
        SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(addr).await?;
    Ok(socket)
}
