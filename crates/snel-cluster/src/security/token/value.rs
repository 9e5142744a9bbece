//! One token.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tonic::metadata::{Ascii, MetadataValue};

use crate::security::error::SecurityError;
use crate::security::loaded::Loaded;

/// Fewer characters could be guessed.
const SHORTEST: usize = 16;
/// Servers refuse long headers.
const LONGEST: usize = 4096;

/// A token of 16 to 4096 printable ASCII characters.
pub(in crate::security) struct Token {
    digest: [u8; 32],
    header: MetadataValue<Ascii>,
}

impl Token {
    /// The token in a file; white space around it does not count.
    pub(super) fn parse(file: &Loaded) -> Result<Self, SecurityError> {
        let token = file.bytes.trim_ascii();
        if token.is_empty() {
            return Err(file.unusable("it is empty"));
        }
        if token.len() < SHORTEST {
            let reason = format!("it has {} characters, fewer than {SHORTEST}", token.len());
            return Err(file.unusable(reason));
        }
        if token.len() > LONGEST {
            return Err(file.unusable(format!("it has more than {LONGEST} characters")));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(file.unusable("it has spaces or characters that are not ASCII"));
        }
        let mut header = MetadataValue::try_from([b"Bearer ", token].concat())
            .map_err(|_| file.unusable("it cannot be sent in a header"))?;
        // Keeps it out of `Debug` and out of HTTP/2's header compression tables.
        header.set_sensitive(true);
        Ok(Self { digest: digest(token), header })
    }

    /// Whether a client sent this token.
    ///
    /// Comparing byte by byte would take longer the more of the start is right, so that the token
    /// could be found one character after the other. Digests have one length and are compared in
    /// constant time: neither the length nor the start of the token can be timed.
    pub(super) fn is(&self, sent: &[u8]) -> bool {
        self.digest.ct_eq(&digest(sent)).into()
    }

    /// The `authorization` header that carries it.
    pub(super) fn header(&self) -> MetadataValue<Ascii> {
        self.header.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Flag;

    fn parse(text: &str) -> Result<Token, SecurityError> {
        let (flag, path) = (Flag::TokenFile, "token".into());
        Token::parse(&Loaded { flag, path, bytes: text.as_bytes().to_vec() })
    }

    #[test]
    fn white_space_around_it_does_not_count() {
        let token = parse("\t 0123456789abcdef\r\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        assert_eq!(token.header().to_str().unwrap(), "Bearer 0123456789abcdef");
    }

    #[test]
    fn nothing_else_is_the_token() {
        let token = parse("0123456789abcdef").unwrap();
        for sent in ["", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0"] {
            assert!(!token.is(sent.as_bytes()), "{sent}");
        }
    }

    #[test]
    fn poor_tokens_are_refused_without_being_quoted() {
        let long = "x".repeat(LONGEST + 1);
        for text in ["", " \n", "0123456789abcde", "0123456789 abcdef", "0123456789abcdéf", &long]
        {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.starts_with("token cannot serve as token (--token-file)"), "{message}");
            assert!(text.trim().is_empty() || !message.contains(text), "{message}");
        }
    }

    #[test]
    fn debug_hides_it() {
        let token = parse("0123456789abcdef").unwrap();
        assert!(!format!("{token:?} {:?}", token.header()).contains("0123456789abcdef"));
    }
}
