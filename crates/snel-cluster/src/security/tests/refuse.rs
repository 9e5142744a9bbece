//! TLS: who is let in and who is not.

use super::pki::{Ca, Folder, Identity};
use super::running::{LIMITS, Running};
use crate::security::Settings;

/// A server's settings: a certificate of `ca` for 127.0.0.1, clients of `client_ca` only.
pub(super) fn server(folder: &Folder, ca: &Ca, client_ca: Option<&Ca>) -> Settings {
    let (cert, key) = folder.identity("server", &ca.server("127.0.0.1"));
    Settings {
        tls_cert: Some(cert),
        tls_key: Some(key),
        tls_client_ca: client_ca.map(|ca| folder.write("client-ca", ca.pem())),
        ..Settings::default()
    }
}

/// A client's settings: trust in `ca`, and a certificate if there is one.
pub(super) fn client(folder: &Folder, ca: &Ca, own: Option<(&str, &Identity)>) -> Settings {
    let (cert, key) = own.map(|(name, identity)| folder.identity(name, identity)).unzip();
    let trusted = folder.write(&format!("ca-{}", own.map_or("only", |own| own.0)), ca.pem());
    Settings { tls_ca: Some(trusted), tls_cert: cert, tls_key: key, ..Settings::default() }
}

#[tokio::test]
async fn a_client_certificate_lets_in_and_says_who_it_is() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let mut server = Running::start(&server(&folder, &ca, Some(&ca)), LIMITS).await;
    server.good(&client(&folder, &ca, Some(("one", &ca.client("worker-1"))))).await;
    let peer = server.peers.recv().await.unwrap();
    assert_eq!(peer.subject(), Some("CN=worker-1"));
    assert!(peer.addr().ip().is_loopback());
    server.stop().await;
}

#[tokio::test]
async fn the_others_are_refused_and_the_good_one_goes_on() {
    let (folder, ca, other) = (Folder::new(), Ca::new("ours"), Ca::new("theirs"));
    let mut server = Running::start(&server(&folder, &ca, Some(&ca)), LIMITS).await;
    let mut good = server.good(&client(&folder, &ca, Some(("one", &ca.client("w"))))).await;

    let nameless = client(&folder, &ca, None);
    server.refused(&nameless, "no certificate").await;
    good.call().await.unwrap();

    let foreign = client(&folder, &ca, Some(("two", &other.client("w"))));
    server.refused(&foreign, "UnknownIssuer").await;
    good.call().await.unwrap();

    let plain = Settings::default();
    server.refused(&plain, "does not speak TLS").await;
    good.call().await.unwrap();
}

#[tokio::test]
async fn a_client_refuses_servers_that_it_cannot_tell() {
    let (folder, ca, other) = (Folder::new(), Ca::new("ours"), Ca::new("theirs"));
    let mut running = Running::start(&server(&folder, &ca, None), LIMITS).await;
    running.good(&client(&folder, &ca, None)).await;
    running.refused(&client(&folder, &other, None), "UnknownCA").await;

    let (cert, key) = folder.identity("server", &ca.server("other.example"));
    let elsewhere = Settings { tls_cert: Some(cert), tls_key: Some(key), ..Settings::default() };
    let mut running = Running::start(&elsewhere, LIMITS).await;
    running.refused(&client(&folder, &ca, None), "BadCertificate").await;
}

#[tokio::test]
async fn a_tls_client_does_not_fall_back_to_plain() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let server = Running::start(&Settings::default(), LIMITS).await;
    assert!(server.client(&client(&folder, &ca, None)).await.is_err());
    server.good(&Settings::default()).await;
}

#[tokio::test]
async fn with_a_client_ca_and_a_token_both_are_asked() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let token = folder.write("token", "0123456789abcdef");
    let locked = Settings { token_file: Some(token.clone()), ..server(&folder, &ca, Some(&ca)) };
    let mut server = Running::start(&locked, LIMITS).await;

    let certificate = client(&folder, &ca, Some(("one", &ca.client("w"))));
    let both = Settings { token_file: Some(token.clone()), ..certificate.clone() };
    let only_token = Settings { token_file: Some(token), ..client(&folder, &ca, None) };
    server.good(&both).await;
    let status = server.client(&certificate).await.unwrap().call().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    server.refused(&only_token, "no certificate").await;
}
