use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::frame::{HEADER, LONGEST, MAGIC, seal};
use super::*;

fn opened(incarnation: u64) -> Entry {
    Entry::Opened { incarnation }
}

fn epoch(epoch: u64, members: &[&str]) -> Entry {
    Entry::Epoch { epoch, members: members.iter().map(|&m| m.to_owned()).collect() }
}

fn commit(step: u64, epoch: u64, digest: u128) -> Entry {
    Entry::Commit { step, attempt: 0, epoch, digest, refused: step == 1 }
}

fn ended(outcome: &str) -> Entry {
    Entry::Ended { outcome: outcome.to_owned() }
}

/// One of everything, and a step that is repeated.
fn entries() -> Vec<Entry> {
    vec![
        opened(1),
        epoch(1, &["a", "b"]),
        commit(0, 1, 7),
        commit(1, 1, u128::MAX),
        opened(2),
        Entry::Rewound { step: 1 },
        epoch(3, &["a \"\\\u{1b}\u{2003}"]),
        commit(1, 3, u128::MAX),
        ended("done"),
    ]
}

fn fold(entries: &[Entry]) -> Result<History, HistoryError> {
    let mut history = History::default();
    entries.iter().try_for_each(|entry| history.apply(entry))?;
    Ok(history)
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = [&[0; HEADER], payload].concat();
    seal(&mut frame);
    frame
}

fn frames(entries: &[Entry]) -> Vec<Vec<u8>> {
    entries.iter().map(|entry| frame(&serde_json::to_vec(entry).unwrap())).collect()
}

/// A record of `entries`.
fn whole(entries: &[Entry]) -> Vec<u8> {
    [MAGIC.to_vec(), frames(entries).concat()].concat()
}

fn parse(bytes: &[u8]) -> Result<History, RecordError> {
    History::from_bytes(Path::new("record"), bytes)
}

fn scratch() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record");
    (folder, path)
}

#[test]
fn what_is_appended_is_read() {
    let (_folder, path) = scratch();
    let (mut record, history) = Record::open(&path).unwrap();
    assert_eq!(history, History::default());
    for (i, entry) in entries().iter().enumerate() {
        record.append(entry).unwrap();
        assert_eq!(History::read(&path).unwrap(), fold(&entries()[..=i]).unwrap());
    }
    assert_eq!(fs::read(&path).unwrap(), whole(&entries()));
    drop(record);
    let (_record, history) = Record::open(&path).unwrap();
    assert_eq!(history, fold(&entries()).unwrap());
    assert_eq!((history.entries(), history.incarnation(), history.epoch()), (9, 2, 3));
    assert_eq!((history.next_step(), history.outcome(), history.torn()), (2, Some("done"), None));
    assert_eq!(
        (history.digest(0), history.digest(1), history.digest(2)),
        (Some(7), Some(u128::MAX), None)
    );
    assert_eq!(history.members(), ["a \"\\\u{1b}\u{2003}"]);
}

/// The format is a promise to records that are there already.
#[test]
fn bytes_are_as_documented() {
    let payload = br#"{"entry":"commit","step":1,"attempt":0,"epoch":2,"digest":"0000000000000000000000000000000a","refused":true}"#;
    assert_eq!(serde_json::to_vec(&commit(1, 2, 10)).unwrap(), payload);
    let sum = crc32c::crc32c(payload).to_le_bytes();
    let bytes = [b"snel record 1\n", &[payload.len() as u8, 0, 0, 0][..], &sum, payload].concat();
    assert_eq!(whole(&[commit(1, 2, 10)]), bytes);
    // The check value of CRC-32C.
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn a_record_cut_anywhere_opens_to_its_whole_entries() {
    let (_folder, path) = scratch();
    let bytes = whole(&entries());
    let mut ends = vec![MAGIC.len()];
    ends.extend(frames(&entries()).iter().scan(MAGIC.len(), |end, frame| {
        *end += frame.len();
        Some(*end)
    }));
    for cut in 0..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let (mut record, history) = Record::open(&path).unwrap();
        let kept = ends.iter().filter(|&&end| end <= cut).count().saturating_sub(1);
        let sound = if cut < MAGIC.len() { 0 } else { ends[kept] };
        let torn = Torn { at: sound as u64, bytes: (cut - sound) as u64 };
        assert_eq!(history.torn(), (cut > sound).then_some(torn));
        assert_eq!(history.entries(), kept as u64);
        // What is appended then follows them.
        record.append(&opened(9)).unwrap();
        let kept = [&entries()[..kept], &[opened(9)]].concat();
        assert_eq!(History::read(&path).unwrap(), fold(&kept).unwrap());
    }
}

#[test]
fn a_flipped_bit_is_refused_unless_it_is_in_the_last_entry() {
    let bytes = whole(&entries());
    let frames = frames(&entries());
    let mut start = MAGIC.len();
    for (i, frame) in frames.iter().enumerate() {
        for bit in 0..8 * frame.len() {
            let mut bytes = bytes.clone();
            bytes[start + bit / 8] ^= 1 << (bit % 8);
            match parse(&bytes) {
                Err(RecordError::Corrupt { at, .. }) => {
                    assert!(i + 1 < frames.len());
                    assert_eq!(at, start as u64);
                }
                Ok(history) => {
                    assert_eq!(i + 1, frames.len());
                    assert_eq!(history.entries(), i as u64);
                    assert!(history.torn().is_some());
                }
                Err(other) => panic!("{other}"),
            }
        }
        start += frame.len();
    }
    for bit in 0..8 * MAGIC.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(parse(&bytes), Err(RecordError::NotARecord { .. })));
    }
}

/// What is refused is left for someone to look at.
#[test]
fn a_refused_file_is_not_changed() {
    let (_folder, path) = scratch();
    let mut damaged = whole(&entries());
    damaged[MAGIC.len() + 12] ^= 1;
    for bytes in [damaged, b"# notes\n".to_vec(), whole(&[commit(3, 0, 0)])] {
        fs::write(&path, &bytes).unwrap();
        assert!(Record::open(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

/// A lost power supply can leave zeros, or the middle of what was written.
#[test]
fn tails_without_an_entry_are_torn() {
    let mut long = epoch(1, &["x"; 9]);
    if let Entry::Epoch { members, .. } = &mut long {
        members[0] = "y".repeat(LONGEST / 2);
    }
    let long = frame(&serde_json::to_vec(&long).unwrap());
    let zeros = vec![0; 4 * LONGEST];
    for tail in [&[0; 8][..], &[0; 5000], b"{}", &long[..LONGEST / 2], &long[100..], &zeros] {
        let bytes = [&whole(&entries()), tail].concat();
        let history = parse(&bytes).unwrap();
        assert_eq!(history.entries(), 9);
        assert_eq!(history.torn().map(|torn| torn.bytes), Some(tail.len() as u64));
        // Not if a sound entry follows.
        let bytes = [&bytes, &frame(b"{}")[..]].concat();
        assert!(matches!(parse(&bytes), Err(RecordError::Corrupt { .. })));
    }
    let bytes = [whole(&entries()), vec![0; 4 * LONGEST + 1]].concat();
    assert!(matches!(parse(&bytes), Err(RecordError::Corrupt { .. })), "too long for a tail");
}

#[test]
fn long_records_and_entries_are_read() {
    let (_folder, path) = scratch();
    let (mut record, _) = Record::open(&path).unwrap();
    let longest = |extra: usize| {
        let empty = serde_json::to_vec(&epoch(1, &[""])).unwrap().len();
        Entry::Epoch { epoch: 1, members: vec!["x".repeat(LONGEST - empty + extra)] }
    };
    for step in 0..12 {
        record.append(&longest(0)).unwrap();
        record.append(&commit(step, 1, 0)).unwrap();
    }
    let error = record.append(&longest(1)).unwrap_err();
    assert!(matches!(error, RecordError::TooLong { bytes, .. } if bytes == LONGEST + 1));
    record.append(&commit(12, 1, 0)).unwrap();
    let history = History::read(&path).unwrap();
    assert_eq!((history.entries(), history.next_step(), history.torn()), (25, 13, None));
}

#[test]
fn two_coordinators_cannot_share_a_record() {
    let (_folder, path) = scratch();
    let (mut record, _) = Record::open(&path).unwrap();
    record.append(&opened(1)).unwrap();
    let error = Record::open(&path).unwrap_err();
    assert!(matches!(error, RecordError::Locked { .. }), "{error}");
    assert_eq!(History::read(&path).unwrap().incarnation(), 1);
    // A handle is enough to keep the lock: what it syncs is this coordinator's.
    let handle = record.sync_handle().unwrap();
    record.sync().unwrap();
    drop(record);
    assert!(matches!(Record::open(&path), Err(RecordError::Locked { .. })));
    std::thread::spawn(move || handle.sync()).join().unwrap().unwrap();
    assert_eq!(Record::open(&path).unwrap().1.incarnation(), 1);
}

#[test]
fn files_that_are_not_there_or_not_records() {
    let (folder, path) = scratch();
    assert!(matches!(History::read(&path), Err(RecordError::Io { action: "open", .. })));
    let nowhere = folder.path().join("no/record");
    assert!(matches!(Record::open(&nowhere), Err(RecordError::Io { action: "open", .. })));
    for other in [&b"snel record 2\n"[..], b"{}", b"snel record 1 "] {
        assert!(matches!(parse(other), Err(RecordError::NotARecord { .. })));
    }
}

/// A checksum that is right says that it was written so: no tail, and no damage.
#[test]
fn entries_of_another_version_are_named() {
    for (payload, expected) in [
        (&br#"{"entry":"paused"}"#[..], "unknown variant `paused`"),
        (br#"{"entry":"rewound","step":1,"why":2}"#, "unknown field `why`"),
        (br#"{"entry":"rewound"}"#, "missing field `step`"),
        (br#"{"entry":"\u001b[31m"}"#, "unknown variant ` [31m`"),
        (br#"{"step":-1,"entry":"rewound"}"#, "invalid value"),
        (br#"{"entry":"commit","step":0,"epoch":0,"digest":"+000000000000000000000000000000a","refused":false}"#, "32 lower-case"),
        (br#"{"entry":"commit","step":0,"epoch":0,"digest":"0A","refused":false}"#, "32 lower-case"),
        (b"{\"\xff\":1}", "unicode"),
    ] {
        let bytes = [whole(&[opened(1)]), frame(payload)].concat();
        let error = parse(&bytes).unwrap_err();
        let RecordError::Entry { at, .. } = &error else { panic!("{error}") };
        assert_eq!(*at, whole(&[opened(1)]).len() as u64);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn impossible_histories_are_refused() {
    let rewound = |step| Entry::Rewound { step };
    let three = [opened(4), epoch(2, &["a"]), commit(0, 2, 10), commit(1, 2, 11), commit(2, 2, 12)];
    for (next, error) in [
        (vec![commit(2, 2, 12)], HistoryError::Step { expected: 3, found: 2 }),
        (vec![commit(4, 2, 0)], HistoryError::Step { expected: 3, found: 4 }),
        (vec![commit(u64::MAX, 2, 0)], HistoryError::Step { expected: 3, found: u64::MAX }),
        (vec![commit(3, 1, 0)], HistoryError::Epoch { current: 2, found: 1 }),
        (vec![commit(3, 5, 0), epoch(4, &[])], HistoryError::Epoch { current: 5, found: 4 }),
        (vec![opened(4)], HistoryError::Incarnation { current: 4, found: 4 }),
        (vec![rewound(4)], HistoryError::Rewind { step: 4, first: 0, last: 3 }),
        (
            vec![rewound(1), commit(1, 2, 11), commit(2, 2, 13)],
            HistoryError::Diverged { step: 2, was: 12, now: 13 },
        ),
        (
            // A second rewind forgets nothing.
            vec![rewound(1), commit(1, 2, 11), rewound(0), commit(0, 3, 10), commit(1, 3, 10)],
            HistoryError::Diverged { step: 1, was: 11, now: 10 },
        ),
        (vec![rewound(1), commit(2, 2, 12)], HistoryError::Step { expected: 1, found: 2 }),
        (vec![ended("failed"), commit(3, 2, 13)], HistoryError::Ended),
        (vec![ended("failed"), ended("done")], HistoryError::Ended),
    ] {
        let last = next.len() - 1;
        let mut history = fold(&[&three[..], &next[..last]].concat()).unwrap();
        let before = history.clone();
        assert_eq!(history.apply(&next[last]), Err(error));
        assert_eq!(history, before);
    }
    let (bytes, at) = (whole(&[opened(1), opened(1)]), whole(&[opened(1)]).len() as u64);
    let error = parse(&bytes).unwrap_err();
    assert!(matches!(&error, RecordError::History { at: found, .. } if *found == at), "{error}");
}

#[test]
fn a_run_may_begin_with_a_checkpoint_and_go_on_after_its_end() {
    let rewound = Entry::Rewound { step: 500 };
    let entries =
        [opened(1), rewound.clone(), commit(500, 0, 1), commit(501, 0, 2), ended("stopped")];
    let mut history = fold(&entries).unwrap();
    assert_eq!(
        (history.next_step(), history.digest(499), history.digest(501)),
        (502, None, Some(2))
    );
    assert_eq!(history.outcome(), Some("stopped"));
    for entry in [opened(2), rewound, commit(500, 0, 1), commit(501, 0, 2), commit(502, 0, 3)] {
        history.apply(&entry).unwrap();
    }
    assert_eq!((history.next_step(), history.outcome()), (503, None));
    let earlier = history.apply(&Entry::Rewound { step: 499 });
    assert_eq!(earlier, Err(HistoryError::Rewind { step: 499, first: 500, last: 503 }));
    let mut last = fold(&[Entry::Rewound { step: u64::MAX }]).unwrap();
    assert!(last.apply(&commit(u64::MAX, 0, 0)).is_err());
}

proptest! {
    /// Whatever is taken has a sound beginning that says the same.
    #[test]
    fn any_bytes_are_opened_or_refused(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        more in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = whole(&entries());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let cut = cut.index(bytes.len());
        bytes.splice(cut..cut, more);
        if let Ok(history) = parse(&bytes) {
            let sound = history.torn().map_or(bytes.len(), |torn| torn.at as usize);
            let again = parse(&bytes[..sound]).unwrap();
            prop_assert_eq!(again.torn(), None);
            prop_assert_eq!(again.entries(), history.entries());
        }
    }
}
