//! Clients that connect and do not speak.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pki::{Ca, Folder};
use super::refuse::{client, server};
use super::running::{LIMITS, Running, soon};
use crate::security::Settings;
use crate::security::limits::Limits;

/// That the server closed the connection; whether by FIN or by RST does not matter.
async fn is_closed(mut stream: TcpStream) -> bool {
    !matches!(soon(stream.read(&mut [0; 1])).await, Ok(1))
}

#[tokio::test]
async fn on_a_plain_listener_they_hold_up_nobody() {
    let server = Running::start(&Settings::default(), LIMITS).await;
    let _silent = TcpStream::connect(server.addr).await.unwrap();
    server.good(&Settings::default()).await;
}

#[tokio::test]
async fn during_the_handshake_they_hold_up_nobody() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let server = Running::start(&server(&folder, &ca, None), LIMITS).await;
    let _silent = TcpStream::connect(server.addr).await.unwrap();
    let mut good = server.good(&client(&folder, &ca, None)).await;
    good.call().await.unwrap();
    drop(good);
    // The handshake, which has an hour, does not hold up the end either.
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_ends() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let limits = Limits { handshake: Duration::from_millis(20), ..LIMITS };
    let mut server = Running::start(&server(&folder, &ca, None), limits).await;
    let silent = TcpStream::connect(server.addr).await.unwrap();
    assert!(is_closed(silent).await);
    let reason = server.refusal().await;
    assert_eq!(reason, "no handshake within 20ms");
}

#[tokio::test]
async fn when_they_take_all_places_the_oldest_goes() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let limits = Limits { handshakes: 2, patience: Duration::from_millis(20), ..LIMITS };
    let mut server = Running::start(&server(&folder, &ca, None), limits).await;
    let oldest = TcpStream::connect(server.addr).await.unwrap();
    let _silent = TcpStream::connect(server.addr).await.unwrap();
    server.good(&client(&folder, &ca, None)).await;
    assert!(is_closed(oldest).await);
    let reason = server.refusal().await;
    assert!(reason.contains("while others wait"), "{reason}");
}

#[tokio::test]
async fn beyond_the_places_connections_wait_until_one_is_free() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let limits = Limits { handshakes: 1, ..LIMITS };
    let server = Running::start(&server(&folder, &ca, None), limits).await;
    let silent = TcpStream::connect(server.addr).await.unwrap();
    let trusting = client(&folder, &ca, None);
    let mut good = std::pin::pin!(server.good(&trusting));
    // Some twenty times what it takes when nothing is in the way; a slow machine proves less, but
    // fails nobody.
    assert!(timeout(Duration::from_millis(100), &mut good).await.is_err());
    drop(silent);
    good.await;
}

#[tokio::test]
async fn a_burst_beyond_the_places_is_served_in_turn() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let limits = Limits { handshakes: 2, ..LIMITS };
    let server = Running::start(&server(&folder, &ca, None), limits).await;
    let trusting = client(&folder, &ca, None);
    let burst = (0..16).map(|_| server.good(&trusting));
    soon(futures_util::future::join_all(burst)).await;
}
