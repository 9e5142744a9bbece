//! Who may come in: the token's holders, and probes.
//!
//! Programs send the bearer token; a browser, which cannot be told to, asks its user for a name and
//! a password: any name, with the token as the password.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::security::token::TokenCheck;

/// Lets a request pass if it has the token, or none is asked for.
pub(super) async fn guard(
    State(check): State<TokenCheck>,
    request: Request,
    next: Next,
) -> Response {
    let sent = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let password = sent.and_then(password);
    if check.admits(password.as_deref().or(sent)) {
        return next.run(request).await;
    }
    let schemes = [
        (WWW_AUTHENTICATE, "Bearer realm=\"snel\""),
        (WWW_AUTHENTICATE, "Basic realm=\"snel: any name, the token as password\""),
    ];
    let mut refused =
        (StatusCode::UNAUTHORIZED, "the coordinator asks for its bearer token\n").into_response();
    for (name, scheme) in schemes {
        refused.headers_mut().append(name, HeaderValue::from_static(scheme));
    }
    refused
}

/// A basic header's password (RFC 7617), as the bearer header that it stands for.
fn password(header: &[u8]) -> Option<Vec<u8>> {
    let (scheme, text) = header.split_at_checked(b"basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(text.trim_ascii()).ok()?;
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some([b"Bearer ", &pair[colon + 1..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_what_follows_the_first_colon() {
        let basic = |pair: &str| format!("BASIC {}", BASE64_STANDARD.encode(pair)).into_bytes();
        assert_eq!(password(&basic("me:to:ken")).unwrap(), b"Bearer to:ken");
        assert_eq!(password(&basic(":token")).unwrap(), b"Bearer token");
        for none in [&b"Bearer token"[..], b"Basic", b"Basic !", b"", &basic("token")] {
            assert_eq!(password(none), None);
        }
    }
}
