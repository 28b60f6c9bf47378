//! How many files this process may have open: each forwarded connection is one or two.

/// Raises the limit to what the system allows, as servers do. Where it cannot be, what is there has to do.
pub fn raise_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    }
}
