//! The kit of the whole-system tests: the real program as a child process, real peers, real files.
//!
//! Every server listens on loopback, on a port that the system picks, and is stopped by the handle that started it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "what tests share may fail as they do"
)]

pub mod association;
pub mod campaign;
pub mod corpus;
pub mod crashes;
pub mod damage;
pub mod dicom_web;
pub mod fault_at;
pub mod generate;
pub mod image;
pub mod lossy_proxy;
pub mod meddling_proxy;
pub mod oracle;
pub mod peers;
pub mod power;
pub mod s3_server;
pub mod scripted_server;
pub mod sender;
pub mod traced;
pub mod vellum;
pub mod whole_slide;
