//! The trait for one connection: messages, streams, datagrams, and its end.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BiStream, CloseCode, CloseReason, ConnectionLimits, ConnectionState, ConnectionStats, Negotiated, P2PError, PeerId,
    Result, TrySendError, Watch, protocol::codec,
};

/// One connection to one peer, whose identity is proved.
///
/// Three ways to send, side by side:
///
/// | | arrives | order | size |
/// |---|---|---|---|
/// | messages | whole, at most once; all of them while the connection lives | as sent | up to [`limits`](Self::limits) |
/// | streams | bytes, all of them while the connection lives | within a stream | any |
/// | datagrams | perhaps, whole, at most once | none | about a packet |
///
/// All methods may be called from many tasks at once. The connection closes with code 0 when its last handle **and** its
/// last stream are dropped; what was not delivered by then may be lost, so end with [`finish`](Self::finish) where
/// that matters.
///
/// ```
/// use p2p::{CloseCode, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// # let network = MemoryNetwork::new();
/// # let (alice, bob) = (network.provider("alice"), network.provider("bob"));
/// # let demo = "demo/1".parse()?;
/// # let listener = bob.listen(&demo).await?;
/// # let (ours, theirs) = tokio::try_join!(alice.connect(bob.local_peer_id(), &demo), listener.accept())?;
/// // Messages.
/// ours.send("one".into()).await?;
/// assert_eq!(theirs.recv().await?, "one");
///
/// // A stream; the peer sees it at the first byte.
/// let mut stream = ours.open_stream().await?;
/// stream.send.write_all(b"two").await?;
/// stream.send.finish()?;
/// assert_eq!(theirs.accept_stream().await?.recv.read_to_end(1024).await?, b"two");
///
/// // A datagram, if the way carries them.
/// if ours.limits().datagram_bytes_max.is_some() {
///     ours.send_datagram("three".into())?;
/// }
///
/// ours.finish().await?;
/// assert_eq!(theirs.closed().await.code(), Some(CloseCode::OK));
/// # Ok(()) }
/// ```
#[async_trait]
pub trait P2PConnection: Debug + Send + Sync + 'static {
    /// The peer's identity, as its key proved it.
    fn peer_id(&self) -> PeerId;

    /// Protocol, version and capabilities that both sides agreed on.
    fn negotiated(&self) -> &Negotiated;

    /// Bounds as they are now.
    fn limits(&self) -> ConnectionLimits;

    /// Counters as they are now. They move while data moves.
    fn stats(&self) -> ConnectionStats;

    /// The state, the path, and their changes.
    fn state(&self) -> Watch<ConnectionState>;

    /// Accepts a message if there is room for it now. The hot path: no future, no waiting.
    ///
    /// # Errors
    /// - [`TrySendError::Full`] gives the message back when the send queue is full.
    /// - [`MessageTooLarge`](P2PError::MessageTooLarge); the connection is unharmed.
    /// - [`Closed`](P2PError::Closed).
    fn try_send(&self, message: Bytes) -> Result<(), TrySendError>;

    /// Accepts a message, waiting for room.
    ///
    /// `Ok` means accepted here, within a bounded queue, and sent as soon as the peer takes it: a peer that does not read
    /// makes the sender wait. It does not mean delivered; [`finish`](Self::finish) does.
    ///
    /// # Errors
    /// [`MessageTooLarge`](P2PError::MessageTooLarge), [`Closed`](P2PError::Closed).
    ///
    /// # Cancel safety
    /// All or nothing: a message is accepted exactly if the future returned `Ok`.
    async fn send(&self, message: Bytes) -> Result<()>;

    /// The next message, if one has arrived.
    ///
    /// # Errors
    /// [`Closed`](P2PError::Closed), after everything that had arrived was returned.
    fn try_recv(&self) -> Result<Option<Bytes>>;

    /// Waits for the next message. Each goes to exactly one caller.
    ///
    /// # Errors
    /// [`Closed`](P2PError::Closed), after everything that had arrived was returned.
    ///
    /// # Cancel safety
    /// Dropping the future loses no message.
    async fn recv(&self) -> Result<Bytes>;

    /// Opens a stream. The peer sees it when the first byte is written, or it is finished.
    ///
    /// Waits while as many are open as the peer allows.
    ///
    /// # Errors
    /// [`Closed`](P2PError::Closed).
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing that the peer would see.
    async fn open_stream(&self) -> Result<BiStream>;

    /// Waits for the next stream that the peer opened.
    ///
    /// # Errors
    /// [`Closed`](P2PError::Closed).
    ///
    /// # Cancel safety
    /// Dropping the future loses no stream.
    async fn accept_stream(&self) -> Result<BiStream>;

    /// Sends a datagram, or drops it: there is no waiting and no second try. Datagrams may be lost or reordered, but are
    /// never duplicated, merged, cut or corrupted.
    ///
    /// # Errors
    /// [`DatagramTooLarge`](P2PError::DatagramTooLarge) with the limit of now,
    /// [`DatagramsUnsupported`](P2PError::DatagramsUnsupported), [`Closed`](P2PError::Closed).
    fn send_datagram(&self, datagram: Bytes) -> Result<()>;

    /// Waits for the next datagram. A bounded number waits for the caller; beyond it the oldest are dropped.
    ///
    /// # Errors
    /// [`DatagramsUnsupported`](P2PError::DatagramsUnsupported), [`Closed`](P2PError::Closed).
    ///
    /// # Cancel safety
    /// Dropping the future loses no datagram.
    async fn recv_datagram(&self) -> Result<Bytes>;

    /// Sends nothing more, waits until everything accepted has reached the peer's provider, then closes with code 0.
    ///
    /// That covers messages, and streams that were finished; one still open ends with the connection, and its reader sees
    /// an error. The peer can read messages that have reached it after the close. If the peer stops reading, this waits: bound it with a deadline, then
    /// [`close`](Self::close). Both sides may finish at once.
    ///
    /// # Errors
    /// [`Closed`](P2PError::Closed) if the connection ended before everything was known to have arrived. Finishing a
    /// connection that was finished is `Ok`.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the connection finishing: it sends nothing new and closes once all has arrived.
    async fn finish(&self) -> Result<()>;

    /// Closes now. What was not sent is gone, pending calls resolve, and the peer learns code and reason.
    ///
    /// Only the first close of either side counts; the rest do nothing. A reason beyond
    /// [`CLOSE_REASON_BYTES_MAX`](crate::CLOSE_REASON_BYTES_MAX) bytes is cut.
    fn close(&self, code: CloseCode, reason: &str);

    /// Why the connection ended, if it has.
    fn close_reason(&self) -> Option<CloseReason>;

    /// Waits for the connection to end.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    async fn closed(&self) -> CloseReason;
}

/// What users call on a connection.
///
/// ```
/// use p2p::{P2PConnectionExt, P2PProvider, P2PProviderExt, memory::MemoryNetwork};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum Move { Up, Down { steps: u32 } }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> p2p::Result<()> {
/// # let network = MemoryNetwork::new();
/// # let (alice, bob) = (network.provider("alice"), network.provider("bob"));
/// # let game = "game/1".parse()?;
/// # let listener = bob.listen(&game).await?;
/// # let (ours, theirs) = tokio::try_join!(alice.connect(bob.local_peer_id(), &game), listener.accept())?;
/// ours.send_value(&Move::Down { steps: 2 }).await?;
/// assert_eq!(theirs.recv_value::<Move>().await?, Move::Down { steps: 2 });
/// assert!(ours.is_connected());
/// # Ok(()) }
/// ```
#[async_trait]
pub trait P2PConnectionExt: P2PConnection {
    /// Whether data can flow now.
    fn is_connected(&self) -> bool {
        self.state().read(|state| state.is_connected())
    }

    /// Sends a value as one message, encoded by this crate's [codec](crate::protocol::codec).
    ///
    /// # Errors
    /// As [`send`](P2PConnection::send).
    ///
    /// # Cancel safety
    /// All or nothing.
    async fn send_value<T: Serialize + Sync>(&self, value: &T) -> Result<()> {
        self.send(codec::encode(value).into()).await
    }

    /// Waits for a message and decodes it.
    ///
    /// # Errors
    /// As [`recv`](P2PConnection::recv), and [`Protocol`](P2PError::Protocol) if the message is not a `T`; the message is
    /// gone then, and the connection unharmed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no message.
    async fn recv_value<T: DeserializeOwned>(&self) -> Result<T> {
        let message = self.recv().await?;
        codec::decode(&message).map_err(|error| {
            P2PError::protocol(format_args!("a message is not a {}: {error}", std::any::type_name::<T>()))
        })
    }
}

impl<C: P2PConnection + ?Sized> P2PConnectionExt for C {}

/// A method as `async_trait` would write it, but that it hands the inner future out as it is. Boxed once more, each message
/// sent or received through an `Arc<dyn P2PConnection>` would cost an allocation more.
macro_rules! forward_async {
    (fn $method:ident($($argument:ident: $type:ty)?) -> $output:ty) => {
        fn $method<'life0, 'async_trait>(
            &'life0 self,
            $($argument: $type)?
        ) -> crate::BoxFuture<'async_trait, $output>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            (**self).$method($($argument)?)
        }
    };
}

macro_rules! forward_connection {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<C: P2PConnection + ?Sized> P2PConnection for $pointer<C> {
            fn peer_id(&self) -> PeerId {
                (**self).peer_id()
            }

            fn negotiated(&self) -> &Negotiated {
                (**self).negotiated()
            }

            fn limits(&self) -> ConnectionLimits {
                (**self).limits()
            }

            fn stats(&self) -> ConnectionStats {
                (**self).stats()
            }

            fn state(&self) -> Watch<ConnectionState> {
                (**self).state()
            }

            fn try_send(&self, message: Bytes) -> Result<(), TrySendError> {
                (**self).try_send(message)
            }

            forward_async!(fn send(message: Bytes) -> Result<()>);

            fn try_recv(&self) -> Result<Option<Bytes>> {
                (**self).try_recv()
            }

            forward_async!(fn recv() -> Result<Bytes>);

            forward_async!(fn open_stream() -> Result<BiStream>);

            forward_async!(fn accept_stream() -> Result<BiStream>);

            fn send_datagram(&self, datagram: Bytes) -> Result<()> {
                (**self).send_datagram(datagram)
            }

            forward_async!(fn recv_datagram() -> Result<Bytes>);

            forward_async!(fn finish() -> Result<()>);

            fn close(&self, code: CloseCode, reason: &str) {
                (**self).close(code, reason)
            }

            fn close_reason(&self) -> Option<CloseReason> {
                (**self).close_reason()
            }

            forward_async!(fn closed() -> CloseReason);
        }
    };
}

forward_connection!(Arc);
forward_connection!(Box);
