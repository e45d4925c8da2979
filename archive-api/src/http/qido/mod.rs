//! QIDO-RS: search (PS3.18 §10.6). The query string becomes a [`Query`](archive_core::query::Query), the records of
//! its answer a JSON array, page by page.

mod answer;
pub mod parameters;

pub use answer::{instances, series, studies};
pub use parameters::attribute_path;
