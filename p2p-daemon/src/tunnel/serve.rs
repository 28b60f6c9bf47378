//! `p2pd tunnel serve`.

use std::{fs, sync::Arc};

use tunnel_compat::{
    homes::Homes,
    http::{HttpRoute, HttpRouteConfig},
    legacy::{LegacyConfig, LegacyRoute},
    peer::PeerConnector,
    route::Route,
    server::{Server, ServerConfig},
    tunnel_p2p::{PeerBounds, PeerEndpoint},
};

use super::{
    args::ServeArgs,
    router::router,
    run::{Part, listen},
    tokens::open,
};
use crate::{
    Console, Error,
    config::{self, ADMIN_PORT_TUNNEL},
};

pub(crate) async fn serve(args: ServeArgs, console: Console) -> Result<(), Error> {
    let config = server_config(&args)?;
    let part = Part::start("tunnel serve", &args.peer, &args.run, console).await?;
    let work = async {
        let runtime = part.runtime();
        let tokens = Arc::new(open(&args.tokens, runtime.clone())?);
        // For peers whose implementation is this tunnel.
        let peers = PeerEndpoint::new(tokens.clone(), PeerBounds::default(), runtime.clone());
        let config = config.with_endpoint(Arc::new(peers));
        let homes = args.home.iter().map(|(client, addr)| {
            let streams = PeerConnector::new(part.provider().clone(), addr.clone());
            let route = HttpRoute::new(HttpRouteConfig::to_home(), streams, runtime.clone());
            (client.clone(), Arc::new(route) as Arc<dyn Route>)
        });
        let homes = Arc::new(Homes::new("p2p", homes));
        let legacy = LegacyRoute::new(LegacyConfig::default(), runtime.clone());
        let (acceptor, at) = listen(args.listen).await?;
        console.line(format_args!("A tunnel server at http://{at}, with tokens in {}.", args.tokens.display()));
        part.say_peer();
        let router = router(&part, legacy.clone(), homes, &args.migration)?;
        for (client, addr) in &args.home {
            console.line(format_args!("The home {client} is also reached over P2P, at peer {:?}.", addr.peer));
        }
        let _admin = part.admin(&args.run, ADMIN_PORT_TUNNEL, Some(&router)).await?;
        let server = Server::new(config, tokens, legacy, Arc::new(router), runtime);
        part.serve(acceptor, server).await
    };
    part.until_the_end(work).await
}

fn server_config(args: &ServeArgs) -> Result<ServerConfig, Error> {
    let secret = match &args.secret_file {
        Some(path) => {
            let reading = |source| Error::File { path: path.clone(), doing: "reading", source };
            Some(fs::read_to_string(path).map_err(reading)?.trim().to_owned())
        }
        None => config::tunnel_secret(),
    };
    let secret = secret.ok_or_else(|| Error::Tunnel {
        problem: "no secret lets homes register: expected it in a file that --secret-file names, or in \
                  $TUNNEL_ACCESS_TOKEN"
            .to_owned(),
    })?;
    let config = ServerConfig::new(secret)?;
    Ok(args.origin.iter().try_fold(config, |config, origin| config.with_origin(origin))?)
}
