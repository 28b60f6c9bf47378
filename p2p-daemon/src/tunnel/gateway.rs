//! `p2pd gateway`.

use std::sync::Arc;

use tunnel_compat::{
    gateway::{Gateway, TunnelRoute, TunnelRouteConfig},
    http::{HttpRoute, HttpRouteConfig},
    peer::PeerConnector,
    route::Route,
};

use super::{
    args::GatewayArgs,
    router::router,
    run::{Part, listen},
    send::read_token,
};
use crate::{Console, Error, config::ADMIN_PORT_GATEWAY};

pub(crate) async fn gateway(args: GatewayArgs, console: Console) -> Result<(), Error> {
    if !args.listen.ip().is_loopback() {
        let problem = format!(
            "--listen {}: a gateway lets in whoever can connect, so expected a loopback address, like 127.0.0.1:9000",
            args.listen
        );
        return Err(Error::Tunnel { problem });
    }
    let part = Part::start("gateway", &args.peer, &args.run, console).await?;
    let work = async {
        let runtime = part.runtime();
        let p2p: Option<Arc<dyn Route>> = args.home.clone().map(|addr| {
            let streams = PeerConnector::new(part.provider().clone(), addr);
            Arc::new(HttpRoute::new(HttpRouteConfig::to_home(), streams, runtime.clone())) as Arc<dyn Route>
        });
        let (acceptor, at) = listen(args.listen).await?;
        console.line(format_args!("The home {} is at http://{at}.", args.client));
        part.say_peer();
        let (route, router) = match (tunnel(&part, &args)?, p2p) {
            (Some(tunnel), Some(p2p)) => {
                let router = router(&part, tunnel, p2p, &args.migration)?;
                (Arc::new(router.clone()) as Arc<dyn Route>, Some(router))
            }
            (Some(tunnel), None) => (tunnel, None),
            (None, Some(p2p)) => (p2p, None),
            (None, None) => unreachable!("the command line is refused without one of them"),
        };
        let _admin = part.admin(&args.run, ADMIN_PORT_GATEWAY, router.as_ref()).await?;
        let gateway = Gateway::new(args.client.clone(), route, runtime);
        part.serve(acceptor, Arc::new(gateway)).await
    };
    part.until_the_end(work).await
}

/// The way over the tunnel server, if there is one.
fn tunnel(part: &Part, args: &GatewayArgs) -> Result<Option<Arc<dyn Route>>, Error> {
    let (Some(place), Some(file)) = (&args.tunnel, &args.token_file) else { return Ok(None) };
    let token = read_token(file)?.ok_or_else(|| Error::Tunnel {
        problem: format!("{} has no access token in it: expected one of {}", file.display(), args.client),
    })?;
    let connector = place.connector(args.tunnel_ca.as_deref())?;
    let config = TunnelRouteConfig::new(args.client.clone(), token, place.authority.clone());
    Ok(Some(Arc::new(TunnelRoute::new(config, connector, part.runtime())?)))
}
