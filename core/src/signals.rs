//! Signals are the host's. A thread of tidegate's that took one would leave the host's own asleep: Python runs its handlers
//! in the main thread, and that is woken only where the signal comes to it.

/// Has this thread take none, but for those that it raises itself (a fault in memory) and those of profilers.
pub(crate) fn leave_to_host() {
    #[cfg(unix)]
    block();
}

#[cfg(unix)]
fn block() {
    const OWN: [libc::c_int; 8] = [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGSYS,
        libc::SIGABRT,
        libc::SIGPROF,
    ];
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is read, and a mask of this thread's alone is changed. None of these fails with
    // signals that there are.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        for signal in OWN {
            libc::sigdelset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}
