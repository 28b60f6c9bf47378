//! Raw quinn.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig};
use rustls::{RootCertStore, pki_types::PrivatePkcs8KeyDer};

use super::{Quic, RECEIVE_WINDOW_BYTES, Raw, Read, STREAM_RECEIVE_WINDOW_BYTES, Write};
use crate::{
    Error, Result,
    contestant::{Contestant, Side},
};

/// The name that the certificate is for.
const SERVER_NAME: &str = "localhost";

pub(crate) struct Quinn {
    dialler: Endpoint,
    callee: Endpoint,
    addr: SocketAddr,
}

pub(crate) async fn start() -> Result<Quinn> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let certified = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()])?;
    let certificate = certified.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());

    let mut server = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    server.transport_config(transport());
    let callee = Endpoint::server(server, any)?;

    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut client = ClientConfig::with_root_certificates(Arc::new(roots))?;
    client.transport_config(transport());
    let mut dialler = Endpoint::client(any)?;
    dialler.set_default_client_config(client);

    let addr = callee.local_addr()?;
    Ok(Quinn { dialler, callee, addr })
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .receive_window(RECEIVE_WINDOW_BYTES.into())
        .stream_receive_window(STREAM_RECEIVE_WINDOW_BYTES.into())
        .send_window(RECEIVE_WINDOW_BYTES.into());
    Arc::new(transport)
}

#[async_trait]
impl Contestant for Quinn {
    fn name(&self) -> &'static str {
        "raw quinn"
    }

    async fn connect(&self) -> Result<(Box<dyn Side>, Box<dyn Side>)> {
        let dialling = async { Ok::<_, Error>(self.dialler.connect(self.addr, SERVER_NAME)?.await?) };
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
        Ok(self.read_chunk(bytes_max, true).await?.map(|chunk| chunk.bytes))
    }
}
