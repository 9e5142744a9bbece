//! The bearer token: a secret that every member of a cluster reads from a file.

mod check;
mod header;
mod value;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use check::TokenCheck;
pub use header::TokenHeader;

use super::error::SecurityError;
use super::flag::Flag;
use super::loaded::{Loaded, is_open_to_others};
use super::notice::{Notice, Notify};
use super::watched::Watched;
use value::Token;

/// The token of a file that may be rotated.
type TokenFile = Watched<Loaded, Token>;

/// Reads the token. A pipe, as in `--token-file <(pass snel)`, can be read but once.
///
/// # Errors
/// The file cannot be read or holds no good token.
pub(super) fn open(
    path: &Path,
    recheck: Duration,
    notify: &Notify,
) -> Result<Arc<TokenFile>, SecurityError> {
    if is_open_to_others(path) {
        notify(Notice::OpenToOthers { flag: Flag::TokenFile, path: path.to_owned() });
    }
    let owned = path.to_owned();
    let file = Watched::open(
        &[Flag::TokenFile],
        move || Loaded::read(Flag::TokenFile, &owned),
        Token::parse,
        path.is_file().then_some(recheck),
        Arc::clone(notify),
    )?;
    Ok(Arc::new(file))
}
