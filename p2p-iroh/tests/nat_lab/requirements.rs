//! What the lab needs from the machine, and what to say when it is not there.

use patchbay::{Lab, Nat};

use crate::shell;

/// The programs the lab runs, and the Debian packages that bring them.
const PROGRAMS: [(&str, &str); 2] = [("nft", "nftables"), ("conntrack", "conntrack")];

/// Checks for programs, then enters a user namespace. Only possible while the process has a single thread.
///
/// # Errors
///
/// Says what is missing.
pub(crate) fn enter_user_namespace() -> Result<(), String> {
    for (program, package) in PROGRAMS {
        if shell::find(program).is_none() {
            return Err(format!("`{program}` is not installed (Debian package `{package}`)"));
        }
    }
    patchbay::init_userns().map_err(|error| format!("no user namespace: {error:#}"))
}

/// Builds the smallest lab that shows whether this kernel has network namespaces, veth, bridges and NAT.
///
/// # Errors
///
/// Says what the kernel refused.
pub(crate) async fn probe() -> Result<(), String> {
    let probe = async {
        let lab = Lab::builder().build().await?;
        let router = lab.add_router("probe").nat(Nat::Moderate).build().await?;
        let device = lab.add_device("device").uplink(router.id()).build().await?;
        device.run_sync(|| Ok(()))?;
        shell::run(&router, "conntrack", &["-L"], "")?;
        anyhow::Ok(())
    };
    probe.await.map_err(|error| format!("no network namespaces with NAT: {error:#}"))
}
