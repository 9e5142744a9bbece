//! The real server over a source that is made up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use snel_train::metrics::{Record, StepRecord, ValidationRecord, Weighed};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::coordinator::journal::{Journal, Kind};
use crate::coordinator::tallies::Tallies;
use crate::security::Settings;
use crate::watching::curves::Curves;
use crate::watching::readiness::Ready;
use crate::watching::state::{RunState, State, WorkerState};
use crate::watching::{Readiness, Source, metrics, page, serve, shown};

const HOSTILE: &str = "</script></style><script>x</script>\"'><img onerror=y>\\\n";

/// A run and a worker, all of whose texts are the same.
struct Fake {
    text: String,
    journal: Journal,
}

impl Fake {
    fn new(text: &str) -> Arc<Self> {
        let fake = Self { text: text.to_owned(), journal: Journal::default() };
        fake.journal.happened(text, Kind::Note, text.to_owned());
        Arc::new(fake)
    }
}

fn validation() -> ValidationRecord {
    ValidationRecord {
        step: 40,
        lower: -2.5,
        upper: -2.25,
        ess_fraction: 0.5,
        log_z: f64::NAN,
        b: 0.0,
        best: true,
        interval: None,
        spent: None,
        energy_error: None,
        log_z_error: None,
    }
}

impl Source for Fake {
    fn state(&self) -> State {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let mut tallies = Tallies::default();
        tallies.assigned(at(0));
        tallies.summing(at(700));
        tallies.sum_sent(at(800));
        tallies.lost(Duration::from_millis(30));
        tallies.recovered(Duration::from_millis(100), at(1000));
        tallies.decided(false, at(1000));
        tallies.received = 5;
        let text = || self.text.clone();
        let run = RunState {
            name: text(),
            phase: "running",
            step: 1234,
            steps: 5000,
            step_ms: 2.5,
            workers: vec![text()],
            recoveries: 1,
            last_recovery_ms: 100.0,
            error: Some(text()),
            validation: Some(validation()),
            tallies,
            ..RunState::default()
        };
        let worker = WorkerState {
            name: text(),
            host: text(),
            state: "active".to_owned(),
            run: text(),
            threads: 3,
            chunks_per_second: 1500.0,
            silent_ms: 7,
        };
        let (runs, workers) = (vec![run], vec![worker]);
        State { incarnation: 3, version: "0", now_ms: 86_399_000, runs, workers }
    }

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn curves(&self, _: &str) -> Curves {
        Curves { validations: vec![validation()], ess: vec![(10, 0.25)] }
    }
}

/// A server that ends with the test.
struct Server {
    address: std::net::SocketAddr,
    ready: Option<Ready>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

async fn server(source: Arc<Fake>, settings: &Settings) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let security = settings.server(address, |_| ()).unwrap();
    let readiness = Readiness::default();
    let ready = Some(readiness.hold());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        serve(listener, &security, source, readiness, stopped).await.unwrap();
    });
    Server { address, ready, stop: Some(stop), task }
}

impl Server {
    async fn ask(&self, path: &str, header: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The status, the head and the body of an answer.
    async fn get_with(&self, path: &str, header: &str) -> (StatusCode, String, String) {
        let mut answer = String::new();
        self.ask(path, header).await.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (StatusCode, String, String) {
        self.get_with(path, "").await
    }
}

#[tokio::test]
async fn every_route_answers() {
    let server = server(Fake::new("rings"), &Settings::default()).await;
    for (path, kind, words) in [
        ("/live", "text/plain", "live"),
        ("/ready", "text/plain", "ready"),
        ("/metrics", "application/openmetrics-text", "snel_steps_total{run=\"rings\"} 1234\n"),
        ("/state.json", "application/json", "\"step\":1234"),
        ("/", "text/html", "1\u{202f}234 of 5\u{202f}000 steps, 24.7 %"),
    ] {
        let (status, head, body) = server.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(body.contains(words), "{path}: {body}");
    }
    assert_eq!(server.get("/nothing").await.0, StatusCode::NOT_FOUND);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(post).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn state_holds_the_past_and_null_for_what_is_no_number() {
    let server = server(Fake::new("rings"), &Settings::default()).await;
    let state: serde_json::Value =
        serde_json::from_str(&server.get("/state.json").await.2).unwrap();
    let run = &state["runs"][0];
    assert_eq!(run["curves"]["validations"][0]["lower"], -2.5);
    assert!(run["curves"]["validations"][0]["log_z"].is_null());
    assert_eq!(run["curves"]["ess"][0], serde_json::json!([10, 0.25]));
    assert_eq!(run["shown"]["lower"], "\u{2212}2.5000");
    assert!((run["goodput"].as_f64().unwrap() - 0.9).abs() < 1e-9);
    assert_eq!(state["workers"][0]["shown"]["speed"], "1\u{202f}500");
    assert_eq!(state["happenings"][0]["kind"], "note");
}

#[tokio::test]
async fn without_the_token_only_probes_get_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "0123456789abcdef").unwrap();
    let settings = Settings { token_file: Some(path), ..Settings::default() };
    let server = server(Fake::new("rings"), &settings).await;
    for path in ["/live", "/ready"] {
        assert_eq!(server.get(path).await.0, StatusCode::OK, "{path}");
    }
    let wrong = [
        "",
        "authorization: Bearer 0123456789abcdeF\r\n",
        "authorization: Basic Og==\r\n",
        // x:0123456789abcde
        "authorization: Basic eDowMTIzNDU2Nzg5YWJjZGU=\r\n",
    ];
    for path in ["/", "/metrics", "/state.json", "/events", "/nothing"] {
        for header in wrong {
            let (status, head, body) = server.get_with(path, header).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {header}");
            assert!(head.to_lowercase().contains("www-authenticate: basic"), "{head}");
            assert!(!body.contains("rings"), "{body}");
        }
    }
    // x:0123456789abcdef
    let right = ["Bearer 0123456789abcdef", "Basic eDowMTIzNDU2Nzg5YWJjZGVm"];
    for header in right.map(|right| format!("authorization: {right}\r\n")) {
        for path in ["/", "/metrics", "/state.json"] {
            assert_eq!(server.get_with(path, &header).await.0, StatusCode::OK, "{path} {header}");
        }
        assert_eq!(server.get_with("/nothing", &header).await.0, StatusCode::NOT_FOUND);
    }
}

fn step_record(step: u64) -> Record {
    Record::Step(StepRecord {
        step,
        weighed: Some(Weighed { bound: -2.0, log_z: 0.0, ess_fraction: 0.5 }),
        walked: None,
        b: 0.0,
        gradient_norm: 1.0,
        lr: 0.1,
        refused: 0,
        points_per_second: 1.0,
        seconds: 1.0,
    })
}

#[tokio::test]
async fn events_come_as_they_happen_and_end_with_the_server() {
    let source = Fake::new("rings");
    let mut server = server(source.clone(), &Settings::default()).await;
    let mut lines = BufReader::new(server.ask("/events", "").await).lines();
    let mut until = async |words: &str| loop {
        let line = timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap();
        match line {
            Some(line) if line.contains(words) => return Some(line),
            Some(_) => {}
            None => return None,
        }
    };
    until("event: state").await.unwrap();
    until("\"step\":1234").await.unwrap();
    source.journal.record("rings", step_record(77));
    until("event: record").await.unwrap();
    let data = until("data: ").await.unwrap();
    let data: serde_json::Value = serde_json::from_str(&data["data: ".len()..]).unwrap();
    assert_eq!((&data["run"], &data["record"]["step"]), (&"rings".into(), &77.into()));
    source.journal.happened("rings", Kind::Recovery, "two\nlines".to_owned());
    until("event: happening").await.unwrap();
    until("two\\nlines").await.unwrap();
    drop(server.ready.take());
    assert_eq!(server.get("/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.get("/live").await.0, StatusCode::OK);
    assert_eq!(until("no such line").await, None, "the stream ends");
    server.stop.take().unwrap().send(()).unwrap();
    timeout(Duration::from_secs(20), server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_idles_does_not_hold_up_the_end() {
    let mut server = server(Fake::new("rings"), &Settings::default()).await;
    let _idle = TcpStream::connect(server.address).await.unwrap();
    let _reading = server.ask("/events", "").await;
    // Without dropping `ready`: a stream that goes on.
    server.stop.take().unwrap().send(()).unwrap();
    timeout(Duration::from_secs(20), server.task).await.unwrap().unwrap();
}

fn page_of(text: &str) -> String {
    page::html(&shown::Document::with_past(&*Fake::new(text)))
}

#[test]
fn hostile_names_stay_text() {
    let page = page_of(HOSTILE);
    // Markup is what harmless names give, to the last tag.
    assert_eq!(page.matches('<').count(), page_of("harmless").matches('<').count());
    assert!(!page.contains("<script>x") && !page.contains("<img"), "{page}");
    assert!(page.contains("&lt;script&gt;x"));
}

#[test]
fn the_page_asks_no_other_host() {
    let page = page_of("x").replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "src=", "@import", "url(", "innerHTML", "eval("] {
        assert!(!page.contains(word), "{word}");
    }
    assert_eq!(page.matches("href=").count(), 1, "the icon that is none");
    let policy = page::policy();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}

/// What a strict reader of the text format makes of a line: name, labels, value.
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = line.find(|c| !word(c)).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, after) = rest.split_once("=\"").unwrap();
            assert!(!key.is_empty() && key.chars().all(word), "{line}");
            let (mut value, mut chars) = (String::new(), after.chars());
            loop {
                match chars.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(match chars.next().unwrap() {
                        'n' => '\n',
                        c @ ('\\' | '"') => c,
                        c => panic!("\\{c} in {line}"),
                    }),
                    c => value.push(c),
                }
            }
            labels.push((key.to_owned(), value));
            rest = chars.as_str();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    let value = rest.strip_prefix(' ').unwrap();
    (name.to_owned(), labels, value.parse().unwrap())
}

#[test]
fn metrics_are_what_a_strict_reader_takes() {
    let text = metrics::text(&Fake::new(HOSTILE).state()).unwrap();
    assert!(text.ends_with("# EOF\n"));
    let mut families: Vec<(String, String)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let (mut help, mut buckets, mut hostile) = (String::new(), Vec::new(), 0);
    for line in text.lines().take_while(|line| *line != "# EOF") {
        if let Some(told) = line.strip_prefix("# HELP ") {
            let (name, words) = told.split_once(' ').unwrap();
            assert!(words.len() > 10, "{line}");
            assert!(!words.ends_with(".."), "{line}");
            name.clone_into(&mut help);
        } else if let Some(told) = line.strip_prefix("# TYPE ") {
            let (name, kind) = told.split_once(' ').unwrap();
            assert_eq!(name, help, "HELP comes first");
            assert!(families.iter().all(|(known, _)| known != name), "{name} twice");
            families.push((name.to_owned(), kind.to_owned()));
        } else {
            let (name, labels, value) = sample(line);
            let (family, kind) = families.last().unwrap();
            let suffixes: &[&str] = match &**kind {
                "gauge" => &[""],
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("{other}"),
            };
            assert!(suffixes.iter().any(|s| format!("{family}{s}") == name), "{line}");
            assert!(value >= 0.0 && value.is_finite(), "{line}");
            hostile += labels.iter().filter(|(_, value)| value == HOSTILE).count();
            if name.ends_with("_bucket") {
                let le = &labels.iter().find(|(key, _)| key == "le").unwrap().1;
                buckets.push((le.parse::<f64>().unwrap(), value));
            }
            assert!(seen.insert((name, labels)), "{line} twice");
        }
    }
    assert!(hostile > 20, "{hostile}");
    assert!(buckets.is_sorted(), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1.0)));
    for name in [
        "snel_steps",
        "snel_step_seconds",
        "snel_epoch",
        "snel_workers",
        "snel_worker_chunks_per_second",
        "snel_recoveries",
        "snel_recovery_seconds",
        "snel_recovery_phase_seconds",
        "snel_goodput_ratio",
        "snel_step_phase_seconds",
        "snel_bytes",
        "snel_digest_mismatches",
        "snel_runs",
        "snel_coordinator_incarnation",
    ] {
        assert!(families.iter().any(|(known, _)| known == name), "{name}");
    }
}
