//! multipart/related (RFC 2387 over RFC 2046), read and written as a stream.
//!
//! The packages that exist are made for form data, or hold whole parts in memory. Here a body of any size passes
//! through a buffer of one chunk and one delimiter, and what is hostile ends in an error, never in memory (promise I12).

mod part_header;
pub mod reader;
pub mod writer;

pub use part_header::PartHeader;
pub use reader::{Event, MultipartError, MultipartLimits, MultipartReader};
pub use writer::{Part, boundary, stream_parts};
