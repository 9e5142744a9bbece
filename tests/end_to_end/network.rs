//! A bad network between coordinator and workers: connections that are cut, and slow ones.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cluster::{coordinator, worker};
use crate::snel::Place;

/// Passes bytes on, until it is told to cut.
struct Proxy {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    /// Milliseconds that each piece waits.
    delay: Arc<AtomicU64>,
}

impl Proxy {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(Mutex::new(Vec::new()));
        let delay = Arc::new(AtomicU64::new(0));
        let (kept, wait) = (open.clone(), delay.clone());
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(&target)) else { continue };
                let both = [near, far];
                both.iter().for_each(|stream| stream.set_nodelay(true).unwrap());
                for (from, to) in [(0, 1), (1, 0)] {
                    let (mut from, mut to) =
                        (both[from].try_clone().unwrap(), both[to].try_clone().unwrap());
                    let wait = wait.clone();
                    std::thread::spawn(move || {
                        let mut piece = vec![0; 1 << 16];
                        while let Ok(n @ 1..) = from.read(&mut piece) {
                            std::thread::sleep(Duration::from_millis(wait.load(Ordering::Relaxed)));
                            if to.write_all(&piece[..n]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                kept.lock().unwrap().extend(both);
            }
        });
        Self { address, open, delay }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn cut_and_slow_connections_change_nothing() {
    let place = Place::with_small();
    let long = ["--set", "train.steps=1000", "--set", "train.valid_every=200"];
    place.ok(&[&["train", "small.toml", "--out", "run"], &long[..]].concat());
    let (_coordinator, url) = coordinator(&place, &["--failure-budget-ms", "500"]);
    let target = url.strip_prefix("http://").unwrap().to_owned();
    let proxies: Vec<Proxy> = (0..3).map(|_| Proxy::to(target.clone())).collect();
    let _workers: Vec<_> = (0..3)
        .map(|i| worker(&place, &format!("http://{}", proxies[i].address), &format!("w{i}")))
        .collect();
    let submit = ["run", "submit", "small.toml", "--name", "r", "--coordinator", &url];
    place.ok(&[&submit[..], &long].concat());
    let show = ["run", "show", "r", "--json", "--coordinator", &url];
    let mut cuts = 0;
    for moment in 0.. {
        let run = place.ok(&show).json();
        if run["phase"] == "finished" {
            break;
        }
        assert!(["waiting", "running"].contains(&run["phase"].as_str().unwrap()), "{run}");
        let proxy = &proxies[moment % 3];
        match moment % 4 {
            0 | 2 => {
                proxy.cut();
                cuts += 1;
            }
            1 => proxy.delay.store(3, Ordering::Relaxed),
            _ => proxies.iter().for_each(|p| p.delay.store(0, Ordering::Relaxed)),
        }
        std::thread::sleep(Duration::from_millis(50 + 37 * (moment as u64 % 5)));
    }
    assert!(cuts > 3, "the run was too short to be disturbed");
    assert!(place.read("runs/r/model.safetensors") == place.read("run/model.safetensors"));
}
