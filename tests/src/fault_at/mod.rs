//! Faults at system calls: runs a program under ptrace(2) and, at the n-th call of a kind, kills it, tears the write in
//! two, holds it, or fails the call. The program is the one that ships; it knows nothing of this.
//!
//! strace(1) can inject the same faults, but counts for each thread alone, so that "the n-th call" is another one in each
//! run of a program with a pool of threads. Here one count goes over all threads, and a call is named by what it does and
//! where: `fdatasync journal/segment-#.journal`. So a test can list every call of a phase, and then kill at each.
//!
//! Only calls that change files, and answers through sockets, stop the program (a seccomp filter picks them); what it
//! costs is small.

mod calls;
mod filter;
mod plan;
mod tracer;

pub use plan::{Plan, Site, What};
pub use tracer::{run, traced};
