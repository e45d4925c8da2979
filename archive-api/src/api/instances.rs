//! Receiving of one file, for `vellum import`.

use std::sync::Arc;

use archive_core::archive::{Archive, Incoming, Input, Received};
use archive_core::caller::{Door, SourceKey};
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refusal, caller};
use archive_core::archive::ArchiveError;

/// Parameters.
#[derive(Deserialize)]
pub struct Parameters {
    /// The label of the import.
    source: String,
}

/// `POST /instances?source=LABEL`, the file as body.
pub async fn receive(
    State(archive): State<Arc<Archive>>,
    Query(parameters): Query<Parameters>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let incoming = Incoming {
        door: Door::Import,
        source: SourceKey::new(&parameters.source),
        form: Input::File,
        local_ae: None,
        expected_sop: None,
        expected_class: None,
        expected_study: None,
    };
    let mut receiving = archive.receive(&caller(), incoming).await?;
    let mut body = body.into_data_stream();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| ArchiveError::Internal(format!("the file broke off: {error}")))?;
        receiving.write(bytes).await?;
    }
    Ok(Json(in_json(&receiving.finish().await?)))
}

fn in_json(received: &Received) -> Value {
    json!({
        "receipt": received.receipt,
        "study": received.keys.study,
        "series": received.keys.series,
        "sop": received.keys.sop,
        "class": received.keys.sop_class,
        "transfer_syntax": received.transfer_syntax,
        "content": received.content,
        "duplicate": received.duplicate,
        "warnings": received.warnings,
    })
}
