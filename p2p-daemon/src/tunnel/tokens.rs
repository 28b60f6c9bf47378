//! The tokens of a tunnel server: `p2pd tunnel import`, `p2pd tunnel revoke`.

use std::{fs, path::Path, sync::Arc};

use p2p::{Runtime, TokioRuntime};
use tunnel_compat::{route::ClientId, server::TokenStore};

use super::args::{ImportArgs, RevokeArgs};
use crate::{Console, Error};

/// The store in that file, made if there is none.
pub(super) fn open(path: &Path, runtime: Arc<dyn Runtime>) -> Result<TokenStore, Error> {
    TokenStore::open(path, runtime).map_err(|error| Error::TunnelFailed {
        problem: format!("the tokens in {}: {}", path.display(), p2p::chain(&error)),
    })
}

pub(crate) fn import(args: &ImportArgs, console: Console) -> Result<(), Error> {
    let reading = |source| Error::File { path: args.table.clone(), doing: "reading", source };
    let table = fs::read_to_string(&args.table).map_err(reading)?;
    let lines = table.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let rows = lines.map(|(at, line)| {
        row(line)
            .map_err(|problem| Error::Tunnel { problem: format!("{}:{}: {problem}", args.table.display(), at + 1) })
    });
    // All of it is understood before any of it is taken.
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let store = open(&args.tokens, Arc::new(TokioRuntime))?;
    for (hash, client, expires) in &rows {
        store.import(args.kind.into(), client, hash, *expires).map_err(failed)?;
    }
    console.line(format_args!("{} tokens are in {}.", rows.len(), args.tokens.display()));
    Ok(())
}

pub(crate) fn revoke(args: &RevokeArgs, console: Console) -> Result<(), Error> {
    let store = open(&args.tokens, Arc::new(TokioRuntime))?;
    let count = store.revoke_client(&args.client).map_err(failed)?;
    console.line(format_args!("{count} tokens of {} have ended.", args.client));
    Ok(())
}

fn failed(error: tunnel_compat::server::StoreError) -> Error {
    Error::TunnelFailed { problem: p2p::chain(&error).to_string() }
}

/// A row of a legacy table.
fn row(line: &str) -> Result<(String, ClientId, Option<u64>), String> {
    const EXPECTED: &str =
        "expected HASH,CLIENT,SECONDS: 64 digits of hex, a clientId, and seconds since 1970 or nothing";
    let mut fields = line.split(',').map(|field| field.trim().trim_matches('"'));
    let (Some(hash), Some(client), expires, None) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
        return Err(EXPECTED.to_owned());
    };
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("{hash:?} is no hash: {EXPECTED}"));
    }
    let client = client.parse().map_err(|error| format!("{client:?}: {error}"))?;
    let expires = match expires.unwrap_or_default() {
        "" => None,
        // PostgreSQL says it with a fraction.
        text => {
            let whole = text.split('.').next().unwrap_or_default().parse();
            Some(whole.map_err(|_| format!("{text:?} is no time: {EXPECTED}"))?)
        }
    };
    Ok((hash.to_owned(), client, expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_postgresql_writes_it() {
        let hash = "a".repeat(64);
        let read = |rest: &str| row(&format!("{hash},{rest}"));
        let client = || "home".parse::<ClientId>().unwrap();
        assert_eq!(read("home,").unwrap(), (hash.clone(), client(), None));
        assert_eq!(read("home").unwrap(), (hash.clone(), client(), None));
        assert_eq!(read("home,1795478400.123").unwrap(), (hash.clone(), client(), Some(1_795_478_400)));
        for (wrong, why) in [("a b,", "a b"), ("home,soon", "soon"), ("home,1,2", "expected HASH"), ("home,-1", "-1")] {
            let error = read(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert!(row("abc,home,").unwrap_err().contains("\"abc\" is no hash"));
    }
}
