//! Tokens and certificates as the programs check them: whoever has the wrong ones is told what to
//! give, and what the right ones do is not disturbed.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::io::{BufRead, BufReader, Read, Write};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::cluster::{Kept, coordinator};
use crate::snel::Place;

const TOKEN: &str = "0123456789abcdef-right";
const OTHER: &str = "0123456789abcdef-wrong";

/// A file that only this user may read.
fn secret(place: &Place, name: &str, text: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = place.write(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// An authority with certificates for `localhost` and for a worker: `NAME-ca.pem`,
/// `NAME-server.pem`, `NAME-worker.pem` and their keys.
fn authority(place: &Place, name: &str) {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    place.write(&format!("{name}-ca.pem"), &pem);
    let issuer = Issuer::new(params, key);
    for (role, hosts) in [("server", vec!["localhost".to_owned()]), ("worker", vec![])] {
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, role);
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &issuer).unwrap().pem();
        secret(place, &format!("{name}-{role}.pem"), &pem);
        secret(place, &format!("{name}-{role}.key"), &key.serialize_pem());
    }
}

/// Trains a small run to the end with a worker that has `credentials`, and fetches the model.
fn trains(place: &Place, url: &str, credentials: &[&str]) {
    let at = ["--coordinator", url];
    let with = |args: &[&str]| place.ok(&[args, &at, credentials].concat());
    with(&["run", "submit", "small.toml", "--name", "guarded"]);
    let worker = ["worker", "--name", "right", "--threads", "1", "--quiet"];
    let _worker = Kept(place.start(&[&worker[..], &at, credentials].concat()));
    with(&["run", "watch", "guarded"]);
    with(&["run", "fetch", "guarded", "--out", "fetched.safetensors"]);
    place.ok(&["train", "small.toml", "--out", "alone"]);
    assert!(place.read("fetched.safetensors") == place.read("alone/model.safetensors"));
}

#[test]
fn only_the_token_opens() {
    let place = Place::with_small();
    let right = secret(&place, "right", TOKEN);
    let wrong = secret(&place, "wrong", OTHER);
    let (_coordinator, url) = coordinator(&place, &["--token-file", &right]);
    let worker = ["worker", "--coordinator", &url, "--name", "w"];
    let list = ["run", "list", "--coordinator", &url];
    let refused: [&[&str]; 2] = [&[], &["--token-file", &wrong]];
    for credentials in refused {
        // The worker does not dial for ever: what is wrong will not mend itself.
        place.snel(&[&worker[..], credentials].concat()).refuses(70, &["token"]);
        place.snel(&[&list[..], credentials].concat()).refuses(2, &["--token-file"]);
    }
    trains(&place, &url, &["--token-file", &right]);
}

#[test]
fn only_certificates_of_the_authority_open() {
    let place = Place::with_small();
    authority(&place, "ours");
    authority(&place, "theirs");
    let server = ["--tls-cert", "ours-server.pem", "--tls-key", "ours-server.key"];
    let checks = ["--tls-client-ca", "ours-ca.pem", "--http", "127.0.0.1:0"];
    let args = ["coordinator", "--dir", "runs", "--listen", "127.0.0.1:0"];
    let mut served = Kept(place.start(&[&args[..], &server, &checks].concat()));
    let mut lines = BufReader::new(served.0.stdout.take().unwrap()).lines();
    let mut port = || lines.next().unwrap().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let (grpc, http) = (port(), port());
    let url = format!("https://localhost:{grpc}");

    let list = ["run", "list", "--coordinator", &url];
    let refused: [&[&str]; 4] = [
        // An authority that did not sign the coordinator's certificate.
        &[
            "--tls-ca",
            "theirs-ca.pem",
            "--tls-cert",
            "ours-worker.pem",
            "--tls-key",
            "ours-worker.key",
        ],
        // No certificate, and one of another authority.
        &["--tls-ca", "ours-ca.pem"],
        &[
            "--tls-ca",
            "ours-ca.pem",
            "--tls-cert",
            "theirs-worker.pem",
            "--tls-key",
            "theirs-worker.key",
        ],
        // A key that is not the certificate's.
        &[
            "--tls-ca",
            "ours-ca.pem",
            "--tls-cert",
            "ours-worker.pem",
            "--tls-key",
            "theirs-worker.key",
        ],
    ];
    for credentials in refused {
        let output = place.snel(&[&list[..], credentials].concat());
        assert!(matches!(output.code, 2 | 75), "{credentials:?}: {output:?}");
        assert!(output.stderr.contains("error: "), "{credentials:?}: {output:?}");
        let worker = ["worker", "--coordinator", &url, "--name", "w", "--give-up-s", "0"];
        let output = place.snel(&[&worker[..], credentials].concat());
        assert!(matches!(output.code, 2 | 75), "{credentials:?}: {output:?}");
    }
    let plain = format!("http://localhost:{grpc}");
    let output = place.snel(&["run", "list", "--coordinator", &plain]);
    assert_eq!(output.code, 75, "{output:?}");

    let ours = [
        "--tls-ca",
        "ours-ca.pem",
        "--tls-cert",
        "ours-worker.pem",
        "--tls-key",
        "ours-worker.key",
    ];
    trains(&place, &url, &ours);

    // What is watched over HTTP is guarded by the same files.
    let answer = https(&place, &http, Some("ours")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("snel_"), "{answer}");
    assert!(https(&place, &http, Some("theirs")).is_none());
    assert!(https(&place, &http, None).is_none());
}

/// Asks for the metrics over TLS, with a certificate of `who`.
fn https(place: &Place, port: &str, who: Option<&str>) -> Option<String> {
    let certificate = |name: &Path| CertificateDer::from_pem_file(name).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&place.path("ours-ca.pem"))).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match who {
        None => config.with_no_client_auth(),
        Some(who) => {
            let chain = vec![certificate(&place.path(&format!("{who}-worker.pem")))];
            let key = PemObject::from_pem_file(place.path(&format!("{who}-worker.key"))).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(_) => Some(answer),
        Err(_) => None,
    }
}
