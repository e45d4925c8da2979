//! What the door counts. Labels have few values, all of our own making: nothing that a peer sends becomes one.

use super::pdu::RejectReason;
use super::status::DimseStatus;

/// Associations by how they began or why they did not.
const ASSOCIATIONS: &str = "vellum_dimse_associations_total";
/// Associations that are open.
const ASSOCIATIONS_OPEN: &str = "vellum_dimse_associations_open";
/// Associations by how they ended.
const ASSOCIATIONS_ENDED: &str = "vellum_dimse_associations_ended_total";
/// C-STORE requests answered, by status.
const INSTANCES: &str = "vellum_dimse_instances_total";
/// C-STORE requests that were refused or failed, by status.
const REFUSALS: &str = "vellum_dimse_refusals_total";
/// Bytes of data sets received.
const BYTES: &str = "vellum_dimse_received_bytes_total";

pub(super) fn accepted() {
    metrics::counter!(ASSOCIATIONS, "outcome" => "accepted").increment(1);
}

pub(super) fn rejected(reason: RejectReason) {
    metrics::counter!(ASSOCIATIONS, "outcome" => reason.word()).increment(1);
}

pub(super) fn turned_away() {
    metrics::counter!(ASSOCIATIONS, "outcome" => "turned-away").increment(1);
}

pub(super) fn ended(how: &'static str) {
    metrics::counter!(ASSOCIATIONS_ENDED, "how" => how).increment(1);
}

pub(super) fn received_bytes(count: usize) {
    metrics::counter!(BYTES).increment(u64::try_from(count).unwrap_or(u64::MAX));
}

pub(super) fn instance_answered(status: &DimseStatus) {
    let code = status.code_text();
    if status.is_failure() {
        metrics::counter!(REFUSALS, "status" => code.clone()).increment(1);
    }
    metrics::counter!(INSTANCES, "status" => code).increment(1);
}

/// One association that is open as long as this lives.
#[derive(Debug)]
pub(super) struct OpenAssociation(());

impl OpenAssociation {
    pub(super) fn begin() -> Self {
        accepted();
        metrics::gauge!(ASSOCIATIONS_OPEN).increment(1.0);
        Self(())
    }
}

impl Drop for OpenAssociation {
    fn drop(&mut self) {
        metrics::gauge!(ASSOCIATIONS_OPEN).decrement(1.0);
    }
}
