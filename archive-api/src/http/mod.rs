//! DICOMweb over HTTP: STOW-RS, QIDO-RS, WADO-RS (PS3.18), and what a server needs around them.
//!
//! [`server`] listens, [`mod@router`] knows the addresses, [`port`] is all that the doors ask of the archive, and
//! [`problem`] is where an error becomes a status.
//!
//! Where these doors knowingly differ from PS3.18: without a `transfer-syntax` they give what is stored, not Explicit VR
//! Little Endian (§8.7.3.2); a search without hits is `204` without a body (§8.3.4.4.1); DICOM JSON is
//! the only form of metadata; nothing is rendered or transcoded.

mod accept;
mod access_log;
mod address;
mod archive_port;
mod base_url;
pub mod config;
pub mod doors;
mod idle;
mod media;
pub mod multipart;
pub mod port;
mod probes;
pub mod problem;
pub mod qido;
pub mod router;
mod same_origin;
mod security_headers;
pub mod server;
mod stow;
mod wado;

pub use config::HttpConfig;
pub use doors::{Doors, Obstacle, Peer, Readiness};
pub use router::router;
pub use server::HttpServer;
