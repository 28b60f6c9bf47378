//! Which certificate authorities may vouch for a relay.

use std::fmt;

use p2p::{P2PError, Result};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The authorities that relays' TLS certificates are checked against.
///
/// Peers need none: their key is their identity. The default is [`public`](Self::public).
#[derive(Clone, PartialEq, Eq)]
pub struct TrustRoots {
    public: bool,
    private: Vec<CertificateDer<'static>>,
}

impl TrustRoots {
    /// The authorities that Mozilla trusts, as compiled in. The system's own store is not read.
    pub const fn public() -> Self {
        Self { public: true, private: Vec::new() }
    }

    /// Nobody but what is added: for relays under a private authority.
    pub const fn none() -> Self {
        Self { public: false, private: Vec::new() }
    }

    /// Adds the authorities in a PEM file's text, one or more.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if there is none, or one of them cannot be read.
    pub fn with_pem(mut self, pem: &[u8]) -> Result<Self> {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| invalid(format_args!("{error}")))?;
            self = self.with_der(certificate.as_ref())?;
            count += 1;
        }
        match count {
            0 => Err(invalid(format_args!("no certificate is in it"))),
            _ => Ok(self),
        }
    }

    /// Adds one authority's certificate in DER form.
    ///
    /// # Errors
    /// [`P2PError::InvalidInput`] if the bytes are no certificate.
    pub fn with_der(mut self, der: &[u8]) -> Result<Self> {
        let certificate = CertificateDer::from(der.to_vec());
        // iroh drops what it cannot read without a word, and every relay would then seem to have a bad certificate.
        RootCertStore::empty().add(certificate.clone()).map_err(|error| invalid(format_args!("{error}")))?;
        self.private.push(certificate);
        Ok(self)
    }

    /// Whether nobody at all is trusted.
    pub const fn is_empty(&self) -> bool {
        !self.public && self.private.is_empty()
    }

    pub(crate) fn to_iroh(&self) -> iroh::tls::CaTlsConfig {
        use iroh::tls::CaTlsConfig;
        match self.public {
            true => CaTlsConfig::embedded().with_extra_roots(self.private.clone()),
            // TLS refuses to work with no roots at all, even where no relay would ever ask for them.
            false if self.private.is_empty() => CaTlsConfig::embedded(),
            false => CaTlsConfig::custom_roots(self.private.clone()),
        }
    }
}

impl Default for TrustRoots {
    fn default() -> Self {
        Self::public()
    }
}

impl fmt::Debug for TrustRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustRoots").field("public", &self.public).field("private", &self.private.len()).finish()
    }
}

fn invalid(why: fmt::Arguments<'_>) -> P2PError {
    P2PError::invalid_input(format_args!("trust root ({why})"), "an authority's certificate, in PEM or DER form")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(vec!["authority.test".into()]).unwrap()
    }

    #[test]
    fn certificates_are_read_from_pem_and_der() {
        let (one, two) = (authority().cert, authority().cert);
        let pem = format!("{}\nsome words\n{}", one.pem(), two.pem());
        let from_pem = TrustRoots::none().with_pem(pem.as_bytes()).unwrap();
        let from_der = TrustRoots::none().with_der(one.der()).and_then(|roots| roots.with_der(two.der())).unwrap();
        assert_eq!(from_pem, from_der);
        assert_eq!(from_pem.private.len(), 2);
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        let key = authority().signing_key.serialize_pem();
        let cut = authority().cert.pem().replace("-----END", "-----");
        for bad in ["", "words", &key, &cut] {
            let error = TrustRoots::public().with_pem(bad.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("PEM or DER"), "{error}");
        }
        TrustRoots::public().with_der(b"words").unwrap_err();
    }
}
