//! The program `vellum`.

fn main() -> std::process::ExitCode {
    archive_api::cli::run()
}
