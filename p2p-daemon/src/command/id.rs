//! `p2pd id`.

use crate::{Console, Error, cli::IdArgs};

#[cfg(feature = "p2p-iroh")]
pub(super) fn id(args: IdArgs, console: Console) -> Result<(), Error> {
    use p2p_providers::{ProviderConfig, Role};

    let path = match args.key_file.or(ProviderConfig::from_env(Role::Listener)?.key_file) {
        Some(path) => path,
        None => crate::config::default_key_file()?,
    };
    console.line(p2p_iroh::Identity::load_or_create(path)?.peer_id());
    Ok(())
}

/// The simulator's peers are known by their names, and have no keys.
#[cfg(not(feature = "p2p-iroh"))]
pub(super) fn id(_: IdArgs, _: Console) -> Result<(), Error> {
    let problem = "needs a provider with keys, and this program was built without the feature `p2p-iroh`".to_owned();
    Err(Error::Unsupported { command: "id", problem })
}
