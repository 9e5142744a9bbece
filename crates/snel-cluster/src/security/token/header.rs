//! The client's side: the token goes with every call.

use std::sync::Arc;

use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::TokenFile;

/// Adds the bearer token to every call, or nothing where none is configured.
#[derive(Clone, Debug)]
pub struct TokenHeader(Option<Arc<TokenFile>>);

impl TokenHeader {
    pub(in crate::security) fn new(token: Option<Arc<TokenFile>>) -> Self {
        Self(token)
    }
}

impl Interceptor for TokenHeader {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.current().header());
        }
        Ok(request)
    }
}
