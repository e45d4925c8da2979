//! What measures Vellum beside its peers: instances of every shape made from a seed, requestors that cost little
//! themselves, and what the operating system says about a process. The programs are in `src/bin`; `scripts/bench` runs
//! them and writes the table.
#![allow(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]

pub mod asking;
pub mod data_set;
pub mod latencies;
pub mod numbers;
pub mod pixels;
pub mod process;
pub mod requestor;
pub mod run;
pub mod sending;
pub mod shapes;
pub mod template;
pub mod web;
