//! How much memory an input makes a target take: promise I12 as an assertion.

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Runs something. Nothing else may run in this process meanwhile.
///
/// # Panics
/// Where more memory was taken at once than `bytes_max`, beyond what was taken before.
pub fn within<T>(bytes_max: usize, run: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let value = run();
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(peak <= bytes_max, "took {peak} bytes of memory at once, allowed are {bytes_max}");
    value
}
