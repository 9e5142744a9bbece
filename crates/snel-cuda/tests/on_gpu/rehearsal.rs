//! Worlds without a GPU: that ranks find each other, and that their ends are seen.

use std::thread;
use std::time::Duration;

use crate::board::Board;
use crate::task::Task;
use crate::world::World;

/// To start a few processes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_note_is_waited_for_and_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let board = Board::at(folder.path());
    let long = vec![7; 1 << 20];
    let reader = thread::spawn({
        let board = board.clone();
        move || board.read("note", PATIENCE)
    });
    thread::sleep(Duration::from_millis(20));
    board.post("note", &long);
    assert!(reader.join().unwrap().unwrap() == long);
    let error = board.read("other", Duration::from_millis(20)).unwrap_err();
    assert_eq!(error, "no note other within 20ms");
}

#[test]
fn ranks_get_the_id_of_rank_0_and_can_be_killed() {
    let id: Vec<u8> = (0..128).collect();
    for size in [1, 2, 4] {
        let mut world = World::start(size, &Task::Meet.name());
        for rank in 0..size {
            assert_eq!(world.hear(rank, "id", PATIENCE).unwrap(), format!("{id:?}"), "{rank}");
        }
        for rank in 0..size - 1 {
            world.end(rank, PATIENCE).unwrap();
        }
        let alive = world.end(size - 1, Duration::from_millis(50)).unwrap_err();
        assert!(alive.contains("did not end within 50ms"), "{alive}");
        world.kill(size - 1);
        assert!(world.end(size - 1, PATIENCE).unwrap_err().contains("ended with signal"));
    }
}

#[test]
fn a_rank_that_fails_is_heard_with_its_words() {
    let mut world = World::start(1, &Task::Fail.name());
    let error = world.hear(0, "digest", PATIENCE).unwrap_err();
    assert!(error.contains("and no digest") && error.contains("as it was told"), "{error}");
    let error = world.end(0, PATIENCE).unwrap_err();
    assert!(error.starts_with("rank 0 ended with exit status: 101"), "{error}");
}
