//! What a peer asks for: a stream with a header becomes a connection to a service.

use std::sync::Arc;

use p2p::{BiStream, chain};
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, warn};

use super::{
    copy::abandon,
    failure::Failure,
    header::{Header, Kind},
    local::Local,
    rules::Shared,
    session::Session,
    udp,
};
use crate::{daemon::Inner, rule::Target};

/// Starts to serve one stream.
pub(crate) fn serve(daemon: &Arc<Inner>, session: &Arc<Session>, mut stream: BiStream) {
    let room = match daemon.shutdown.is_requested() {
        true => None,
        false => daemon.room.clone().try_acquire_owned().ok(),
    };
    match room {
        Some(permit) => {
            let serving = carry(daemon.clone(), session.clone(), stream, permit);
            daemon.spawn_stream(session, serving);
        }
        None => {
            daemon.strangers.failed(&Failure::Busy);
            abandon(&mut stream, &Failure::Busy);
        }
    }
}

async fn carry(daemon: Arc<Inner>, session: Arc<Session>, mut stream: BiStream, _permit: OwnedSemaphorePermit) {
    match service(&daemon, &session, &mut stream).await {
        Ok((shared, kind)) => forward(&shared, &session, kind, stream).await,
        Err(failure) => {
            daemon.strangers.failed(&failure);
            debug!(error = chain(&failure), "A stream was refused.");
            abandon(&mut stream, &failure);
        }
    }
}

/// The service that the stream is for, if the peer may use it.
async fn service(daemon: &Inner, session: &Session, stream: &mut BiStream) -> Result<(Arc<Shared>, Kind), Failure> {
    let header = Header::read(&mut stream.recv).await.map_err(Failure::Header)?;
    let shared = daemon.share_for(&header.service, session).ok_or(Failure::UnknownService)?;
    Ok((shared, header.kind))
}

async fn forward(shared: &Shared, session: &Arc<Session>, kind: Kind, stream: BiStream) {
    let (name, meter) = (&shared.rule.name, &shared.meter);
    let mut stream = Some(stream);
    if let Err(failure) = try_forward(shared, session, kind, &mut stream).await {
        meter.failed(&failure);
        match &failure {
            Failure::TargetUnreachable(error) => {
                warn!(service = %name, target = %shared.rule.target, %error, "The service does not take connections.");
            }
            failure => debug!(service = %name, error = chain(failure), "A stream broke off."),
        }
        // What had begun was abandoned by whoever copied.
        if let Some(mut stream) = stream {
            abandon(&mut stream, &failure);
        }
    }
}

/// Forwards to the end. The stream is taken once its use is known.
async fn try_forward(
    shared: &Shared,
    session: &Arc<Session>,
    kind: Kind,
    stream: &mut Option<BiStream>,
) -> Result<(), Failure> {
    let meter = &shared.meter;
    let mut take = || stream.take().expect("it is taken once");
    match (&shared.rule.target, kind) {
        (Target::Net(protocols, host_port), Kind::Bytes { port_offset }) if protocols.tcp() => {
            let _open = meter.open();
            let local = Local::connect(host_port, port_offset).await.map_err(Failure::TargetUnreachable)?;
            copy(local, take(), shared).await
        }
        (Target::Net(protocols, host_port), Kind::Udp { port_offset, channel }) if protocols.udp() => {
            if port_offset >= host_port.ports.count() || !session.udp.may_open(channel) {
                return Err(Failure::UnknownService);
            }
            let channel = udp::Channel::new(channel, take(), session, meter.clone());
            udp::serve(channel, host_port, port_offset, shared).await;
            Ok(())
        }
        (Target::Unix(path), Kind::Bytes { .. }) => {
            let _open = meter.open();
            let local = Local::connect_unix(path).await.map_err(Failure::TargetUnreachable)?;
            copy(local, take(), shared).await
        }
        (Target::Http(routes), Kind::Bytes { .. }) => {
            let _open = meter.open();
            crate::http::serve(routes, session.peer, take(), meter.clone()).await
        }
        (Target::Files(files), Kind::Bytes { .. }) => {
            let _open = meter.open();
            crate::transfer::serve(files, session.peer, take(), meter).await
        }
        (Target::Proxy(destinations), Kind::Proxy { destination }) => {
            let _open = meter.open();
            let local = destinations.connect(&destination).await.map_err(Failure::TargetUnreachable)?;
            let mut stream = take();
            stream.send.write_all(&[0]).await?;
            copy(local, stream, shared).await
        }
        (_, Kind::Measure { task }) => {
            crate::measure::serve(task, take(), meter).await;
            Ok(())
        }
        // Asked for in a way that it is not shared in, it is not there.
        _ => Err(Failure::UnknownService),
    }
}

async fn copy(mut local: Local, stream: BiStream, shared: &Shared) -> Result<(), Failure> {
    local.copy(stream, &shared.meter).await?;
    local.close();
    Ok(())
}
