//! The server's side: is the token there, and is it the right one?

use std::sync::Arc;

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::TokenFile;

/// Lets calls with the right bearer token through, and all calls where no token is configured.
///
/// An interceptor for one service, or for all with `tonic::service::InterceptorLayer`.
#[derive(Clone, Debug)]
pub struct TokenCheck(Option<Arc<TokenFile>>);

impl TokenCheck {
    pub(in crate::security) fn new(token: Option<Arc<TokenFile>>) -> Self {
        Self(token)
    }

    /// Whether a call with this `authorization` header may pass: the same rule for plain HTTP.
    pub fn admits(&self, authorization: Option<&[u8]>) -> bool {
        let Some(token) = &self.0 else { return true };
        let sent = authorization.and_then(bearer);
        sent.is_some_and(|sent| token.current().is(sent))
    }
}

impl Interceptor for TokenCheck {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let authorization = request.metadata().get("authorization");
        if self.admits(authorization.map(MetadataValue::as_bytes)) {
            return Ok(request);
        }
        Err(Status::unauthenticated(if authorization.is_some() {
            "this is not the bearer token of the server; name the file that holds it with \
             --token-file"
        } else {
            "the server asks for a bearer token; name the file that holds it with --token-file"
        }))
    }
}

/// The token of an `authorization` header; the scheme's name is in any case (RFC 9110, 11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
