//! `p2pd id`.

use crate::{Console, Error, cli::IdArgs};

#[cfg(feature = "p2p-iroh")]
pub(super) fn id(args: IdArgs, console: Console) -> Result<(), Error> {
    console.line(p2p_iroh::Identity::load_or_create(path(args)?)?.peer_id());
    Ok(())
}

/// Shows where the key is and whose, and makes one if there is none.
#[cfg(feature = "p2p-iroh")]
pub(super) fn key(args: IdArgs, console: Console) -> Result<(), Error> {
    let path = path(args)?;
    let is_new = !path.exists();
    let identity = p2p_iroh::Identity::load_or_create(&path)?;
    console.line(format_args!("{}  {}", if is_new { "made " } else { "file " }, path.display()));
    console.line(format_args!("peer   {}", identity.peer_id()));
    Ok(())
}

#[cfg(feature = "p2p-iroh")]
fn path(args: IdArgs) -> Result<std::path::PathBuf, Error> {
    use p2p_providers::{ProviderConfig, Role};

    match args.key_file.or(ProviderConfig::from_env(Role::Listener)?.key_file) {
        Some(path) => Ok(path),
        None => crate::config::default_key_file(),
    }
}

/// The simulator's peers are known by their names, and have no keys.
#[cfg(not(feature = "p2p-iroh"))]
pub(super) fn id(_: IdArgs, _: Console) -> Result<(), Error> {
    let problem = "needs a provider with keys, and this program was built without the feature `p2p-iroh`".to_owned();
    Err(Error::Unsupported { command: "id", problem })
}
