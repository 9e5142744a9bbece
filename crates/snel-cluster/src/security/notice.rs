//! What happens while the server runs that somebody may want to know.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::SecurityError;
use super::flag::Flag;

/// Something that was dealt with, and that the log should tell. Never holds a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A file with a secret may be read by every user of the machine.
    OpenToOthers {
        /// The flag that names the file.
        flag: Flag,
        /// The file.
        path: PathBuf,
    },
    /// Files were replaced, and the new ones are in use.
    Replaced {
        /// The flags that name them.
        flags: &'static [Flag],
    },
    /// Files were replaced by something unusable; the old ones stay in use. Said once for each
    /// state of the files.
    Kept {
        /// What is wrong with the new ones.
        error: SecurityError,
    },
    /// A connection ended before it was one. Peers can cause these at will: log them quietly.
    Refused {
        /// Where it came from.
        peer: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The system gave no connection, as when the process has too many open files; the server
    /// waits a second and goes on.
    NotAccepting {
        /// What the system says.
        error: io::Error,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenToOthers { flag, path } => {
                let (path, what) = (path.display(), flag.contents());
                write!(f, "every user of this machine can read the {what} {path}: chmod 600 {path}")
            }
            Self::Replaced { flags } => {
                f.write_str("replaced while running:")?;
                flags.iter().try_for_each(|flag| write!(f, " {flag}"))
            }
            Self::Kept { error } => write!(f, "{error}; what was there before stays in use"),
            Self::Refused { peer, reason } => write!(f, "refused {peer}: {reason}"),
            Self::NotAccepting { error } => write!(f, "cannot accept connections: {error}"),
        }
    }
}

/// Where notices go. Called from the server's tasks: it must not block.
pub(super) type Notify = Arc<dyn Fn(Notice) + Send + Sync>;
