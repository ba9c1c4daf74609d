//! What the engine's threads ring: a descriptor that an event loop watches, or what a parked thread sleeps on. And the
//! end of the interpreter, before which every parked thread has to leave native code.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::ThreadId;
use std::time::Duration;

use pyo3::prelude::*;
use tidegate::ports::Wake;
use tidegate_guard::guarded;

/// The exit waits at most this long for parked threads to leave native code.
const EXIT_PATIENCE: Duration = Duration::from_secs(1);

/// A descriptor that an event loop watches. It lives as long as anybody may ring it, so its number is never another
/// file's while an engine still holds it.
#[cfg(target_os = "linux")]
pub(crate) struct Doorbell {
    event: std::fs::File,
}

#[cfg(target_os = "linux")]
impl Doorbell {
    pub(crate) fn new() -> std::io::Result<Self> {
        use std::os::fd::{FromRawFd, OwnedFd};
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made a line above and belongs to nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event: event.into() })
    }

    pub(crate) fn fileno(&self) -> i64 {
        std::os::fd::AsRawFd::as_raw_fd(&self.event).into()
    }

    pub(crate) fn clear(&self) {
        let mut count = [0; 8];
        // Nothing to read means that it was cleared before.
        let _ = std::io::Read::read(&mut &self.event, &mut count);
    }
}

#[cfg(target_os = "linux")]
impl Wake for Doorbell {
    fn wake(&self) {
        // Full (WouldBlock) means that it rings already.
        while let Err(error) = std::io::Write::write(&mut &self.event, &1_u64.to_ne_bytes()) {
            if error.kind() != std::io::ErrorKind::Interrupted {
                break;
            }
        }
    }
}

/// As above, where there is no eventfd: a pair of sockets.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Doorbell {
    ours: Stream,
    theirs: Stream,
}

#[cfg(all(unix, not(target_os = "linux")))]
type Stream = std::os::unix::net::UnixStream;
#[cfg(windows)]
type Stream = std::net::TcpStream;

#[cfg(all(unix, not(target_os = "linux")))]
fn pair() -> std::io::Result<(Stream, Stream)> {
    Stream::pair()
}

/// Windows' loops watch sockets only, and it has no pairs of them.
#[cfg(windows)]
fn pair() -> std::io::Result<(Stream, Stream)> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let theirs = Stream::connect(listener.local_addr()?)?;
    theirs.set_nodelay(true)?;
    loop {
        let (ours, from) = listener.accept()?;
        // Anybody on this machine may have come before.
        if from == theirs.local_addr()? {
            return Ok((ours, theirs));
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Doorbell {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (ours, theirs) = pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok(Self { ours, theirs })
    }

    #[cfg(unix)]
    pub(crate) fn fileno(&self) -> i64 {
        std::os::fd::AsRawFd::as_raw_fd(&self.ours).into()
    }

    /// Windows gives out no handle that needs more than 32 bits.
    #[cfg(windows)]
    pub(crate) fn fileno(&self) -> i64 {
        std::os::windows::io::AsRawSocket::as_raw_socket(&self.ours) as i64
    }

    pub(crate) fn clear(&self) {
        let mut rings = [0; 64];
        while matches!(std::io::Read::read(&mut &self.ours, &mut rings), Ok(count) if count == rings.len()) {}
    }
}

#[cfg(not(target_os = "linux"))]
impl Wake for Doorbell {
    fn wake(&self) {
        // Full (WouldBlock) means that it rings already.
        while let Err(error) = std::io::Write::write(&mut &self.theirs, &[1]) {
            if error.kind() != std::io::ErrorKind::Interrupted {
                break;
            }
        }
    }
}

/// What a parked thread sleeps on; several may, of one port: each looks for its own outcome when it rings.
pub(crate) struct Gong {
    rang: Mutex<u64>,
    rings: Condvar,
}

/// Every gong, so that the end of the interpreter can wake all who sleep.
static GONGS: Mutex<Vec<Weak<Gong>>> = Mutex::new(Vec::new());
/// Threads that sleep in [`Gong::wait`].
static ASLEEP: AtomicUsize = AtomicUsize::new(0);
static IS_ENDING: AtomicBool = AtomicBool::new(false);
/// The thread that ends the interpreter may go on waiting.
static ENDING_THREAD: Mutex<Option<ThreadId>> = Mutex::new(None);

impl Gong {
    pub(crate) fn new() -> Arc<Self> {
        let gong = Arc::new(Self { rang: Mutex::new(0), rings: Condvar::new() });
        let mut gongs = GONGS.lock().unwrap_or_else(PoisonError::into_inner);
        gongs.retain(|gong| gong.strong_count() > 0);
        gongs.push(Arc::downgrade(&gong));
        gong
    }

    /// How often it has rung: to be asked *before* one looks for one's outcome.
    pub(crate) fn count(&self) -> u64 {
        *self.rang.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until it has rung more often than `seen`.
    pub(crate) fn wait(&self, seen: u64, longest: Duration) {
        ASLEEP.fetch_add(1, Ordering::SeqCst);
        let rang = self.rang.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.rings.wait_timeout_while(rang, longest, |rang| *rang == seen));
        ASLEEP.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Wake for Gong {
    fn wake(&self) {
        *self.rang.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.rings.notify_all();
    }
}

/// The interpreter ends and this thread is not the one that ends it: back to Python, which knows how to stop it. A
/// thread that came back from native code later would be killed on the way, through frames that cannot unwind.
pub(crate) fn must_leave() -> bool {
    IS_ENDING.load(Ordering::SeqCst)
        && *ENDING_THREAD.lock().unwrap_or_else(PoisonError::into_inner) != Some(std::thread::current().id())
}

/// At the end of the interpreter: wakes every parked thread and waits, for a moment, until none sleeps here.
#[guarded]
#[pyfunction]
pub(crate) fn prepare_exit(py: Python<'_>) {
    *ENDING_THREAD.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
    IS_ENDING.store(true, Ordering::SeqCst);
    let gongs: Vec<_> = GONGS.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
    py.detach(|| {
        let pause = Duration::from_millis(1);
        let mut left = EXIT_PATIENCE;
        while ASLEEP.load(Ordering::SeqCst) > 0 && !left.is_zero() {
            for gong in &gongs {
                gong.wake();
            }
            std::thread::sleep(pause);
            left = left.saturating_sub(pause);
        }
    });
}

/// How often this process is a forked child: what was made before must not be touched when it is dropped, since its
/// locks may be held by threads that are not here.
static GENERATION: AtomicU64 = AtomicU64::new(0);

pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// In a forked child: the threads that slept, rang and waited are the parent's.
#[guarded]
#[pyfunction]
pub(crate) fn after_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    ASLEEP.store(0, Ordering::SeqCst);
    tidegate::after_fork();
}
