//! The contract, through `Routes` over two in-memory networks: alone, under `Reconnect`, with the better route dead, and by
//! a better route that carries no datagrams.

use std::sync::Arc;

use p2p::{
    P2PProvider,
    conformance::{Capabilities, Harness, Silence},
    conformance_tests,
    layer::{LayerExt, ReconnectConfig, Route, Routes},
    memory::MemoryNetwork,
    mock::Overlay,
};

/// Two peers with two routes between them.
#[derive(Default)]
struct Two {
    /// With `Reconnect` around them.
    reconnect: bool,
    /// The better route of the dialling side leads nowhere.
    dead: bool,
    without_datagrams: bool,
}

impl Two {
    fn layered(&self, routes: Routes) -> Arc<dyn P2PProvider> {
        match self.reconnect {
            true => Arc::new(routes.with_reconnect(ReconnectConfig::default()).unwrap()),
            false => Arc::new(routes),
        }
    }

    fn first(&self) -> MemoryNetwork {
        let network = MemoryNetwork::new();
        if self.without_datagrams { network.without_datagrams() } else { network }
    }
}

#[async_trait::async_trait]
impl Harness for Two {
    async fn providers(&self) -> (Arc<dyn P2PProvider>, Arc<dyn P2PProvider>) {
        let (first, second) = (self.first(), MemoryNetwork::new());
        let elsewhere = if self.dead { MemoryNetwork::new() } else { first.clone() };
        let routes = |first: &MemoryNetwork, name| {
            Routes::new([Route::new("first", first.provider(name)), Route::new("second", second.provider(name))])
                .unwrap()
        };
        (self.layered(routes(&elsewhere, "alice")), self.layered(routes(&first, "bob")))
    }

    fn capabilities(&self) -> Capabilities {
        let all = Capabilities::default();
        if self.without_datagrams { all.without_datagrams() } else { all }
    }

    async fn silence(&self) -> Option<Silence> {
        let (first, second) = (MemoryNetwork::new(), MemoryNetwork::new());
        let peer = async |name| {
            let overlay = Overlay::new(first.provider(name)).await.expect("nobody listens yet");
            let routes = [Route::new("first", overlay), Route::new("second", second.provider(name))];
            self.layered(Routes::new(routes).unwrap())
        };
        Some(Silence {
            ours: peer("alice").await,
            theirs: peer("bob").await,
            silent: Overlay::silent(first.provider("carol")).await.expect("nobody listens yet"),
        })
    }
}

mod over_two {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Two::default()
    );
}

mod over_the_second {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Two { dead: true, ..Two::default() }
    );
}

mod without_datagrams {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Two { without_datagrams: true, ..Two::default() }
    );
}

mod under_reconnect {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Two { reconnect: true, ..Two::default() }
    );
}

mod under_reconnect_over_the_second {
    use super::*;
    conformance_tests!(
        #[tokio::test(start_paused = true)]
        Two { reconnect: true, dead: true, ..Two::default() }
    );
}
