//! TLS over any byte streams: towards a tunnel server at `https://`.

use std::{fmt, io, sync::Arc};

use async_trait::async_trait;
use p2p::P2PError;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::connector::{BoxIo, Connector};

/// Who may vouch for a server.
#[derive(Debug, Clone)]
pub struct Authorities(RootCertStore);

impl Authorities {
    /// Those that this system trusts.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if it has none; it says what the system said.
    pub fn of_system() -> p2p::Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let said: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
            let what = format!("this system's certificate authorities ({})", said.join("; "));
            return Err(P2PError::invalid_input(what, "at least one: install the package ca-certificates"));
        }
        Ok(Self(store))
    }

    /// Those in a PEM text, and no others.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if there is none in it, or one that cannot be read.
    pub fn from_pem(pem: &[u8]) -> p2p::Result<Self> {
        let wrong =
            |why: String| P2PError::invalid_input(format!("certificate authorities ({why})"), "certificates as PEM");
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            store.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if store.is_empty() { Err(wrong("there is none".into())) } else { Ok(Self(store)) }
    }
}

/// Opens byte streams and speaks TLS 1.2 or 1.3 on them, as the client.
pub struct TlsConnector<C> {
    inner: C,
    tls: tokio_rustls::TlsConnector,
    name: ServerName<'static>,
}

impl<C: Connector> TlsConnector<C> {
    /// On the streams of `inner`, to a server that proves to be `host`: a name or an address, without a port.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if `host` is neither.
    pub fn new(inner: C, host: &str, authorities: Authorities) -> p2p::Result<Self> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare)
            .map_err(|_| P2PError::invalid_input(format!("host {host:?}"), "a name or an address"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks both versions")
            .with_root_certificates(authorities.0)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { inner, tls: Arc::new(config).into(), name })
    }
}

impl<C: fmt::Debug> fmt::Debug for TlsConnector<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inner, name) = (&self.inner, &self.name);
        f.debug_struct("TlsConnector").field("inner", inner).field("name", name).finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Connector> Connector for TlsConnector<C> {
    async fn connect(&self) -> io::Result<BoxIo> {
        let io = self.inner.connect().await?;
        Ok(Box::new(self.tls.connect(self.name.clone(), io).await?))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::connector::{Acceptor, PipeAcceptor, PipeConnector, pipe};

    /// A server that has a certificate for `localhost`, and the certificate. It echoes four bytes.
    fn server() -> (PipeConnector, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let (connector, acceptor): (_, PipeAcceptor) = pipe();
        tokio::spawn(async move {
            let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            while let Ok(io) = acceptor.accept().await {
                let Ok(mut stream) = tls.accept(io).await else { continue };
                let mut four = [0; 4];
                if stream.read_exact(&mut four).await.is_ok() {
                    stream.write_all(&four).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        });
        (connector, cert.pem())
    }

    #[tokio::test]
    async fn bytes_pass_to_a_server_that_an_authority_vouches_for() {
        let (connector, pem) = server();
        let tls = TlsConnector::new(connector, "localhost", Authorities::from_pem(pem.as_bytes()).unwrap()).unwrap();
        let mut stream = tls.connect().await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        stream.flush().await.unwrap();
        let mut four = [0; 4];
        stream.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"ping");
    }

    #[tokio::test]
    async fn another_name_and_another_authority_are_refused() {
        let (connector, pem) = server();
        let trusting = Authorities::from_pem(pem.as_bytes()).unwrap();
        let other = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
        for (host, authorities) in
            [("example.org", trusting), ("localhost", Authorities::from_pem(other.as_bytes()).unwrap())]
        {
            let tls = TlsConnector::new(connector.clone(), host, authorities).unwrap();
            let error = tls.connect().await.err().expect("no bytes pass").to_string();
            assert!(error.contains("certificate"), "{host}: {error}");
        }
    }

    #[test]
    fn what_is_no_authority_and_no_host_is_named() {
        let error = Authorities::from_pem(b"nothing").unwrap_err().to_string();
        assert!(error.contains("there is none"), "{error}");
        let authorities = Authorities(RootCertStore::empty());
        let error = TlsConnector::new(pipe().0, "no host", authorities).unwrap_err().to_string();
        assert!(error.contains("\"no host\""), "{error}");
    }
}
