//! Where requests go.

use std::fmt;

use crate::rule::HostPort;

/// Routes in the order of writing. The one that fits best takes a request: an exact host before `*.` before none, then
/// the longest path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRoutes(Vec<HttpRoute>);

/// Where requests for a host and a path go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRoute {
    /// A host name, or `*.` and the end of one. Nothing is any.
    pub host: Option<String>,
    /// What the path begins with; whole segments count. `/` is any.
    pub path: String,
    /// The server.
    pub target: HostPort,
}

impl HttpRoutes {
    /// These routes.
    pub const fn new(routes: Vec<HttpRoute>) -> Self {
        Self(routes)
    }

    /// Everything to one server.
    pub fn all_to(target: HostPort) -> Self {
        Self(vec![HttpRoute { host: None, path: "/".to_owned(), target }])
    }

    /// The server for a host, without a port and in lower case, and a path.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&HostPort> {
        let fit = |route: &HttpRoute| Some((route.fits_host(host)?, route.fits_path(path)?));
        let best = self.0.iter().filter_map(|route| Some((fit(route)?, route)));
        // The first of equals.
        best.rev().max_by_key(|(fit, _)| *fit).map(|(_, route)| &route.target)
    }
}

impl HttpRoute {
    fn fits_host(&self, host: &str) -> Option<u32> {
        match self.host.as_deref() {
            None => Some(0),
            Some(wanted) if wanted.eq_ignore_ascii_case(host) => Some(u32::MAX),
            Some(wanted) => {
                let end = wanted.strip_prefix('*')?;
                let ends = host.len() > end.len() && host.to_ascii_lowercase().ends_with(&end.to_ascii_lowercase());
                ends.then(|| u32::try_from(end.len()).unwrap_or(u32::MAX - 1))
            }
        }
    }

    fn fits_path(&self, path: &str) -> Option<usize> {
        let prefix = self.path.trim_end_matches('/');
        let rest = path.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
    }
}

impl fmt::Display for HttpRoutes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, route) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            match (&route.host, route.path.as_str()) {
                (None, "/") => write!(f, "{separator}http://{}", route.target)?,
                (host, path) => {
                    write!(f, "{separator}{}{path} → http://{}", host.as_deref().unwrap_or("*"), route.target)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_that_fits_best_takes_a_request() {
        let route = |host: Option<&str>, path: &str, port: u16| HttpRoute {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            target: HostPort::parse(&format!("h:{port}")).unwrap(),
        };
        let routes = HttpRoutes::new(vec![
            route(None, "/", 1),
            route(None, "/api/", 2),
            route(Some("*.example"), "/", 3),
            route(Some("a.example"), "/", 4),
            route(Some("a.example"), "/api", 5),
        ]);
        for (host, path, port) in [
            ("other", "/", 1),
            ("other", "/api", 2),
            ("other", "/api/x", 2),
            ("other", "/apis", 1),
            ("b.example", "/api", 3),
            ("A.Example", "/x", 4),
            ("a.example", "/api/x", 5),
            ("example", "/", 1),
        ] {
            assert_eq!(routes.find(host, path).unwrap().ports.first(), port, "{host}{path}");
        }
        assert_eq!(HttpRoutes::new(vec![route(Some("a"), "/", 1)]).find("b", "/"), None);
    }
}
