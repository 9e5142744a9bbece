//! The stand-ins: a copy of the fake library, streams and a device in the memory of the process.

#![allow(unsafe_code)] // calls the fake library's controls

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use snel_cuda::device::{Device, DeviceError, Grid, Memory, Program};
use snel_cuda::multiply::Product;
use snel_cuda::nccl::{Communicator, Interrupt, Library, NcclError, Patience, Place, Stream};
use snel_cuda::nccl::{StreamError, UniqueId};
pub(crate) use snel_fake_nccl::Fault;

/// As long as anything may take in these tests: two busy cores do in milliseconds what is asked.
pub(crate) const PATIENCE: Patience = Patience {
    join: Duration::from_secs(20),
    reduce: Duration::from_secs(20),
    leave: Duration::from_secs(20),
    abort: Duration::from_secs(20),
};

/// Every rank.
pub(crate) const ALL: i32 = -1;

/// A library with a state of its own.
pub(crate) struct Fake {
    pub(crate) library: Arc<Library>,
    controls: &'static libloading::Library,
}

/// Where cargo has built the fake library: beside the test.
pub(crate) fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let name = libloading::library_filename("snel_fake_nccl");
    test.parent().unwrap().join(name)
}

/// A file that the loader takes for another library than all copies before.
pub(crate) fn copy_to(folder: &Path) -> PathBuf {
    let file = folder.join("libnccl.so.2");
    std::fs::copy(built(), &file).unwrap();
    file
}

impl Fake {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = copy_to(folder.path());
        // Open, a library does not need its file any more.
        let library = Library::open(&[&file]).unwrap();
        // SAFETY: the fake library has no initialisers.
        let controls = unsafe { libloading::Library::new(&file) }.unwrap();
        Self { library: Arc::new(library), controls: Box::leak(Box::new(controls)) }
    }

    /// From its sum number `after` on, `rank` has `fault`.
    pub(crate) fn inject(&self, fault: Fault, rank: i32, after: u64, value: i64) {
        // SAFETY: the function's type in the fake library.
        unsafe {
            let inject: libloading::Symbol<extern "C" fn(u32, i32, u64, i64)> =
                self.controls.get("fake_inject").unwrap();
            inject(fault as u32, rank, after, value);
        }
    }

    fn count(&self, name: &str) -> u64 {
        // SAFETY: the type of both counts.
        unsafe {
            let count: libloading::Symbol<extern "C" fn() -> u64> =
                self.controls.get(name).unwrap();
            count()
        }
    }

    /// Communicators that have not ended.
    pub(crate) fn living(&self) -> u64 {
        self.count("fake_living")
    }

    /// All communicators have ended, and NCCL was called as it asks to be.
    pub(crate) fn assert_clean(&self) {
        assert_eq!((self.living(), self.count("fake_misuses")), (0, 0), "(living, misuses)");
    }

    pub(crate) fn stream(&self) -> HostStream {
        static STREAMS: AtomicU64 = AtomicU64::new(1);
        // SAFETY: the function's type in the fake library.
        let is_idle = unsafe { *self.controls.get("fake_stream_is_idle").unwrap() };
        HostStream { handle: STREAMS.fetch_add(1, Ordering::Relaxed), is_idle }
    }

    pub(crate) fn id(&self) -> UniqueId {
        self.library.unique_id(Place { rank: 0, world: 1 }).unwrap()
    }

    pub(crate) fn join(
        &self,
        id: UniqueId,
        place: (u32, u32),
        patience: Patience,
        interrupt: &Interrupt,
    ) -> Result<Communicator, NcclError> {
        let (rank, world) = place;
        let stream = Box::new(self.stream());
        let place = Place { rank, world };
        Communicator::join(self.library.clone(), id, place, stream, patience, interrupt.clone())
    }

    /// What each of `world` ranks makes of its communicator, in threads.
    pub(crate) fn ranks<T: Send>(
        &self,
        world: u32,
        patience: Patience,
        work: impl Fn(u32, Result<Communicator, NcclError>) -> T + Sync,
    ) -> Vec<T> {
        let id = self.id();
        in_threads((0..world).collect(), |rank, _| {
            work(rank, self.join(id, (rank, world), patience, &Interrupt::default()))
        })
    }

    /// The communicators of a group that is whole.
    pub(crate) fn group(&self, world: u32, patience: Patience) -> Vec<Communicator> {
        self.ranks(world, patience, |_, communicator| communicator.unwrap())
    }
}

/// What `work` makes of each item, with its number, all at a time.
pub(crate) fn in_threads<I: Send, T: Send>(
    items: Vec<I>,
    work: impl Fn(u32, I) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let run = |(number, item)| scope.spawn(move || work(number, item));
        let threads: Vec<_> = (0..).zip(items).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Sums `values` over all ranks.
pub(crate) fn sum(communicator: &mut Communicator, values: &[i64]) -> Result<Vec<i64>, NcclError> {
    let send = values.to_vec();
    let mut receive = vec![-1; values.len()];
    let (from, to) = (send.as_ptr() as u64, receive.as_mut_ptr() as u64);
    // SAFETY: both live until the call has returned; tests in which it may be stuck leak them.
    let done = unsafe { communicator.all_reduce(from, to, values.len()) };
    if done.as_ref().is_err_and(NcclError::is_stuck) {
        std::mem::forget((send, receive));
        return Err(done.unwrap_err());
    }
    done.map(|()| receive)
}

#[derive(Clone)]
pub(crate) struct HostStream {
    handle: u64,
    is_idle: extern "C" fn(u64) -> i32,
}

impl Stream for HostStream {
    fn enter(&self) -> Result<(), StreamError> {
        Ok(())
    }

    fn handle(&self) -> u64 {
        self.handle
    }

    fn is_idle(&self) -> Result<bool, StreamError> {
        Ok((self.is_idle)(self.handle) == 1)
    }
}

/// A stream on a GPU that is gone.
pub(crate) struct BrokenStream {
    pub(crate) enters: bool,
    pub(crate) like: HostStream,
}

impl Stream for BrokenStream {
    fn enter(&self) -> Result<(), StreamError> {
        if self.enters { Ok(()) } else { Err("no such device".into()) }
    }

    fn handle(&self) -> u64 {
        self.like.handle()
    }

    fn is_idle(&self) -> Result<bool, StreamError> {
        Err("an illegal memory access was encountered".into())
    }
}

/// Memory of the process; it runs no kernels.
pub(crate) struct HostDevice {
    /// Whether anything can be copied to it.
    pub(crate) is_well: bool,
}

pub(crate) struct HostMemory(Vec<i64>);

impl HostMemory {
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: integers are bytes without gaps.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), 8 * self.0.len()) }
    }
}

impl Memory for HostMemory {
    fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    fn bytes(&self) -> usize {
        8 * self.0.len()
    }
}

fn not_here(action: &str) -> DeviceError {
    let source: Box<dyn Error + Send + Sync> = "this device only copies".into();
    DeviceError::Failed { device: "host".to_owned(), action: action.to_owned(), source }
}

impl Device for HostDevice {
    type Memory = HostMemory;
    type Kernel = ();
    type Product = ();

    fn name(&self) -> &'static str {
        "host"
    }

    fn architecture(&self) -> &'static str {
        "none"
    }

    fn multiprocessors(&self) -> u32 {
        1
    }

    fn shared_memory(&self) -> u32 {
        0
    }

    fn compile(&mut self, _: &Program, _: &[&str]) -> Result<Vec<()>, DeviceError> {
        Err(not_here("compiling"))
    }

    fn multiplier(&mut self) -> Option<String> {
        None
    }

    fn prepare(&mut self, _: &Product, _: u32) -> Result<(), DeviceError> {
        Err(not_here("a product"))
    }

    fn allocate(&self, bytes: usize) -> Result<HostMemory, DeviceError> {
        Ok(HostMemory(vec![0; bytes.div_ceil(8)]))
    }

    fn upload(&self, from: &[u8], to: &mut HostMemory) -> Result<(), DeviceError> {
        if !self.is_well {
            return Err(not_here("a copy"));
        }
        to.bytes_mut()[..from.len()].copy_from_slice(from);
        Ok(())
    }

    fn download(&self, from: &HostMemory, to: &mut [u8]) -> Result<(), DeviceError> {
        let bytes: Vec<u8> = from.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
        to.copy_from_slice(&bytes[..to.len()]);
        Ok(())
    }

    fn clear(&self, memory: &mut HostMemory) -> Result<(), DeviceError> {
        memory.0.fill(0);
        Ok(())
    }

    unsafe fn launch(&self, (): &(), _: Grid, _: &[u8]) -> Result<(), DeviceError> {
        Err(not_here("a launch"))
    }

    unsafe fn multiply(&self, (): &(), _: u32, _: bool, _: [u64; 3]) -> Result<(), DeviceError> {
        Err(not_here("a product"))
    }
}
