//! TLS 1.3 with raw ed25519 keys (RFC 7250): both sides prove the `PeerId` that they are.

use std::sync::Arc;

use p2p::PeerId;
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

/// The key of that ed25519 seed, and the identity it proves.
pub(crate) fn key_of(seed: &[u8; 32]) -> Result<(PeerId, Arc<CertifiedKey>), Error> {
    let der = [&PKCS8_PREFIX[..], seed].concat();
    let key = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der))?;
    let spki = key.public_key().ok_or_else(|| Error::General("the key has no public half".into()))?;
    let certificate = CertificateDer::from(spki.to_vec());
    let peer = peer_of(&certificate)?;
    Ok((peer, Arc::new(CertifiedKey::new(vec![certificate], key))))
}

/// The identity that a raw public key is.
fn peer_of(key: &CertificateDer<'_>) -> Result<PeerId, Error> {
    let bytes = key.strip_prefix(&SPKI_PREFIX[..]).and_then(|key| <[u8; 32]>::try_from(key).ok());
    bytes.map(PeerId::from_bytes).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// What a dialler uses, that expects this peer and no other.
pub(crate) fn client(key: Arc<CertifiedKey>, expected: PeerId) -> Result<ClientConfig, Error> {
    let verifier = Arc::new(Verifier { provider: provider(), expected: Some(expected) });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What the answering side uses: any peer, that proves which one it is.
pub(crate) fn server(key: Arc<CertifiedKey>) -> Result<ServerConfig, Error> {
    let verifier = Arc::new(Verifier { provider: provider(), expected: None });
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The identity that the other side of a connection proved.
pub(crate) fn proved(connection: &CommonState) -> Result<PeerId, Error> {
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(Error::NoApplicationProtocol);
    }
    let key = connection.peer_certificates().and_then(|keys| keys.first());
    peer_of(key.ok_or(Error::NoCertificatesPresented)?)
}

/// What is spoken within: the version of [`mux`](super::mux).
const ALPN: &[u8] = b"p2p-tunnel/1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    expected: Option<PeerId>,
}

impl Verifier {
    fn check(&self, key: &CertificateDer<'_>) -> Result<(), Error> {
        let peer = peer_of(key)?;
        match self.expected {
            Some(expected) if expected != peer => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(()),
        }
    }

    fn signed(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(key).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("expected TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(key).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("expected TLS 1.3".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed(message, key, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// What stands before the seed in PKCS #8, RFC 8410 §7.
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// What stands before the key in SubjectPublicKeyInfo, RFC 8410 §4.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rustls::{ClientConnection, ServerConnection};

    use super::*;

    /// Carries bytes between both ends until neither has any; the keys that each saw of the other.
    fn shake(expected: PeerId) -> Result<(PeerId, PeerId), Error> {
        let ((_, ours), (_, theirs)) = (key_of(&[1; 32])?, key_of(&[2; 32])?);
        let name = ServerName::try_from("peer").expect("a valid name");
        let mut dialler = ClientConnection::new(Arc::new(client(ours, expected)?), name)?;
        let mut answerer = ServerConnection::new(Arc::new(server(theirs)?))?;
        while dialler.wants_write() || answerer.wants_write() {
            let mut bytes = Vec::new();
            dialler.write_tls(&mut bytes).expect("a vector");
            answerer.read_tls(&mut Cursor::new(&bytes)).expect("a slice");
            answerer.process_new_packets()?;
            let mut bytes = Vec::new();
            answerer.write_tls(&mut bytes).expect("a vector");
            dialler.read_tls(&mut Cursor::new(&bytes)).expect("a slice");
            dialler.process_new_packets()?;
        }
        assert!(!dialler.is_handshaking() && !answerer.is_handshaking());
        Ok((proved(&dialler)?, proved(&answerer)?))
    }

    #[test]
    fn each_side_learns_the_key_that_the_other_proved() {
        let ((us, _), (them, _)) = (key_of(&[1; 32]).unwrap(), key_of(&[2; 32]).unwrap());
        assert_eq!(shake(them).unwrap(), (them, us));
    }

    #[test]
    fn a_strangers_key_is_refused() {
        let (stranger, _) = key_of(&[3; 32]).unwrap();
        let refused = shake(stranger).unwrap_err();
        assert_eq!(refused, Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
    }
}
