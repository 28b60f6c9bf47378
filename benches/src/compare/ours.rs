//! This project over iroh, as its documentation says to use it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use benches::counting::Atomics;
use bytes::Bytes;
use p2p::{
    CloseCode, P2PConnection, P2PListener, P2PProvider, P2PProviderExt, ProtocolId, Runtime, TokioRuntime, layer::stack,
};
use p2p_iroh::{IrohConfig, IrohP2P};
use tunnel_compat::tunnel_p2p::{Identity, LocalServer};

use crate::{
    Result,
    contestant::{Contestant, Side},
    raw::{RECEIVE_WINDOW_BYTES, YIELD_AFTER},
};

pub(crate) struct Ours {
    name: &'static str,
    dialler: Arc<dyn P2PProvider>,
    /// Its provider too, which the listener alone does not keep alive.
    _callee: Arc<dyn P2PProvider>,
    listener: Box<dyn P2PListener>,
    _server: Option<LocalServer>,
}

pub(crate) async fn start() -> Result<Ours> {
    ours("p2p-iroh", |provider| Ok(Arc::new(provider))).await
}

/// With every layer on both sides.
pub(crate) async fn start_stacked() -> Result<Ours> {
    ours("full stack", |provider| Ok(stack(provider, &benches::full_stack(), Some(&Atomics))?.provider)).await
}

async fn ours(name: &'static str, wrap: impl Fn(IrohP2P) -> Result<Arc<dyn P2PProvider>>) -> Result<Ours> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = IrohConfig::default().with_bind([loopback]).with_receive_window_bytes(RECEIVE_WINDOW_BYTES);
    let dialler = wrap(IrohP2P::bind(config.clone()).await?)?;
    let callee = wrap(IrohP2P::bind(config).await?)?;
    let listener = callee.listen(&ProtocolId::default()).await?;
    Ok(Ours { name, dialler, _callee: callee, listener, _server: None })
}

/// Not over iroh: over a tunnel server of this process, by TCP on loopback.
pub(crate) async fn start_tunnel() -> Result<Ours> {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let server = LocalServer::start(runtime.clone()).await?;
    let config = server.config(&"bench".parse()?)?;
    let peer = |seed| config.provider(&Identity::from_bytes([seed; 32]), runtime.clone());
    let (dialler, callee) = (peer(1)?, peer(2)?);
    let listener = callee.listen(&ProtocolId::default()).await?;
    let mut status = callee.status();
    status.wait_for(|status| status.is_ready()).await.map_err(|_| "the peer is gone")?;
    Ok(Ours { name: TUNNEL, dialler: Arc::new(dialler), _callee: Arc::new(callee), listener, _server: Some(server) })
}

/// It has no datagrams.
pub(crate) const TUNNEL: &str = "TunnelP2P";

#[async_trait]
impl Contestant for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn connect(&self) -> Result<(Box<dyn Side>, Box<dyn Side>)> {
        let protocol = ProtocolId::default();
        let (ours, theirs) =
            tokio::try_join!(self.dialler.connect(self.listener.local_addr(), &protocol), self.listener.accept())?;
        Ok((Box::new(ours), Box::new(theirs)))
    }
}

#[async_trait]
impl Side for Arc<dyn P2PConnection> {
    async fn write(&self, chunk: Bytes) -> Result<()> {
        let mut stream = self.open_stream().await?;
        loop {
            let mut rest = chunk.clone();
            while !rest.is_empty() {
                stream.send.write_chunk(&mut rest).await?;
            }
        }
    }

    async fn read(&self, warm_up: usize, bytes: usize) -> Result<Duration> {
        let mut stream = self.accept_stream().await?;
        let mut start = Instant::now();
        for part in [warm_up, bytes] {
            start = Instant::now();
            let mut missing = part;
            while missing > 0 {
                missing -= stream.recv.read_chunk(missing).await?.ok_or("the stream ended")?.len();
            }
        }
        Ok(start.elapsed())
    }

    async fn ask(&self, message: Bytes, times: usize) -> Result<Vec<Duration>> {
        let mut all = Vec::with_capacity(times);
        for _ in 0..times {
            let start = Instant::now();
            P2PConnection::send(self, message.clone()).await?;
            self.recv().await?;
            all.push(start.elapsed());
        }
        Ok(all)
    }

    async fn answer(&self, _: usize, times: usize) -> Result<()> {
        for _ in 0..times {
            P2PConnection::send(self, self.recv().await?).await?;
        }
        Ok(())
    }

    async fn send(&self, message: Bytes, messages: usize) -> Result<()> {
        for _ in 0..messages {
            P2PConnection::send(self, message.clone()).await?;
        }
        Ok(())
    }

    /// There is no other way, and need not be: what is sent in a burst is written together.
    async fn send_together(&self, message: Bytes, messages: usize) -> Result<()> {
        Side::send(self, message, messages).await
    }

    async fn receive(&self, warm_up: usize, messages: usize) -> Result<Duration> {
        for _ in 0..warm_up {
            self.recv().await?;
        }
        let start = Instant::now();
        for _ in 0..messages {
            self.recv().await?;
        }
        Ok(start.elapsed())
    }

    async fn send_datagrams(&self, datagram: Bytes) -> Result<()> {
        loop {
            for _ in 0..YIELD_AFTER {
                self.send_datagram(datagram.clone())?;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn receive_datagrams(&self, warm_up: usize, datagrams: usize) -> Result<Duration> {
        for _ in 0..warm_up {
            self.recv_datagram().await?;
        }
        let start = Instant::now();
        for _ in 0..datagrams {
            self.recv_datagram().await?;
        }
        Ok(start.elapsed())
    }

    fn close(&self) {
        P2PConnection::close(self, CloseCode::OK, "");
    }
}
