//! By what a relay proves its name.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::RwLock;
use rustls::{
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{task::JoinSet, time::interval};

use super::Authority;
use crate::Error;

/// A certificate, with those that lead to an authority, and its key.
pub struct Certificate {
    current: Arc<Current>,
    /// Where a renewed one will appear.
    files: Option<Files>,
}

#[derive(Clone)]
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Reads PEM files, as authorities and their tools write them: the certificate first, then those that lead on. While the
    /// relay runs, it looks once a minute whether they were renewed.
    ///
    /// # Errors
    /// [`Error::Certificate`] names the file and what is wrong with it.
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, Error> {
        let files = Files { chain: chain.into(), key: key.into() };
        let current = Arc::new(Current(RwLock::new(Arc::new(files.read()?))));
        Ok(Self { current, files: Some(files) })
    }

    /// One for `name`, a host's name or IP address, by an authority that was made here.
    ///
    /// # Errors
    /// [`Error::Certificate`] if the name cannot stand in a certificate.
    pub fn issued(name: &str, authority: &Authority) -> Result<Self, Error> {
        let wrong =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::Certificate { what: name.to_owned(), source };
        // The authority would put anything into it, and no client would ever find it.
        ServerName::try_from(name).map_err(|_| wrong("expected a host name or an IP address".into()))?;
        let (certificate, key) = authority.issue(name).map_err(|error| wrong(Box::new(error)))?;
        let key = certified(vec![certificate], key).map_err(|error| wrong(Box::new(error)))?;
        Ok(Self { current: Arc::new(Current(RwLock::new(Arc::new(key)))), files: None })
    }

    /// A TLS server that shows it. A task for renewals is added to `tasks`.
    pub(super) fn server_config(self, tasks: &mut JoinSet<()>) -> rustls::ServerConfig {
        if let Some(files) = self.files {
            tasks.spawn(renew(files, self.current.clone()));
        }
        rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has suites for every version")
            .with_no_client_auth()
            .with_cert_resolver(self.current)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl Files {
    fn read(&self) -> Result<CertifiedKey, Error> {
        let wrong = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| Error::Certificate {
            what: path.display().to_string(),
            source,
        };
        let text = |path: &Path| fs::read(path).map_err(|error| wrong(path, error.into()));
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text(&self.chain)?).collect();
        let chain = chain.map_err(|error| wrong(&self.chain, error.into()))?;
        if chain.is_empty() {
            return Err(wrong(&self.chain, "no certificate is in it: expected PEM".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(&text(&self.key)?).map_err(|error| wrong(&self.key, error.into()))?;
        certified(chain, key).map_err(|error| wrong(&self.key, error.into()))
    }

    /// When they were changed last.
    fn changed(&self) -> Option<(SystemTime, SystemTime)> {
        let changed = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        Some((changed(&self.chain)?, changed(&self.key)?))
    }
}

/// Puts what is renewed in the place of what was. Never ends.
async fn renew(files: Files, current: Arc<Current>) {
    let mut seen = files.changed();
    let mut looks = interval(LOOK_PERIOD);
    loop {
        looks.tick().await;
        let changed = files.changed();
        if changed.is_none() || changed == seen {
            continue;
        }
        match files.read() {
            Ok(key) => {
                *current.0.write() = Arc::new(key);
                seen = changed;
                tracing::info!(file = %files.chain.display(), "The certificate was renewed.");
            }
            // Perhaps one file of the two is there already. What is shown now goes on to be.
            Err(error) => tracing::warn!(error = %p2p::chain(&error), "The renewed certificate cannot be used."),
        }
    }
}

/// What is shown to clients now.
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

/// Fails if the key is not the certificate's.
fn certified(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &provider())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Renewals are made weeks ahead.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let authority = Authority::new("test").unwrap();
        let pem = |der: &[u8], what: &str| {
            let base64 = data_encoding::BASE64.encode(der);
            format!("-----BEGIN {what}-----\n{base64}\n-----END {what}-----\n")
        };
        let (certificate, key) = authority.issue("relay.example").unwrap();
        let (_, other_key) = authority.issue("relay.example").unwrap();
        fs::write(path("chain.pem"), pem(&certificate, "CERTIFICATE")).unwrap();
        fs::write(path("key.pem"), pem(key.secret_der(), "PRIVATE KEY")).unwrap();
        fs::write(path("other.pem"), pem(other_key.secret_der(), "PRIVATE KEY")).unwrap();
        fs::write(path("empty.pem"), "").unwrap();

        Certificate::from_files(path("chain.pem"), path("key.pem")).unwrap();
        for (chain, key, named) in [
            ("nowhere.pem", "key.pem", "nowhere.pem"),
            ("empty.pem", "key.pem", "empty.pem"),
            ("key.pem", "key.pem", "key.pem"),
            ("chain.pem", "empty.pem", "empty.pem"),
            ("chain.pem", "other.pem", "other.pem"),
        ] {
            let error = Certificate::from_files(path(chain), path(key)).unwrap_err();
            assert!(p2p::chain(&error).to_string().contains(named), "{chain} {key}: {error}");
        }
        assert!(Certificate::issued("two words", &authority).is_err());
    }
}
