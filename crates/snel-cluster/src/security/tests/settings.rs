//! What is refused before anything listens or is sent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::pki::{Ca, Folder};
use super::refuse::{client, server};
use super::running::LIMITS;
use crate::security::{Flag, SecurityError, Settings};

const LOOPBACK: &str = "127.0.0.1:0";

fn server_error(settings: &Settings, addr: &str) -> SecurityError {
    settings.server(addr.parse().unwrap(), |_| {}).unwrap_err()
}

fn client_error(settings: &Settings, url: &str) -> SecurityError {
    settings.client(url, |_| {}).unwrap_err()
}

#[test]
fn flags_that_need_each_other() {
    let some = Some(PathBuf::from("file"));
    for (settings, flags) in [
        (Settings { tls_cert: some.clone(), ..Settings::default() }, (Flag::TlsCert, Flag::TlsKey)),
        (Settings { tls_key: some.clone(), ..Settings::default() }, (Flag::TlsKey, Flag::TlsCert)),
        (
            Settings { tls_client_ca: some, ..Settings::default() },
            (Flag::TlsClientCa, Flag::TlsCert),
        ),
    ] {
        match server_error(&settings, LOOPBACK) {
            SecurityError::Incomplete { given, missing } => assert_eq!((given, missing), flags),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn errors_name_the_file_and_the_flag() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let good = Settings {
        token_file: Some(folder.write("token", "0123456789abcdef")),
        ..server(&folder, &ca, Some(&ca))
    };
    good.server(LOOPBACK.parse().unwrap(), |_| {}).unwrap();

    let missing = folder.path("missing");
    let empty = folder.write("empty", "");
    for file in [missing, empty] {
        let some = Some(file.clone());
        for (settings, flag) in [
            (Settings { tls_cert: some.clone(), ..good.clone() }, "--tls-cert"),
            (Settings { tls_key: some.clone(), ..good.clone() }, "--tls-key"),
            (Settings { tls_client_ca: some.clone(), ..good.clone() }, "--tls-client-ca"),
            (Settings { token_file: some.clone(), ..good.clone() }, "--token-file"),
        ] {
            let message = server_error(&settings, LOOPBACK).to_string();
            assert!(message.contains(&*file.to_string_lossy()), "{message}");
            assert!(message.contains(flag), "{message}");
        }
        let settings = Settings { tls_ca: some, ..Settings::default() };
        let message = client_error(&settings, "https://localhost:1").to_string();
        assert!(message.contains(&*file.to_string_lossy()) && message.contains("--tls-ca"));
    }
}

#[test]
fn a_key_of_another_certificate() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let (_, other) = folder.identity("other", &ca.server("127.0.0.1"));
    let settings = Settings { tls_key: Some(other), ..server(&folder, &ca, None) };
    let error = server_error(&settings, LOOPBACK);
    assert!(matches!(error, SecurityError::KeyOfAnother { .. }), "{error}");

    let mine = client(&folder, &ca, Some(("one", &ca.client("w"))));
    let settings = Settings { tls_key: Some(folder.path("other.key")), ..mine };
    let error = client_error(&settings, "https://localhost:1");
    assert!(matches!(error, SecurityError::KeyOfAnother { .. }), "{error}");
}

#[test]
fn an_encrypted_key_is_called_so() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let settings =
        Settings { tls_key: Some(folder.write("locked", key)), ..server(&folder, &ca, None) };
    assert!(server_error(&settings, LOOPBACK).to_string().contains("it is encrypted"));
}

#[tokio::test]
async fn the_listener_must_be_as_safe_as_the_address_that_was_asked_for() {
    let settings = Settings::default();
    let any: SocketAddr = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(server_error(&settings, "0.0.0.0:0"), SecurityError::Exposed { .. }));

    let security = settings.server(LOOPBACK.parse().unwrap(), |_| {}).unwrap();
    let listener = TcpListener::bind(any).await.unwrap();
    let error = security.open(listener).err().unwrap();
    assert!(matches!(error, SecurityError::Exposed { .. }), "{error}");
}

#[test]
fn urls() {
    let none = Settings::default();
    for url in ["", "localhost", "localhost:7000", "ftp://localhost", "http://", "http://a b"] {
        let error = client_error(&none, url);
        assert!(matches!(error, SecurityError::Url { .. }), "{url}: {error}");
    }
    assert!(matches!(client_error(&none, "https://host:1"), SecurityError::NoCa { .. }));
    none.client("http://host:1", |_| {}).unwrap();
}

#[test]
fn a_token_goes_to_this_machine_or_encrypted() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let token_file = Some(folder.write("token", "0123456789abcdef"));
    let clear = Settings { token_file: token_file.clone(), ..Settings::default() };
    for url in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"] {
        clear.client(url, |_| {}).unwrap();
    }
    for url in ["http://host:1", "http://10.0.0.1:1", "http://[fe80::1]:1", "http://localhost.x:1"]
    {
        let error = client_error(&clear, url);
        assert!(matches!(error, SecurityError::TokenInClear { .. }), "{url}: {error}");
    }
    let sealed = Settings { token_file, ..client(&folder, &ca, None) };
    sealed.client("https://host:1", |_| {}).unwrap();
}

#[test]
fn tls_flags_without_tls() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let error = client_error(&client(&folder, &ca, None), "http://localhost:1");
    assert!(matches!(error, SecurityError::NotEncrypted { flag: Flag::TlsCa, .. }), "{error}");
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_token_can_come_through_a_pipe() {
    use std::io::Write;
    use std::os::fd::AsRawFd;

    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"0123456789abcdef\n").unwrap();
    drop(writer);
    let token_file = Some(PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd())));
    let settings = Settings { token_file, ..Settings::default() };
    let told = Arc::new(|notice| panic!("{notice}"));
    let security = settings.server_within(LIMITS, LOOPBACK.parse().unwrap(), told).unwrap();
    assert!(security.check.admits(Some(b"Bearer 0123456789abcdef")));
    assert!(security.check.admits(Some(b"Bearer 0123456789abcdef")));
    assert!(!security.check.admits(None));
}
