//! Failures of the cluster's commands.

use std::error::Error;

use snel_cluster::client::ClientError;
use snel_cluster::coordinator::CoordinatorError;
use snel_cluster::launch::LaunchError;
use snel_cluster::security::SecurityError;
use snel_cluster::worker::LinkError;
use snel_cluster::{error_of, error_text};
use snel_proto::v1;
use tonic::{Code, Status};

use crate::exit::Exit;
use crate::failure::Failure;

impl From<SecurityError> for Failure {
    fn from(error: SecurityError) -> Self {
        let hint = error.hint().map(Into::into);
        Self::new(error, hint, Exit::Usage)
    }
}

impl From<CoordinatorError> for Failure {
    fn from(error: CoordinatorError) -> Self {
        match error {
            CoordinatorError::Security(error) => error.into(),
            CoordinatorError::Listen { .. } => {
                let hint = "choose another --listen; port 0 takes a free one".to_owned();
                Self::new(error, Some(hint), Exit::TryAgain)
            }
            error => Self::new(error, None, Exit::TryAgain),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Security(error) => error.into(),
            ClientError::Connect { .. } => {
                let hint = "start one with `snel coordinator`, or name it with --coordinator";
                Self::new(error, Some(hint.to_owned()), Exit::TryAgain)
            }
        }
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        let exit = match error {
            LinkError::Refused(_) => Exit::Failed,
            LinkError::Unreachable { .. } | LinkError::Thread(_) | LinkError::Stuck(_) => {
                Exit::TryAgain
            }
        };
        Self::new(error, None, exit)
    }
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::Client(error) => error.into(),
            LaunchError::Refused(status) => (*status).into(),
            LaunchError::Folder(_) => Self::new(error, None, Exit::Usage),
            error => {
                let hint = "what was saved is kept; go on with --resume".to_owned();
                Self::new(error, Some(hint), Exit::TryAgain)
            }
        }
    }
}

/// A coordinator's refusal, in its words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

/// A connection that broke instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the coordinator did not answer")]
struct Broken(#[source] Status);

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // Only what did not come from the coordinator has a cause.
        if status.source().is_some() && error_of(&status).code.is_empty() {
            // A certificate is looked at when the connection stands already.
            let hint = "if it asks for certificates, give yours with --tls-cert and --tls-key";
            return Self::new(Broken(status), Some(hint.to_owned()), Exit::TryAgain);
        }
        let (hint, exit) = match status.code() {
            Code::Unauthenticated => {
                (Some("give the coordinator's token with --token-file"), Exit::Usage)
            }
            Code::AlreadyExists => {
                (Some("go on with it by --resume, or choose another name"), Exit::Usage)
            }
            Code::FailedPrecondition => {
                (Some("go on with --resume, or choose another name or folder"), Exit::Usage)
            }
            Code::NotFound | Code::InvalidArgument => (None, Exit::Usage),
            Code::Unavailable | Code::DeadlineExceeded => (None, Exit::TryAgain),
            _ => (None, Exit::Failed),
        };
        let error = error_of(&status);
        let hint = Some(error.hint.clone()).filter(|h| !h.is_empty()).or(hint.map(str::to_owned));
        Self::new(Refusal(error_text(&error)), hint, exit)
    }
}

impl Failure {
    /// A run that failed, by the coordinator's account.
    pub(crate) fn of_run(error: &v1::Error) -> Self {
        let hint = (!error.hint.is_empty()).then(|| error.hint.clone());
        Self::new(Refusal(error_text(error)), hint, Exit::Failed)
    }
}
