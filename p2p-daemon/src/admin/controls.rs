//! What can be done to a running daemon by the admin interface.

use std::{fmt, pin::Pin, sync::Arc};

use tunnel_compat::migration::Control;

/// What a daemon lets be done to it. By default nothing.
#[derive(Clone, Default)]
pub struct Controls {
    reload: Option<Action>,
    drain: Option<Action>,
    migration: Option<Arc<Control>>,
}

/// Does it, and says what came of it, in words.
type Action = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync>;

impl Controls {
    /// `POST /reload` reads the configuration again by `reload`, which says what has changed, or why nothing has.
    #[must_use]
    pub fn with_reload<F>(mut self, reload: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.reload = Some(Arc::new(move || Box::pin(reload())));
        self
    }

    /// `POST /drain` begins the end by `drain`: nothing new, and what is open may finish.
    #[must_use]
    pub fn with_drain(mut self, drain: impl Fn() + Send + Sync + 'static) -> Self {
        self.drain = Some(Arc::new(move || {
            drain();
            Box::pin(async { Ok("draining".to_owned()) })
        }));
        self
    }

    /// `/migration` shows how a migration is, `POST` below it tells it what to do, and `/metrics` has its figures.
    #[must_use]
    pub fn with_migration(mut self, migration: Control) -> Self {
        self.migration = Some(Arc::new(migration));
        self
    }

    pub(super) fn migration(&self) -> Option<&Control> {
        self.migration.as_deref()
    }

    /// What stands behind a path.
    pub(super) fn at(&self, path: &str) -> Option<&Action> {
        match path {
            "/reload" => self.reload.as_ref(),
            "/drain" => self.drain.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Debug for Controls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = ["/reload", "/drain"].into_iter().filter(|path| self.at(path).is_some());
        let there = there.chain(self.migration.as_ref().map(|_| "/migration"));
        f.debug_list().entries(there).finish()
    }
}
