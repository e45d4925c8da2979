//! Answers that come as JSON lines while something goes on.

use axum::body::Body;
use http::Response;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::cli::exit::Exit;

/// A line of an answer is no longer (bytes).
const LINE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Calls `each` with every line as it arrives.
///
/// # Errors
/// When the connection breaks, a line is no JSON, or `each` says so.
pub async fn for_each(response: Response<Body>, mut each: impl FnMut(Value) -> Result<(), Exit>) -> Result<(), Exit> {
    let mut body = response.into_body();
    let mut pending: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Exit::unreachable(format!("the answer broke off: {error}")))?;
        pending.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(end) = memchr::memchr(b'\n', &pending) {
            let rest = pending.split_off(end + 1);
            let line = std::mem::replace(&mut pending, rest);
            each(
                serde_json::from_slice(&line)
                    .map_err(|error| Exit::failed(format!("an answer is no JSON: {error}")))?,
            )?;
        }
        if pending.len() > LINE_BYTES_MAX {
            return Err(Exit::failed("a line of the answer has no end"));
        }
    }
    Ok(())
}

/// Prints a value as one line.
pub fn print(value: &Value) {
    println!("{value}");
}
