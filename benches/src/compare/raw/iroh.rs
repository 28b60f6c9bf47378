//! Raw iroh.

use std::net::Ipv4Addr;

use async_trait::async_trait;
use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, RelayMode,
    endpoint::{Connection, PortmapperConfig, QuicTransportConfig, RecvStream, SendStream, presets},
};

use super::{Quic, RECEIVE_WINDOW_BYTES, Raw, Read, STREAM_RECEIVE_WINDOW_BYTES, Write};
use crate::{
    Error, Result,
    contestant::{Contestant, Side},
};

const ALPN: &[u8] = b"compare/1";

pub(crate) struct Iroh {
    dialler: Endpoint,
    callee: Endpoint,
    addr: EndpointAddr,
}

pub(crate) async fn start() -> Result<Iroh> {
    let (dialler, callee) = (bind().await?, bind().await?);
    let addr = callee.bound_sockets().into_iter().fold(EndpointAddr::new(callee.id()), EndpointAddr::with_ip_addr);
    Ok(Iroh { dialler, callee, addr })
}

async fn bind() -> Result<Endpoint> {
    let transport = QuicTransportConfig::builder()
        .receive_window(RECEIVE_WINDOW_BYTES.into())
        .stream_receive_window(STREAM_RECEIVE_WINDOW_BYTES.into())
        .send_window(RECEIVE_WINDOW_BYTES.into())
        .build();
    let endpoint = Endpoint::builder(presets::Minimal)
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .transport_config(transport)
        .clear_ip_transports()
        .bind_addr((Ipv4Addr::LOCALHOST, 0))?
        .bind()
        .await?;
    Ok(endpoint)
}

#[async_trait]
impl Contestant for Iroh {
    fn name(&self) -> &'static str {
        "raw iroh"
    }

    async fn connect(&self) -> Result<(Box<dyn Side>, Box<dyn Side>)> {
        let dialling = async { Ok::<_, Error>(self.dialler.connect(self.addr.clone(), ALPN).await?) };
        let accepting = async { Ok(self.callee.accept().await.ok_or("the endpoint closed")?.await?) };
        let (ours, theirs) = tokio::try_join!(dialling, accepting)?;
        Ok((Box::new(Raw(ours)), Box::new(Raw(theirs))))
    }
}

impl Quic for Connection {
    type Send = SendStream;
    type Recv = RecvStream;

    async fn open(&self) -> Result<(SendStream, RecvStream)> {
        Ok(self.open_bi().await?)
    }

    async fn accept(&self) -> Result<(SendStream, RecvStream)> {
        Ok(self.accept_bi().await?)
    }

    fn send_datagram(&self, datagram: Bytes) -> Result<()> {
        Ok(self.send_datagram(datagram)?)
    }

    async fn read_datagram(&self) -> Result<Bytes> {
        Ok(self.read_datagram().await?)
    }

    fn close(&self) {
        self.close(0_u32.into(), b"");
    }
}

impl Write for SendStream {
    async fn write_all(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.write_all(bytes).await?)
    }

    async fn write_chunk(&mut self, chunk: Bytes) -> Result<()> {
        Ok(self.write_chunk(chunk).await?)
    }
}

impl Read for RecvStream {
    async fn read_exact(&mut self, buf: &mut [u8]) -> Result<()> {
        Ok(self.read_exact(buf).await?)
    }

    async fn read_chunk(&mut self, bytes_max: usize) -> Result<Option<Bytes>> {
        Ok(self.read_chunk(bytes_max).await?)
    }
}
