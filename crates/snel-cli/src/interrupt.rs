//! Ctrl-C and SIGTERM: the first asks for a checkpoint and a clean end, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::Exit;

/// A flag that a signal raises.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: with the flag still down this does nothing, the next line raises it.
        // Without handlers a signal ends the program at once, which loses no checkpoint.
        let _ = flag::register_conditional_shutdown(signal, Exit::Interrupted as i32, stop.clone());
        let _ = flag::register(signal, stop.clone());
    }
    stop
}

/// Ends this process when its parent does, which holds the other end of stdin.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(Exit::TryAgain as i32);
    });
}
