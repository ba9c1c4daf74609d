//! Who runs what goes on behind a value that has been served.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::Thread;

/// A fallback on its way, with its fill.
pub type BoxedTask = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Takes a task and returns at once.
pub type Spawner = Arc<dyn Fn(BoxedTask) + Send + Sync>;

/// The tokio runtime that the caller runs on; without one, a thread for each task.
pub(super) fn default() -> Spawner {
    Arc::new(|task| {
        #[cfg(feature = "redis")]
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(task));
            return;
        }
        let thread = std::thread::Builder::new().name("tidegate-behind".into());
        // A system without one more thread: the task is dropped, and its lease gives itself back.
        drop(thread.spawn(move || block_on(task)));
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(task: BoxedTask) {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut task = pin!(task);
    while task.as_mut().poll(&mut context).is_pending() {
        std::thread::park();
    }
}
