//! A world of ranks that are processes: this test binary, started again for each.
//!
//! A rank is told by its environment who it is and what to do; see `member.rs`. What it has to say
//! it says on the world's board, and what it prints goes to a file beside.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use snel_cuda::nccl::{Place, UniqueId};
use tempfile::TempDir;

use crate::board::Board;

/// The test that a member is.
const MEMBER: &str = "member::member";
const TASK: &str = "SNEL_WORLD_TASK";
const RANK: &str = "SNEL_WORLD_RANK";
const WORLD: &str = "SNEL_WORLD_SIZE";
const BOARD: &str = "SNEL_WORLD_BOARD";

/// What NCCL is told, unless the environment says otherwise: that ranks may share a GPU; to take
/// little of it, as all their kernels must find room at once; and that all are on one machine.
const NCCL: [(&str, &str); 5] = [
    ("NCCL_MULTI_RANK_GPU_ENABLE", "1"),
    ("NCCL_MAX_CTAS", "1"),
    ("NCCL_SOCKET_IFNAME", "lo"),
    ("NCCL_IB_DISABLE", "1"),
    ("NCCL_DEBUG", "WARN"),
];

/// The processes. Those that still run are killed when it is dropped.
pub(crate) struct World {
    members: Vec<Child>,
    board: Board,
    _folder: TempDir,
}

impl World {
    pub(crate) fn start(size: u32, task: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let board = Board::at(folder.path());
        let members = (0..size).map(|rank| start(task, Place { rank, world: size }, &board));
        Self { members: members.collect(), board: board.clone(), _folder: folder }
    }

    /// What rank `rank` says under `name`; an error if it ends before, or takes too long.
    pub(crate) fn hear(
        &mut self,
        rank: u32,
        name: &str,
        patience: Duration,
    ) -> Result<String, String> {
        let (note, start) = (note(rank, name), Instant::now());
        loop {
            let ended = self.members[rank as usize].try_wait().unwrap();
            // In this order, so that what a member says last is heard.
            if let Some(text) = self.board.look(&note) {
                return Ok(String::from_utf8(text).unwrap());
            }
            if let Some(status) = ended {
                return Err(self.blame(rank, &format!("ended with {status} and no {name}")));
            }
            if start.elapsed() > patience {
                return Err(self.blame(rank, &format!("did not say {name} within {patience:?}")));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills rank `rank`, as a machine dies: it does nothing any more.
    pub(crate) fn kill(&mut self, rank: u32) {
        let member = &mut self.members[rank as usize];
        member.kill().unwrap();
        assert!(!member.wait().unwrap().success());
    }

    /// Waits until rank `rank` has ended well.
    pub(crate) fn end(&mut self, rank: u32, patience: Duration) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < patience {
            match self.members[rank as usize].try_wait().unwrap() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.blame(rank, &format!("ended with {status}"))),
                None => thread::sleep(Duration::from_millis(2)),
            }
        }
        Err(self.blame(rank, &format!("did not end within {patience:?}")))
    }

    /// With what it has printed.
    fn blame(&self, rank: u32, what: &str) -> String {
        let log = fs::read_to_string(self.board.folder().join(log(rank))).unwrap_or_default();
        format!("rank {rank} {what}; it printed:\n{log}")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

/// A member's place in its world, and what it is to do there.
pub(crate) struct Seat {
    pub(crate) task: String,
    pub(crate) place: Place,
    board: Board,
}

impl Seat {
    /// This process's, if it is a member.
    pub(crate) fn of_this_process() -> Option<Self> {
        let said = |name: &str| std::env::var(name).ok();
        let number = |name: &str| {
            let text = said(name)?;
            Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}, not a number")))
        };
        let place = Place { rank: number(RANK)?, world: number(WORLD)? };
        Some(Self { task: said(TASK)?, place, board: Board::at(said(BOARD)?.as_ref()) })
    }

    /// Says `text` under `name`.
    pub(crate) fn say(&self, name: &str, text: &str) {
        self.board.post(&note(self.place.rank, name), text.as_bytes());
    }

    /// The unique id of the `round`-th communicator, which rank 0 makes.
    pub(crate) fn unique_id(&self, round: u32, make: impl FnOnce() -> UniqueId) -> UniqueId {
        let name = format!("id-{round}");
        if self.place.rank == 0 {
            self.board.post(&name, &make().to_bytes());
        }
        let bytes = self.board.read(&name, Duration::from_mins(1)).unwrap();
        UniqueId::from_bytes(bytes.try_into().unwrap())
    }
}

fn start(task: &str, place: Place, board: &Board) -> Child {
    let output = File::create(board.folder().join(log(place.rank))).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([MEMBER, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(TASK, task)
        .env(RANK, place.rank.to_string())
        .env(WORLD, place.world.to_string())
        .env(BOARD, board.folder())
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    for (name, value) in NCCL {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command.spawn().unwrap()
}

fn note(rank: u32, name: &str) -> String {
    format!("rank-{rank}-{name}")
}

fn log(rank: u32) -> String {
    format!("rank-{rank}.log")
}
