//! `p2pd relay`.

use std::{fs, net::Ipv6Addr, num::NonZeroU32, path::Path};

use super::on_signals;
use crate::{
    Console, Error,
    cli::RelayArgs,
    relay::{Authority, Certificate, Relay, RelayAccess, RelayOptions},
};

pub(super) async fn relay(args: RelayArgs, console: Console) -> Result<(), Error> {
    require_usable_name(&args)?;
    let access = access(&args)?;
    let certificate = certificate(&args)?;
    let shutdown = on_signals(std::time::Duration::ZERO, console)?;
    let mut relay = Relay::start(RelayOptions {
        https: args.listen,
        http: args.http,
        quic: args.quic,
        certificate,
        access,
        client_bytes_per_second: args.kib_per_second.and_then(|kib| NonZeroU32::new(kib * 1024)),
    })
    .await?;

    let name = args.self_signed.as_deref().unwrap_or("the name in the certificate");
    console.line(format_args!(
        "A relay for {name} listens on {}, and on UDP {}.",
        relay.https_addr(),
        relay.quic_addr()
    ));
    console.line(if args.open { "Anybody may use it." } else { "Whoever is named or has a token may use it." });
    console.line("\nOn the peers, set:\n");
    console.line(format_args!("  {}", console.bold(settings(&args, relay.https_addr().port()))));
    console.line("\nCtrl-C ends it.");

    let failed = p2p::select! {
        error = relay.failed() => Some(error),
        () = shutdown.requested() => None,
    };
    relay.end().await;
    failed.map_or(Ok(()), Err)
}

/// Refuses a name by which no peer could use the relay: iroh 1.4.1 connects to none at `https://[IPv6]`.
fn require_usable_name(args: &RelayArgs) -> Result<(), Error> {
    let name = args.self_signed.as_deref().unwrap_or_default();
    match name.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
        Ok(addr) => Err(Error::Unsupported {
            command: "relay",
            problem: format!(
                "cannot be called {addr} by its peers, which connect to no relay that an IPv6 address names: give                  --self-signed a host name that stands for the address in DNS or in the peers' hosts files, or an IPv4 address"
            ),
        }),
        Err(_) => Ok(()),
    }
}

fn access(args: &RelayArgs) -> Result<RelayAccess, Error> {
    if args.open {
        return Ok(RelayAccess::anybody());
    }
    let mut access = RelayAccess::default().with_peers(args.allow.iter().copied());
    let mut problem = "none of them is there".to_owned();
    if let Some(path) = &args.token_file {
        access = access.with_tokens(&read(path)?);
        problem = format!("there is no token in {}", path.display());
    }
    if access.is_empty() {
        return Err(Error::RelayAccess { problem });
    }
    Ok(access)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::RelayAccess { problem: format!("{}: {error}", path.display()) })
}

fn certificate(args: &RelayArgs) -> Result<Certificate, Error> {
    match (&args.certificate, &args.key, &args.self_signed, &args.ca_out) {
        (Some(chain), Some(key), ..) => Certificate::from_files(chain, key),
        (_, _, Some(name), Some(path)) => {
            let wrong = |source| Error::Certificate { what: path.display().to_string(), source };
            let authority = Authority::new("p2pd relay authority").map_err(|error| wrong(error.into()))?;
            let certificate = Certificate::issued(name, &authority)?;
            fs::write(path, authority.root_pem()).map_err(|error| wrong(error.into()))?;
            Ok(certificate)
        }
        _ => unreachable!("the command line is refused without one of them"),
    }
}

/// What peers need to know.
fn settings(args: &RelayArgs, port: u16) -> String {
    let host = args.self_signed.as_deref().unwrap_or("NAME");
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    let mut settings = format!("P2P_RELAY_SERVERS=https://{host}{port}");
    if let Some(path) = &args.ca_out {
        settings += &format!(" P2P_RELAY_CA_FILE={}", path.display());
    }
    if args.token_file.is_some() {
        settings += " P2P_RELAY_TOKEN=...";
    }
    settings
}

const HTTPS_PORT: u16 = 443;
