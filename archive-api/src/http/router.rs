//! The routes, apart from any listener: the same router serves TCP and the Unix socket.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use http::StatusCode;

use super::access_log::log_request;
use super::doors::Doors;
use super::probes;
use super::problem::Problem;
use super::same_origin::refuse_other_origins;
use super::security_headers::add_security_headers;
use super::{qido, stow, wado};

/// Where DICOMweb lives.
pub const DICOMWEB_PATH: &str = "/dicom-web";
/// Where our own API is nested, see [`router`].
pub const API_PATH: &str = "/api/v1";

/// All routes. `api` is nested under [`API_PATH`]; an empty router leaves that place empty.
pub fn router(doors: Doors, api: Router) -> Router {
    let dicomweb = dicomweb(&doors).with_state(doors.clone());
    let probes = Router::new()
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .with_state(doors.clone());
    Router::new()
        .merge(probes)
        .nest(DICOMWEB_PATH, dicomweb)
        .nest(API_PATH, api)
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            let detail = "this address does not answer to that method";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
        })
        .layer(from_fn(refuse_other_origins))
        .layer(from_fn(add_security_headers))
        .layer(from_fn_with_state(doors, log_request))
}

fn dicomweb(doors: &Doors) -> Router<Doors> {
    const STUDY: &str = "/studies/{study}";
    const SERIES: &str = "/studies/{study}/series/{series}";
    const INSTANCE: &str = "/studies/{study}/series/{series}/instances/{instance}";
    let one_instance = Router::new()
        .route(INSTANCE, get(wado::instances))
        .route(&format!("{INSTANCE}/metadata"), get(wado::metadata))
        .route(&format!("{INSTANCE}/frames/{{frames}}"), get(wado::frames))
        .route(&format!("{INSTANCE}/bulkdata/{{bulk}}"), get(wado::bulkdata))
        .route_layer(from_fn_with_state(doors.clone(), wado::warn_of_gaps));
    Router::new()
        .route("/studies", get(qido::studies).post(stow::store))
        .route("/series", get(qido::series))
        .route("/instances", get(qido::instances))
        .route(STUDY, get(wado::instances).merge(post(stow::store)))
        .route(&format!("{STUDY}/metadata"), get(wado::metadata))
        .route(&format!("{STUDY}/series"), get(qido::series))
        .route(&format!("{STUDY}/instances"), get(qido::instances))
        .route(SERIES, get(wado::instances))
        .route(&format!("{SERIES}/metadata"), get(wado::metadata))
        .route(&format!("{SERIES}/instances"), get(qido::instances))
        .merge(one_instance)
}
