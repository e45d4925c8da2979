//! What the path of a request names.
//!
//! Decoded once, by the router. A UID from a path is compared with UIDs and becomes part of nothing else.

use archive_core::archive::Selection;
use archive_core::identifiers::{SeriesUid, SopUid, StudyUid};
use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::problem::Problem;

/// The UIDs of a path, as far as it goes down, and what comes after them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Address {
    /// `{study}`.
    pub study: Option<StudyUid>,
    /// `{series}`.
    pub series: Option<SeriesUid>,
    /// `{instance}`.
    pub sop: Option<SopUid>,
    /// `{frames}` or `{bulk}`.
    pub rest: String,
}

impl Address {
    /// The instances that this address names, in their current versions.
    ///
    /// # Errors
    /// The path has no study.
    pub fn selection(&self) -> Result<Selection, Problem> {
        Ok(Selection {
            study: self.study.clone().ok_or_else(Problem::not_found)?,
            series: self.series.clone(),
            sop: self.sop.clone(),
            all_versions: false,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        let mut address = Self::default();
        for (name, value) in &params {
            match name {
                "study" => address.study = Some(StudyUid::parse(value).map_err(|_| Problem::not_found())?),
                "series" => address.series = Some(SeriesUid::parse(value).map_err(|_| Problem::not_found())?),
                "instance" => address.sop = Some(SopUid::parse(value).map_err(|_| Problem::not_found())?),
                _ => address.rest = value.to_owned(),
            }
        }
        Ok(address)
    }
}
