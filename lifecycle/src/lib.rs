//! The jobs of the archive, run by a worker inside `vellum serve`. It depends on the core only; what a job decides, the
//! core does.

mod schedule;
mod worker;

pub use schedule::Schedule;
pub use worker::Worker;
