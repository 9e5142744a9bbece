//! Failures of the cluster's commands.

use snel_cluster::client::ClientError;
use snel_cluster::coordinator::CoordinatorError;
use snel_cluster::error_text;
use snel_cluster::launch::LaunchError;
use snel_cluster::security::SecurityError;
use snel_cluster::worker::LinkError;
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
            LinkError::Unreachable { .. } | LinkError::Thread(_) => Exit::TryAgain,
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

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
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
        Self::new(Refusal(status.message().to_owned()), hint.map(str::to_owned), exit)
    }
}

impl Failure {
    /// A run that failed, by the coordinator's account.
    pub(crate) fn of_run(error: &v1::Error) -> Self {
        let hint = (!error.hint.is_empty()).then(|| error.hint.clone());
        Self::new(Refusal(error_text(error)), hint, Exit::Failed)
    }
}
