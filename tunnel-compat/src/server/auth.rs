//! The server's own paths: tokens.

use ::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use ring::digest::{SHA256, digest};
use serde_json::json;

use super::{
    Server,
    guard::{Denied, Query, UNAUTHORIZED, token_of},
    tokens::{RegisterError, StoreError, TokenKind},
};
use crate::{
    http, query,
    route::{Body, ClientId, empty, full, text},
};

impl Server {
    /// Answers a request for one of the server's own paths; gives any other back.
    pub(super) async fn own_path<B: Send>(
        &self,
        request: Request<B>,
        query: &Query,
    ) -> Result<Response<Body>, Request<B>> {
        let wanted = match request.uri().path() {
            "/health" => return Ok(json_answer(&json!({ "hash": "", "healthy": true }))),
            "/auth/register-client" => Method::POST,
            "/auth/signature-token" => Method::POST,
            "/auth/validate-signature-token" => Method::POST,
            "/auth/magic-token" if request.method() == Method::GET => Method::GET,
            "/auth/magic-token" => Method::POST,
            _ => return Err(request),
        };
        if request.method() != wanted {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, format!("expected {wanted}"));
            answer
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_str(wanted.as_str()).expect("a method is ASCII"));
            return Ok(answer);
        }
        let token = token_of(request.headers());
        let answered = match (request.uri().path(), wanted) {
            ("/auth/register-client", _) => self.register(query, token),
            ("/auth/signature-token", _) => self.issue_signature(query, token),
            ("/auth/validate-signature-token", _) => self.validate_signature(query),
            (_, Method::GET) => return Ok(self.ask_for_access(query).await),
            _ => self.take_magic_token(query, token),
        };
        Ok(answered.unwrap_or_else(answer_denied))
    }

    fn register(&self, query: &Query, token: Option<&str>) -> Result<Response<Body>, Denied> {
        // Hashes of equal length: how long comparing them takes tells nothing of the token.
        let hashed = |token: &str| digest(&SHA256, token.as_bytes());
        if token.is_none_or(|token| hashed(token).as_ref() != hashed(&self.config.access_token).as_ref()) {
            return Err(UNAUTHORIZED);
        }
        match self.tokens.register(client(query)?) {
            Ok(token) => Ok(json_answer(&json!({ "token": token }))),
            Err(RegisterError::Registered(_)) => {
                Err(Denied(StatusCode::CONFLICT, "this clientId is registered already; revoke it on the server first"))
            }
            Err(RegisterError::Store(error)) => Err(failed(&error)),
        }
    }

    fn issue_signature(&self, query: &Query, token: Option<&str>) -> Result<Response<Body>, Denied> {
        let client = self.access(query, token)?;
        let token = self.tokens.issue(TokenKind::Signature, client).map_err(|error| failed(&error))?;
        Ok(json_answer(&json!({ "token": token })))
    }

    fn validate_signature(&self, query: &Query) -> Result<Response<Body>, Denied> {
        let (client, signature) = (client(query)?, query.signature.as_deref().ok_or(UNAUTHORIZED)?);
        let allows = self.tokens.allows(TokenKind::Signature, client, signature).map_err(|error| failed(&error))?;
        if allows { Ok(json_answer(&json!({ "valid": true }))) } else { Err(UNAUTHORIZED) }
    }

    fn take_magic_token(&self, query: &Query, token: Option<&str>) -> Result<Response<Body>, Denied> {
        let client = self.access(query, token)?;
        let magic = query.magic_token.as_deref().filter(|magic| magic.len() >= SECRET_CHARS_MIN);
        let magic =
            magic.ok_or(Denied(StatusCode::BAD_REQUEST, "magicToken is missing, or shorter than 16 characters"))?;
        self.tokens.add(TokenKind::Magic, client, magic).map_err(|error| failed(&error))?;
        Ok(json_answer(&json!({ "success": true })))
    }

    /// The home itself hands out access tokens, to whoever has a magic token of its making.
    async fn ask_for_access(&self, query: &Query) -> Response<Body> {
        let Some(magic) = query.magic_token.as_deref() else { return answer_denied(UNAUTHORIZED) };
        let client = match self.tokens.client_of_magic(magic) {
            Ok(Some(client)) => client,
            Ok(None) => return answer_denied(UNAUTHORIZED),
            Err(error) => return answer_denied(failed(&error)),
        };
        let uri = format!("/auth/magic-token?{}", query::encode([("magicToken", magic)]));
        let request = Request::get(uri).body(empty()).expect("an encoded query is valid");
        http::answer(&*self.route, &client, request).await
    }

    /// The client, if the caller has its access token.
    pub(super) fn access<'a>(&self, query: &'a Query, token: Option<&str>) -> Result<&'a ClientId, Denied> {
        let client = client(query)?;
        let token = token.ok_or(UNAUTHORIZED)?;
        let allows = self.tokens.allows(TokenKind::Access, client, token).map_err(|error| failed(&error))?;
        if allows { Ok(client) } else { Err(UNAUTHORIZED) }
    }
}

pub(super) fn client(query: &Query) -> Result<&ClientId, Denied> {
    query.client.as_ref().ok_or(Denied(StatusCode::BAD_REQUEST, "clientId is missing from the query"))
}

pub(super) fn answer_denied(Denied(status, why): Denied) -> Response<Body> {
    text(status, why)
}

/// What the caller is told of a store that fails: nothing of its inside.
pub(super) fn failed(error: &StoreError) -> Denied {
    tracing::error!(error = %p2p::chain(error), "Tokens cannot be read or written.");
    Denied(StatusCode::INTERNAL_SERVER_ERROR, "tokens cannot be checked now")
}

fn json_answer(json: &serde_json::Value) -> Response<Body> {
    let mut answer = Response::new(full(json.to_string()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// The shortest secret that is taken from others, in characters.
pub(super) const SECRET_CHARS_MIN: usize = 16;
