//! All communicators of the process, and what they have begun.

use std::collections::{BTreeSet, HashMap};
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

use crate::faults::{Fault, find};
use crate::{IN_PROGRESS, INVALID_ARGUMENT, REMOTE_ERROR, SUCCESS};

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id([u8; 128]);

/// Looks at a communicator that say "in progress" before one says "done".
const LOOKS: u32 = 3;

#[derive(Default)]
pub(crate) struct World {
    pub(crate) version: c_int,
    pub(crate) misuses: u64,
    ids: u64,
    handles: usize,
    groups: HashMap<Id, Group>,
    living: HashMap<usize, Communicator>,
    pending: Vec<Pending>,
}

struct Communicator {
    id: Id,
    rank: c_int,
    /// The thread that made it: no other may call.
    owner: ThreadId,
    /// Looks until what was begun has settled.
    looks: u32,
    /// Sums begun.
    sums: u64,
    error: c_int,
    leaving: bool,
}

#[derive(Default)]
struct Group {
    size: c_int,
    joined: BTreeSet<c_int>,
    leaving: BTreeSet<c_int>,
    gone: BTreeSet<c_int>,
    sums: Vec<Vec<Vec<i64>>>,
}

/// A sum that is yet to be written.
struct Pending {
    stream: usize,
    handle: usize,
    id: Id,
    number: usize,
    receive: usize,
    count: usize,
}

/// Works on the state of this copy of the library.
pub(crate) fn with<T>(work: impl FnOnce(&mut World) -> T) -> T {
    static WORLD: Mutex<Option<World>> = Mutex::new(None);
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    work(world.get_or_insert_with(|| World { version: 23_007, ..World::default() }))
}

impl World {
    pub(crate) fn new_id(&mut self) -> Id {
        self.ids += 1;
        let mut id = [7; 128];
        id[..8].copy_from_slice(&self.ids.to_le_bytes());
        Id(id)
    }

    pub(crate) fn join(&mut self, id: Id, rank: c_int, size: c_int) -> usize {
        let group = self.groups.entry(id).or_default();
        group.size = size;
        if !group.joined.insert(rank) {
            self.misuses += 1;
        }
        self.handles += 1;
        // Nothing is there: who follows it, falls.
        let handle = self.handles << 4;
        let owner = thread::current().id();
        let communicator =
            Communicator { id, rank, owner, looks: LOOKS, sums: 0, error: SUCCESS, leaving: false };
        self.living.insert(handle, communicator);
        handle
    }

    /// The communicator, if it lives and this thread may call.
    fn find(&mut self, handle: usize) -> Option<&mut Communicator> {
        let found = self.living.get_mut(&handle).filter(|c| c.owner == thread::current().id());
        if found.is_none() {
            self.misuses += 1;
        }
        found
    }

    /// The communicator, if besides nothing is under way.
    fn find_settled(&mut self, handle: usize) -> Option<&mut Communicator> {
        let early = self.find(handle)?.looks > 0;
        if early {
            self.misuses += 1;
            return None;
        }
        self.find(handle)
    }

    pub(crate) fn rank_of(&mut self, handle: usize) -> Option<c_int> {
        self.find(handle).map(|communicator| communicator.rank)
    }

    pub(crate) fn living(&self) -> u64 {
        self.living.len() as u64
    }

    pub(crate) fn async_error(&mut self, handle: usize) -> Option<c_int> {
        self.find(handle)?;
        let communicator = self.living.get_mut(&handle)?;
        let Communicator { id, rank, sums, error, leaving, .. } = *communicator;
        let group = self.groups.get(&id)?;
        if error != SUCCESS {
            return Some(error);
        }
        if !group.gone.is_empty() && find(Fault::Noticed, rank, 0).is_some() {
            return Some(REMOTE_ERROR);
        }
        let whole = group.joined.len() == group.size as usize;
        let never = (sums == 0 && find(Fault::InitNever, rank, 0).is_some())
            || (leaving && find(Fault::LeaveNever, rank, 0).is_some());
        let alone = leaving && group.leaving.len() < group.size as usize;
        if whole && !never && !alone {
            communicator.looks = communicator.looks.saturating_sub(1);
        }
        Some(if communicator.looks > 0 { IN_PROGRESS } else { SUCCESS })
    }

    pub(crate) fn all_reduce(
        &mut self,
        handle: usize,
        stream: usize,
        mine: Vec<i64>,
        receive: usize,
    ) -> c_int {
        let Some(communicator) = self.find_settled(handle) else { return INVALID_ARGUMENT };
        let (id, rank, at) = (communicator.id, communicator.rank, communicator.sums);
        communicator.sums += 1;
        communicator.looks = LOOKS;
        if let Some(code) = find(Fault::Code, rank, at) {
            return code as c_int;
        }
        if let Some(code) = find(Fault::AsyncCode, rank, at) {
            communicator.error = code as c_int;
        }
        let (number, count) = (at as usize, mine.len());
        self.pending.push(Pending { stream, handle, id, number, receive, count });
        if find(Fault::Stall, rank, at).is_none() {
            let sums = &mut self.groups.entry(id).or_default().sums;
            sums.resize_with(sums.len().max(number + 1), Vec::new);
            sums[number].push(mine);
        }
        IN_PROGRESS
    }

    /// Writes the sums of the stream to which all ranks have given as much; true if none is left.
    /// What has not settled is not on the stream yet.
    pub(crate) fn advance(&mut self, stream: usize) -> bool {
        let (groups, living) = (&self.groups, &self.living);
        let is_on_stream = |pending: &Pending| {
            pending.stream == stream && living.get(&pending.handle).is_some_and(|c| c.looks == 0)
        };
        self.pending.retain(|pending| {
            let group = groups.get(&pending.id);
            let given = group.and_then(|group| group.sums.get(pending.number));
            let (Some(group), Some(given)) = (group, given) else { return true };
            let whole = given.len() == group.size as usize
                && given.iter().all(|part| part.len() == pending.count);
            if !is_on_stream(pending) || !whole {
                return true;
            }
            // SAFETY: the caller keeps the memory until the stream is idle or the communicator
            // has been aborted, and then the sum is not pending any more.
            let out = unsafe {
                std::slice::from_raw_parts_mut(pending.receive as *mut i64, pending.count)
            };
            out.fill(0);
            for part in given {
                out.iter_mut().zip(part).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
            }
            false
        });
        !self.pending.iter().any(is_on_stream)
    }

    pub(crate) fn finalize(&mut self, handle: usize) -> c_int {
        let Some(communicator) = self.find_settled(handle) else { return INVALID_ARGUMENT };
        communicator.looks = LOOKS;
        communicator.leaving = true;
        let (id, rank) = (communicator.id, communicator.rank);
        self.groups.entry(id).or_default().leaving.insert(rank);
        IN_PROGRESS
    }

    pub(crate) fn destroy(&mut self, handle: usize) -> c_int {
        match self.find_settled(handle) {
            Some(communicator) if communicator.leaving => {
                self.living.remove(&handle);
                SUCCESS
            }
            _ => {
                self.misuses += 1;
                INVALID_ARGUMENT
            }
        }
    }

    pub(crate) fn abort(&mut self, handle: usize) -> c_int {
        if self.find(handle).is_none() {
            return INVALID_ARGUMENT;
        }
        if let Some(communicator) = self.living.remove(&handle) {
            self.groups.entry(communicator.id).or_default().gone.insert(communicator.rank);
        }
        self.pending.retain(|pending| pending.handle != handle);
        SUCCESS
    }
}
