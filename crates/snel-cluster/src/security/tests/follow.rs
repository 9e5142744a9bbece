//! Certificates that are replaced while the server runs.

use super::pki::{Ca, Folder};
use super::refuse::{client, server};
use super::running::{LIMITS, Running};

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_old_ones_live() {
    let (folder, first, second) = (Folder::new(), Ca::new("first"), Ca::new("second"));
    let mut running = Running::start(&server(&folder, &first, None), LIMITS).await;
    // It trusts the first CA alone: had it to connect again, it could not.
    let mut old = running.good(&client(&folder, &first, None)).await;

    server(&folder, &second, None);
    running.good(&client(&folder, &second, None)).await;
    running.refused(&client(&folder, &first, None), "UnknownCA").await;
    old.call().await.unwrap();
}

#[tokio::test]
async fn a_new_client_ca_is_followed() {
    let (folder, ca, second) = (Folder::new(), Ca::new("ours"), Ca::new("second"));
    let mut running = Running::start(&server(&folder, &ca, Some(&ca)), LIMITS).await;
    let before = client(&folder, &ca, Some(("one", &ca.client("before"))));
    let after = client(&folder, &ca, Some(("two", &second.client("after"))));
    let mut old = running.good(&before).await;
    running.refused(&after, "UnknownIssuer").await;

    folder.write("client-ca", second.pem());
    running.good(&after).await;
    running.refused(&before, "UnknownIssuer").await;
    old.call().await.unwrap();
}

#[tokio::test]
async fn unusable_new_files_leave_the_old_ones() {
    let (folder, ca) = (Folder::new(), Ca::new("ours"));
    let mut running = Running::start(&server(&folder, &ca, None), LIMITS).await;
    let trusting = client(&folder, &ca, None);

    for (name, text, flag) in [
        ("server.crt", "no certificate", "--tls-cert"),
        ("server.crt", &*ca.server("127.0.0.1").cert, "--tls-key"),
        ("server.key", "no key", "--tls-key"),
    ] {
        folder.write(name, text);
        running.good(&trusting).await;
        running.good(&trusting).await;
        let told = running.about_files();
        assert_eq!(told.len(), 1, "one notice for one state: {told:?}");
        assert!(told[0].contains(flag) && told[0].contains("stays in use"), "{told:?}");
    }

    std::fs::remove_file(folder.path("server.crt")).unwrap();
    running.good(&trusting).await;
    running.good(&trusting).await;
    let told = running.about_files();
    assert!(told.len() == 1 && told[0].contains("there is no such file"), "{told:?}");

    server(&folder, &ca, None);
    running.good(&trusting).await;
    let told = running.about_files();
    assert!(told.len() == 1 && told[0].starts_with("replaced while running"), "{told:?}");
}

#[tokio::test]
async fn a_client_follows_its_files_from_endpoint_to_endpoint() {
    let (folder, ca, second) = (Folder::new(), Ca::new("ours"), Ca::new("second"));
    let running = Running::start(&server(&folder, &ca, None), LIMITS).await;
    let settings = client(&folder, &second, None);
    let security = settings.client(&format!("https://{}", running.addr), |_| {}).unwrap();
    assert!(security.endpoint().unwrap().connect().await.is_err());

    folder.write("ca-only", ca.pem());
    security.endpoint().unwrap().connect().await.unwrap();
}
