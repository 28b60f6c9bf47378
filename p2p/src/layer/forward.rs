//! The methods that a layer leaves alone, by name: `forward_connection!(peer_id limits)` inside an `impl` passes both on
//! to `self.inner`. What stands beside the list is then all that the layer changes.
//!
//! Asynchronous methods are written as `async_trait` would write them, because it does not look into macros. That also
//! hands the inner future out as it is, without boxing it again.

macro_rules! forward_provider {
    (@ local_peer_id) => {
        fn local_peer_id(&self) -> $crate::PeerId {
            self.inner.local_peer_id()
        }
    };
    (@ runtime) => {
        fn runtime(&self) -> &std::sync::Arc<dyn $crate::Runtime> {
            self.inner.runtime()
        }
    };
    (@ status) => {
        fn status(&self) -> $crate::Watch<$crate::ProviderStatus> {
            self.inner.status()
        }
    };
    (@ peer_info) => {
        fn peer_info(&self, peer: $crate::PeerId) -> Option<$crate::PeerInfo> {
            self.inner.peer_info(peer)
        }
    };
    (@ shutdown) => {
        forward_async!(fn shutdown(deadline: std::time::Duration) -> ());
    };
    ($($method:ident)+) => {
        $(forward_provider!(@ $method);)+
    };
}

macro_rules! forward_connection {
    (@ peer_id) => {
        fn peer_id(&self) -> $crate::PeerId {
            self.inner.peer_id()
        }
    };
    (@ negotiated) => {
        fn negotiated(&self) -> &$crate::Negotiated {
            self.inner.negotiated()
        }
    };
    (@ limits) => {
        fn limits(&self) -> $crate::ConnectionLimits {
            self.inner.limits()
        }
    };
    (@ stats) => {
        fn stats(&self) -> $crate::ConnectionStats {
            self.inner.stats()
        }
    };
    (@ state) => {
        fn state(&self) -> $crate::Watch<$crate::ConnectionState> {
            self.inner.state()
        }
    };
    (@ try_send) => {
        fn try_send(&self, message: bytes::Bytes) -> Result<(), $crate::TrySendError> {
            self.inner.try_send(message)
        }
    };
    (@ send) => {
        forward_async!(fn send(message: bytes::Bytes) -> $crate::Result<()>);
    };
    (@ try_recv) => {
        fn try_recv(&self) -> $crate::Result<Option<bytes::Bytes>> {
            self.inner.try_recv()
        }
    };
    (@ recv) => {
        forward_async!(fn recv() -> $crate::Result<bytes::Bytes>);
    };
    (@ accept_stream) => {
        forward_async!(fn accept_stream() -> $crate::Result<$crate::BiStream>);
    };
    (@ send_datagram) => {
        fn send_datagram(&self, datagram: bytes::Bytes) -> $crate::Result<()> {
            self.inner.send_datagram(datagram)
        }
    };
    (@ recv_datagram) => {
        forward_async!(fn recv_datagram() -> $crate::Result<bytes::Bytes>);
    };
    (@ finish) => {
        forward_async!(fn finish() -> $crate::Result<()>);
    };
    (@ close) => {
        fn close(&self, code: $crate::CloseCode, reason: &str) {
            self.inner.close(code, reason)
        }
    };
    (@ close_reason) => {
        fn close_reason(&self) -> Option<$crate::CloseReason> {
            self.inner.close_reason()
        }
    };
    (@ closed) => {
        forward_async!(fn closed() -> $crate::CloseReason);
    };
    ($($method:ident)+) => {
        $(forward_connection!(@ $method);)+
    };
}

macro_rules! forward_async {
    (fn $method:ident($($argument:ident: $type:ty)?) -> $output:ty) => {
        fn $method<'life0, 'async_trait>(
            &'life0 self,
            $($argument: $type)?
        ) -> $crate::BoxFuture<'async_trait, $output>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            self.inner.$method($($argument)?)
        }
    };
}
