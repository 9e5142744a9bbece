//! The bearer token.

use tonic::Code;

use super::pki::Folder;
use super::running::{Client, LIMITS, Running};
use crate::security::Settings;

const FIRST: &str = "0123456789abcdef-first";
const SECOND: &str = "0123456789abcdef-second";

fn with(folder: &Folder, name: &str, token: &str) -> Settings {
    Settings { token_file: Some(folder.write(name, token)), ..Settings::default() }
}

#[tokio::test]
async fn plain_loopback_needs_nothing() {
    let mut server = Running::start(&Settings::default(), LIMITS).await;
    server.good(&Settings::default()).await;
    let peer = server.peers.recv().await.unwrap();
    assert!(peer.addr().ip().is_loopback());
    assert_eq!(peer.subject(), None);
    server.stop().await;
}

#[tokio::test]
async fn only_the_right_token_passes() {
    let folder = Folder::new();
    let server = Running::start(&with(&folder, "server", FIRST), LIMITS).await;
    server.good(&with(&folder, "client", FIRST)).await;

    let mut wrong = server.client(&with(&folder, "wrong", SECOND)).await.unwrap();
    let mut missing = server.client(&Settings::default()).await.unwrap();
    for client in [&mut wrong, &mut missing] {
        let status = client.call().await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("--token-file"), "{status}");
        assert!(!format!("{status:?}").contains("0123456789abcdef"), "{status:?}");
    }
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case() {
    let folder = Folder::new();
    let server = Running::start(&with(&folder, "server", FIRST), LIMITS).await;
    for header in ["Bearer 0123456789abcdef-first", "bearer  0123456789abcdef-first"] {
        Client::call_with(server.addr, header).await.unwrap();
    }
    for header in
        ["", "Bearer", "Bearer ", "0123456789abcdef-first", "Basic 0123456789abcdef-first"]
    {
        let status = Client::call_with(server.addr, header).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{header}");
    }
}

#[tokio::test]
async fn a_rotated_token_is_followed_on_both_sides() {
    let folder = Folder::new();
    let shared = with(&folder, "shared", FIRST);
    let mut server = Running::start(&shared, LIMITS).await;
    let mut follows = server.good(&shared).await;
    let mut stays = server.good(&with(&folder, "old", FIRST)).await;

    folder.write("shared", SECOND);
    follows.call().await.unwrap();
    assert_eq!(stays.call().await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(server.about_files(), ["replaced while running: --token-file"]);
}

#[tokio::test]
async fn an_unusable_new_token_leaves_the_old_one() {
    let folder = Folder::new();
    let mut server = Running::start(&with(&folder, "server", FIRST), LIMITS).await;
    let mut client = server.good(&with(&folder, "client", FIRST)).await;

    for spoil in [(|folder| drop(folder.write("server", "short"))) as fn(&Folder), |folder| {
        std::fs::remove_file(folder.path("server")).unwrap();
    }] {
        spoil(&folder);
        client.call().await.unwrap();
        client.call().await.unwrap();
        let told = server.about_files();
        assert_eq!(told.len(), 1, "one notice for one state: {told:?}");
        assert!(told[0].contains("--token-file") && told[0].contains("stays in use"), "{told:?}");
    }
    folder.write("server", SECOND);
    assert_eq!(client.call().await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
#[cfg(unix)]
async fn a_token_that_everybody_can_read_is_told() {
    let folder = Folder::new();
    let settings = with(&folder, "server", FIRST);
    let mut server = Running::start(&settings, LIMITS).await;
    assert!(server.about_files().is_empty());

    super::pki::set_mode(&folder.path("server"), 0o644);
    let mut server = Running::start(&settings, LIMITS).await;
    let told = server.about_files();
    assert!(told.len() == 1 && told[0].contains("chmod 600"), "{told:?}");
}
