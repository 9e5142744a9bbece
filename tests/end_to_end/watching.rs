//! A coordinator as those see it who watch it over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{Kept, worker};
use crate::snel::Place;

/// A coordinator on free ports, its URL, and its HTTP address.
fn watched(place: &Place) -> (Kept, String, String) {
    let args = ["coordinator", "--dir", "runs", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut child = place.start(&args);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let (grpc, http) = (line(), line());
    (Kept(child), format!("http://{grpc}"), http)
}

fn ask(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    stream
}

fn get(address: &str, path: &str) -> String {
    let mut answer = String::new();
    ask(address, path).read_to_string(&mut answer).unwrap();
    answer
}

/// The value of a sample, by its name and labels; none if it is not there.
fn sample(address: &str, name: &str) -> Option<f64> {
    let text = get(address, "/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_death_shows_in_metrics_and_on_the_page() {
    let place = Place::with_small();
    let (coordinator, url, http) = watched(&place);
    assert!(get(&http, "/ready").starts_with("HTTP/1.1 200"));
    let _one = worker(&place, &url, "one");
    let two = worker(&place, &url, "<script>two");
    let long = ["--set", "train.steps=1000000", "--set", "train.valid_every=100"];
    let submit = ["run", "submit", "small.toml", "--name", "rings", "--coordinator", &url];
    place.ok(&[&submit[..], &long].concat());
    let active = || sample(&http, "snel_workers{run=\"rings\",state=\"active\"}");
    until("a run of two workers", || active() == Some(2.0));
    let steps = || sample(&http, "snel_steps_total{run=\"rings\"}").unwrap();
    until("a validation", || steps() > 200.0);
    drop(two);
    let recoveries = || sample(&http, "snel_recoveries_total{run=\"rings\"}");
    until("a recovery", || recoveries() == Some(1.0));
    assert_eq!(active(), Some(1.0));
    let whole = sample(&http, "snel_recovery_seconds_sum{run=\"rings\"}").unwrap();
    let part = |phase| {
        let name = format!("snel_recovery_phase_seconds_total{{run=\"rings\",phase=\"{phase}\"}}");
        sample(&http, &name).unwrap()
    };
    let parts = ["compute", "reduce", "vote"].map(part).iter().sum::<f64>();
    // They are read at different moments within a commit.
    assert!((parts - whole).abs() < 0.01, "{parts} {whole}");
    let goodput = sample(&http, "snel_goodput_ratio{run=\"rings\"}").unwrap();
    assert!(goodput > 0.0 && goodput <= 1.0, "{goodput}");
    let page = get(&http, "/");
    assert!(page.contains("&lt;script&gt;two: its connection is gone"), "{page}");
    assert!(!page.contains("<script>two"));
    draws_in_a_browser(&http);
    drop(coordinator);
}

/// What a real browser makes of the page, where there is one.
fn draws_in_a_browser(http: &str) {
    let address = with_short_events(http.to_owned());
    // Five seconds of the page's time, which passes faster than that.
    let usual = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"];
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|name| {
        let mut command = Command::new("timeout");
        command.args(["60", name]).args(usual).args(["--dump-dom", &format!("http://{address}/")]);
        command.stderr(Stdio::null()).output().ok().filter(|output| output.status.success())
    });
    let Some(output) = browser else {
        println!("skipped: no Chromium here, so the page was not drawn");
        return;
    };
    let dom = String::from_utf8(output.stdout).unwrap();
    for words in ["aria-label=\"Bounds up to step", "1 times lost", "data-worker=\"one\""] {
        assert!(dom.contains(words), "{words}: {dom}");
    }
    assert!(!dom.contains("<script>two"), "{dom}");
}

/// The server at `http`, but for events that end after a second: a browser that is to print what it
/// shows waits for all answers first.
fn with_short_events(http: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let http = http.clone();
            std::thread::spawn(move || {
                let mut request = String::new();
                let _ = BufReader::new(&client).read_line(&mut request);
                let path = request.split(' ').nth(1).unwrap_or("/");
                let mut server = ask(&http, path);
                let end = Instant::now() + Duration::from_secs(1);
                let mut piece = [0; 1 << 13];
                while let Ok(n @ 1..) = server.read(&mut piece) {
                    let _ = client.write_all(&piece[..n]);
                    if path == "/events" && Instant::now() > end {
                        break;
                    }
                }
            });
        }
    });
    address
}
