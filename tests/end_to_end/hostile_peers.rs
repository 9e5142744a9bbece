//! Peers that lie, stutter or speak nonsense: refused with a status, said once, and the run beside
//! them ends with the bytes it should.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use snel_core::chunks::ChunkSet;
use snel_core::partial::{FIRST_SCALE, Partial, Side, Sums};
use snel_core::statistics::Tally;
use snel_proto::v1;
use snel_proto::v1::work_request::Message as Out;
use snel_proto::v1::work_response::Message as In;
use snel_proto::v1::work_service_client::WorkServiceClient;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::cluster::{coordinator, worker};
use crate::snel::Place;

/// A worker by the wire, that says what the test wants.
struct Liar {
    runtime: Runtime,
    requests: mpsc::Sender<v1::WorkRequest>,
    responses: Streaming<v1::WorkResponse>,
}

impl Liar {
    /// Dials and says the first thing.
    fn dial(url: &str, first: Out) -> Result<Self, Status> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let (requests, rx) = mpsc::channel(64);
        requests.try_send(v1::WorkRequest { message: Some(first) }).unwrap();
        let responses = runtime.block_on(async {
            let mut client = WorkServiceClient::connect(url.to_owned()).await.unwrap();
            client.work(ReceiverStream::new(rx)).await
        })?;
        // A liar, but alive.
        let beats = requests.clone();
        runtime.spawn(async move {
            let beat = || v1::WorkRequest { message: Some(Out::Beat(v1::Beat::default())) };
            while beats.send(beat()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Ok(Self { runtime, requests, responses: responses.into_inner() })
    }

    fn hello(url: &str, name: &str) -> Result<Self, Status> {
        let (name, version) = (name.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Self::dial(url, Out::Hello(v1::Hello { name, version, ..v1::Hello::default() }))
    }

    fn say(&self, message: Out) {
        let _ = self.requests.try_send(v1::WorkRequest { message: Some(message) });
    }

    fn hear(&mut self) -> Result<In, Status> {
        let next = async { self.responses.message().await };
        let message = self.runtime.block_on(next)?;
        Ok(message.and_then(|m| m.message).unwrap()) // a status, not a silent end
    }

    /// The status that ends the conversation.
    fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.hear() {
                return status;
            }
        }
    }

    /// Gets as far as being asked for the chunks of its run, with a model of two parameters.
    fn until_compute(&mut self) -> v1::Compute {
        loop {
            match self.hear().unwrap() {
                In::Assignment(assignment) => self.say(Out::Prepared(v1::Prepared {
                    run: assignment.run,
                    parameters: 2,
                    chunks: 3,
                    problem: "lie".to_owned(),
                    fingerprint: "lie".to_owned(),
                    ..v1::Prepared::default()
                })),
                In::Start(start) => self.say(Out::Arrived(v1::Arrived {
                    run: start.run,
                    round: Some(v1::Round::default()),
                    ..v1::Arrived::default()
                })),
                In::Compute(compute) => return compute,
                _ => {}
            }
        }
    }
}

/// A frame with sums over `parameters` of all three chunks.
fn partial(parameters: usize) -> v1::Frame {
    partial_of(parameters, 3)
}

/// The same of the first `chunks` of them.
fn partial_of(parameters: usize, chunks: u32) -> v1::Frame {
    let mut sums = Sums::new(parameters, FIRST_SCALE, 3, false);
    sums.add_chunk(Side::Rows, &vec![1.0; parameters], &Tally::default());
    let mut partial = Partial::new(parameters, FIRST_SCALE, 3, false);
    partial.add(&ChunkSet::of(0..chunks), &sums).unwrap();
    let mut data = Vec::new();
    partial.write_to(&mut data);
    v1::Frame {
        run: "lied-to".to_owned(),
        round: Some(v1::Round::default()),
        last: true,
        checksum: crc32c::crc32c(&data),
        data: data.into(),
        digest: vec![0; 16].into(),
        ..v1::Frame::default()
    }
}

/// Its name, what it says, and the status that it hears.
type Lie = (&'static str, fn(&Liar), Code);

const LIES: [Lie; 7] = [
    ("hello again", |l| l.say(Out::Hello(v1::Hello::default())), Code::FailedPrecondition),
    ("wrong length", |l| l.say(Out::Partial(partial(5))), Code::InvalidArgument),
    (
        "damaged frame",
        |l| {
            let frame = partial(2);
            l.say(Out::Partial(v1::Frame { checksum: !frame.checksum, ..frame }));
        },
        Code::DataLoss,
    ),
    (
        "frame out of order",
        |l| l.say(Out::Partial(v1::Frame { sequence: 7, ..partial(2) })),
        Code::DataLoss,
    ),
    (
        "endless body",
        |l| {
            let data = vec![0; 1 << 20];
            let checksum = crc32c::crc32c(&data);
            let data: bytes::Bytes = data.into();
            for sequence in 0..8 {
                let frame =
                    v1::Frame { sequence, last: false, checksum, data: data.clone(), ..partial(2) };
                l.say(Out::Partial(frame));
            }
        },
        Code::DataLoss,
    ),
    (
        "garbage for sums",
        |l| {
            let data: bytes::Bytes = vec![0xa5; 999].into();
            let checksum = crc32c::crc32c(&data);
            l.say(Out::Partial(v1::Frame { data, checksum, ..partial(2) }));
        },
        Code::InvalidArgument,
    ),
    (
        "sums that nobody asked for",
        |l| {
            l.say(Out::Partial(partial(2)));
            l.say(Out::Partial(partial(2))); // twice is harmless
            l.say(Out::Partial(partial_of(2, 1)));
        },
        Code::FailedPrecondition,
    ),
];

#[test]
fn nobody_else_is_disturbed() {
    let place = Place::with_small();
    let long = ["--set", "train.steps=2000", "--set", "train.valid_every=500"];
    place.ok(&[&["train", "small.toml", "--out", "run"], &long[..]].concat());
    let (mut served, url) = coordinator(&place, &["--failure-budget-ms", "300"]);
    let submit = |name: &str| {
        let submit = ["run", "submit", "small.toml", "--name", name, "--workers", "1"];
        place.ok(&[&submit[..], &["--coordinator", &url], &long].concat());
    };
    submit("honest");
    let _honest = worker(&place, &url, "honest");
    submit("lied-to");

    // Bytes that are no HTTP at all.
    let address = url.strip_prefix("http://").unwrap();
    for length in [0, 1, 100, 100_000] {
        let mut stream = TcpStream::connect(address).unwrap();
        let noise: Vec<u8> =
            (0..length).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let _ = stream.write_all(&noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0; 64]);
    }

    // Those who do not introduce themselves properly.
    let code = |result: Result<Liar, Status>| result.err().unwrap().code();
    assert_eq!(code(Liar::dial(&url, Out::Leave(v1::Leave {}))), Code::InvalidArgument);
    assert_eq!(code(Liar::hello(&url, "")), Code::InvalidArgument);
    assert_eq!(code(Liar::hello(&url, "honest")), Code::Unavailable, "the name is taken");
    let old = v1::Hello { name: "old".to_owned(), ..v1::Hello::default() };
    assert_eq!(code(Liar::dial(&url, Out::Hello(old))), Code::FailedPrecondition);

    // Each of these takes part in the second run until it lies.
    for (name, lie, code) in LIES {
        let mut liar = Liar::hello(&url, name).unwrap();
        let compute = liar.until_compute();
        assert_eq!(compute.chunks, [v1::ChunkRange { start: 0, end: 3 }]);
        lie(&liar);
        let status = liar.end();
        assert_eq!(status.code(), code, "{name}: {status:?}");
    }
    // A message larger than any that is allowed.
    let mut liar = Liar::hello(&url, "too large").unwrap();
    let text = "x".repeat(8 << 20);
    liar.say(Out::Note(v1::Note { run: String::new(), text }));
    liar.end();

    let show = ["run", "watch", "honest", "--coordinator", &url];
    place.ok(&show);
    assert!(place.read("runs/honest/model.safetensors") == place.read("run/model.safetensors"));
    // Each fault was said, and once.
    let _ = served.0.kill();
    let mut said = String::new();
    served.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    for name in ["wrong length", "damaged frame", "sums that nobody asked for", "old"] {
        let times = said.matches(&format!("worker {name}: ")).count();
        assert_eq!(times, 1, "{name} in\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}
