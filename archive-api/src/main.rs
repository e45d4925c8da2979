//! The program `vellum`.

/// Receiving makes and drops many small pieces on several threads, which the C library's allocator does slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    archive_api::cli::run()
}
