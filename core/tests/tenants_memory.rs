//! What tenants cost in memory: each a little, and an endless row of names no more than a bounded row. A binary of its own,
//! for its allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use tidegate::Manager;

/// Bytes that are allocated and not freed.
static HELD: AtomicIsize = AtomicIsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work; the counter is no part of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: as the caller promises for this.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size().cast_signed(), Ordering::Relaxed);
        // SAFETY: as the caller promises for this.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COUNT: usize = 10_000;

/// What `of` leaves allocated while its result lives.
fn bytes_of<T>(of: impl FnOnce() -> T) -> (isize, T) {
    let before = HELD.load(Ordering::Relaxed);
    let made = of();
    (HELD.load(Ordering::Relaxed) - before, made)
}

#[test]
fn ten_thousand_tenants_take_little_and_an_endless_row_no_more() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let manager = runtime.block_on(async { Manager::builder("memory://").build().await.expect("right") });
    let view = |number: usize| manager.tenant(&format!("tenant-{number}.example")).expect("right");
    // A read each: then all of its figures are there. Views are let go at once, as those of requests are.
    let read = |number: usize| drop(runtime.block_on(async { view(number).get::<u8>("user:profile:1").await }));

    let (bytes, ()) = bytes_of(|| (0..COUNT).for_each(read));
    let each = bytes / COUNT.cast_signed();
    println!("a tenant takes {each} bytes");
    assert!(each < 1_000, "{each} bytes a tenant");

    let (more, ()) = bytes_of(|| (COUNT..5 * COUNT).for_each(read));
    assert!(more < bytes / 4, "{more} bytes for forty thousand more");

    let (held, views) = bytes_of(|| (0..COUNT).map(|number| view(5 * COUNT + number)).collect::<Vec<_>>());
    let each = held / views.len().cast_signed();
    println!("a view that is held takes {each} bytes beside");
    assert!(each < 2_000, "{each} bytes a view");
}
