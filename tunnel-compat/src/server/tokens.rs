//! Who may do what: tokens, hashed, with expiry and revocation, in one file.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use data_encoding::HEXLOWER;
use p2p::{Rng, Runtime};
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, backends::InMemoryBackend};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::pass::{Pass, Passes};
use crate::route::ClientId;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Requests of a client's apps, and new signatures. Does not expire.
    Access,
    /// Media URLs and WebSockets, of apps or of the home itself. Expires after 14 days.
    Signature,
    /// Asking the home for an access token, once. Expires after a day.
    Magic,
}

impl TokenKind {
    /// How long one lasts.
    pub const fn lifetime(self) -> Option<Duration> {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        match self {
            Self::Access => None,
            Self::Signature => Some(Duration::from_secs(14 * DAY.as_secs())),
            Self::Magic => Some(DAY),
        }
    }
}

/// What a signature has been used for. The first use decides: one that apps have, in URLs and logs, cannot become a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    /// By apps.
    App,
    /// By the home.
    Home,
}

/// A token as it is kept: everything but the token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    client: String,
    kind: TokenKind,
    /// Seconds since 1970.
    expires: Option<u64>,
    used: Option<Use>,
}

/// Tokens cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the token store failed")]
pub struct StoreError(#[source] Arc<redb::Error>);

/// A client is registered already.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It has an access token. Whoever could register it again would be given its home.
    #[error("client {0} is registered already")]
    Registered(ClientId),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tokens.
///
/// Of a token only its SHA-256 is kept, as the legacy server does, so its tables can be [imported](Self::import). Looking one up
/// takes microseconds; issuing and revoking wait for the disk.
#[derive(Debug)]
pub struct TokenStore {
    database: Database,
    rng: Mutex<Rng>,
    passes: Arc<Passes>,
    runtime: Arc<dyn Runtime>,
}

/// By the token's SHA-256, in lower-case hex: the record, as JSON.
const TOKENS: TableDefinition<'_, &str, &str> = TableDefinition::new("tokens");

impl TokenStore {
    /// The store in that file, which is created if there is none.
    ///
    /// # Errors
    /// The file is no such store, is in use by another process, or cannot be read or written.
    pub fn open(path: impl AsRef<Path>, runtime: Arc<dyn Runtime>) -> Result<Self, StoreError> {
        Self::new(Database::create(path).map_err(failed)?, runtime)
    }

    /// A store that is gone with the process.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn in_memory(runtime: Arc<dyn Runtime>) -> Result<Self, StoreError> {
        Self::new(Database::builder().create_with_backend(InMemoryBackend::new()).map_err(failed)?, runtime)
    }

    fn new(database: Database, runtime: Arc<dyn Runtime>) -> Result<Self, StoreError> {
        let rng = Mutex::new(runtime.rng("tokens"));
        let store = Self { database, rng, passes: Arc::default(), runtime };
        store.write(|_| Ok(()))?;
        Ok(store)
    }

    /// A first access token for a client.
    ///
    /// # Errors
    /// [`RegisterError::Registered`] if it has one; [`revoke_client`](Self::revoke_client) makes room for a new home.
    pub fn register(&self, client: &ClientId) -> Result<String, RegisterError> {
        let token = self.new_token();
        let is_new = self.write(|table| {
            for entry in table.iter()? {
                let known = read(entry?.1.value());
                if known.is_some_and(|known| known.kind == TokenKind::Access && known.client == client.as_str()) {
                    return Ok(false);
                }
            }
            insert(table, &hash(&token), client, TokenKind::Access, None)?;
            Ok(true)
        })?;
        if is_new { Ok(token) } else { Err(RegisterError::Registered(client.clone())) }
    }

    /// A new token of that kind.
    ///
    /// # Errors
    /// The store failed.
    pub fn issue(&self, kind: TokenKind, client: &ClientId) -> Result<String, StoreError> {
        let token = self.new_token();
        self.add(kind, client, &token)?;
        Ok(token)
    }

    /// Takes a token that somebody else made, with the lifetime of its kind.
    ///
    /// # Errors
    /// The store failed.
    pub fn add(&self, kind: TokenKind, client: &ClientId, token: &str) -> Result<(), StoreError> {
        let expires = kind.lifetime().map(|lifetime| self.now() + lifetime.as_secs());
        self.import(kind, client, &hash(token), expires)
    }

    /// Takes a row of the legacy server's tables: the token's SHA-256 in hex, and when it expires, in seconds since 1970.
    ///
    /// # Errors
    /// The store failed.
    pub fn import(
        &self,
        kind: TokenKind,
        client: &ClientId,
        token_hash: &str,
        expires: Option<u64>,
    ) -> Result<(), StoreError> {
        let now = self.now();
        self.write(|table| {
            // So that what has expired does not stay for ever, and no task is needed.
            table.retain(|_, record| read(record).is_some_and(|record| record.is_valid_at(now)))?;
            insert(table, &token_hash.to_ascii_lowercase(), client, kind, expires)
        })
    }

    /// Whether a token is of that kind and of that client, and valid now.
    ///
    /// # Errors
    /// The store failed.
    pub fn allows(&self, kind: TokenKind, client: &ClientId, token: &str) -> Result<bool, StoreError> {
        let record = self.find(token)?;
        Ok(record.is_some_and(|record| record.kind == kind && record.client == client.as_str()))
    }

    /// Whether a signature of that client is valid now for that use, which is noted: it is valid for no other from then on.
    ///
    /// # Errors
    /// The store failed.
    pub fn allows_use(&self, client: &ClientId, signature: &str, wanted: Use) -> Result<bool, StoreError> {
        let Some(mut record) = self.find(signature)? else { return Ok(false) };
        if record.kind != TokenKind::Signature || record.client != client.as_str() {
            return Ok(false);
        }
        if record.used.is_none() {
            record.used = Some(wanted);
            let json = serde_json::to_string(&record).expect("text and numbers are JSON");
            self.write(|table| table.insert(&*hash(signature), &*json).map(|_| ()).map_err(Into::into))?;
        }
        Ok(record.used == Some(wanted))
    }

    /// Whose magic token that is, if it is valid now.
    ///
    /// # Errors
    /// The store failed.
    pub fn client_of_magic(&self, token: &str) -> Result<Option<ClientId>, StoreError> {
        let record = self.find(token)?.filter(|record| record.kind == TokenKind::Magic);
        Ok(record.and_then(|record| record.client.parse().ok()))
    }

    /// Ends a token, and the sockets that are open under it. Says whether there was one.
    ///
    /// # Errors
    /// The store failed.
    pub fn revoke(&self, token: &str) -> Result<bool, StoreError> {
        let existed = self.write(|table| Ok(table.remove(&*hash(token))?.is_some()))?;
        self.passes.revoke(&hash(token));
        Ok(existed)
    }

    /// Ends all tokens of a client, and the sockets that are open under them. Returns how many there were.
    ///
    /// # Errors
    /// The store failed.
    pub fn revoke_client(&self, client: &ClientId) -> Result<usize, StoreError> {
        let mut count = 0;
        self.write(|table| {
            table.retain(|_, record| {
                let is_theirs = read(record).is_some_and(|record| record.client == client.as_str());
                count += usize::from(is_theirs);
                !is_theirs
            })?;
            Ok(())
        })?;
        self.passes.revoke_client(client);
        Ok(count)
    }

    /// A token in use, whether it is valid or not: get this, then check.
    pub(crate) fn pass(&self, client: &ClientId, token: &str) -> Pass {
        self.passes.open(client, hash(token))
    }

    fn find(&self, token: &str) -> Result<Option<Record>, StoreError> {
        let look = || -> Result<Option<Record>, redb::Error> {
            let table = self.database.begin_read()?.open_table(TOKENS)?;
            Ok(table.get(&*hash(token))?.and_then(|record| read(record.value())))
        };
        let record = look().map_err(failed)?;
        Ok(record.filter(|record| record.is_valid_at(self.now())))
    }

    fn write<T>(
        &self,
        change: impl FnOnce(&mut redb::Table<'_, &'static str, &'static str>) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let write = || -> Result<T, redb::Error> {
            let transaction = self.database.begin_write()?;
            let outcome = change(&mut transaction.open_table(TOKENS)?)?;
            transaction.commit()?;
            Ok(outcome)
        };
        write().map_err(failed)
    }

    /// 122 random bits, in the form of the legacy server's tokens: a UUID of version 4.
    fn new_token(&self) -> String {
        let mut bytes = [0; 16];
        self.rng.lock().fill_bytes(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex = HEXLOWER.encode(&bytes);
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    fn now(&self) -> u64 {
        self.runtime.wall_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }
}

impl Record {
    fn is_valid_at(&self, now: u64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

fn insert(
    table: &mut redb::Table<'_, &'static str, &'static str>,
    token_hash: &str,
    client: &ClientId,
    kind: TokenKind,
    expires: Option<u64>,
) -> Result<(), redb::Error> {
    let record = Record { client: client.as_str().to_owned(), kind, expires, used: None };
    let json = serde_json::to_string(&record).expect("text and numbers are JSON");
    table.insert(token_hash, &*json)?;
    Ok(())
}

fn read(json: &str) -> Option<Record> {
    serde_json::from_str(json).ok()
}

/// The token's SHA-256 in lower-case hex. Comparing hashes tells an attacker who measures time nothing of the token.
fn hash(token: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, token.as_bytes()).as_ref())
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError(Arc::new(error.into()))
}
