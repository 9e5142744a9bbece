//! A user's end of the control plane.

use std::time::Duration;

use snel_proto::v1::control_service_client::ControlServiceClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::security::token::TokenHeader;
use crate::security::{self, Notice, SecurityError};

/// A connection attempt that takes longer has failed.
const DIAL_TIME: Duration = Duration::from_secs(5);

/// The control plane's client.
pub type Control = ControlServiceClient<InterceptedService<Channel, TokenHeader>>;

/// Why the control plane cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Certificates or token.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// Nobody there.
    #[error("cannot reach a coordinator at {url}")]
    Connect {
        /// Where.
        url: String,
        /// Why not.
        source: tonic::transport::Error,
    },
}

/// Connects to the coordinator at `url`.
///
/// # Errors
/// [`ClientError`].
pub async fn connect(
    url: &str,
    settings: &security::Settings,
    say: fn(&str),
) -> Result<Control, ClientError> {
    let security = settings.client(url, move |notice: Notice| say(&notice.to_string()))?;
    let endpoint = security.endpoint()?.connect_timeout(DIAL_TIME).tcp_nodelay(true);
    let channel = endpoint
        .connect()
        .await
        .map_err(|source| ClientError::Connect { url: url.to_owned(), source })?;
    Ok(ControlServiceClient::with_interceptor(channel, security.credentials()))
}
