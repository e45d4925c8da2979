//! What an association is about: which contexts are accepted, and in which transfer syntax (PS3.8 §7.1.1.13, PS3.7
//! Annex D).
//!
//! Accepted are Verification, every storage SOP class of the standard, and others where the peer says that they are
//! storage (sub-item 57H) or its entry allows it. Of the transfer syntaxes the one that the peer names first is taken,
//! since the peer knows in which form it holds the pixels; only where that is Implicit VR Little Endian and Explicit VR
//! Little Endian is proposed beside it, explicit is taken: it keeps the VR of private elements. Nothing is converted,
//! so every syntax is as good as any other if the pixels travel inside the data set.

use std::collections::{BTreeMap, BTreeSet};

use archive_core::dicom::sop_classes;
use archive_core::dicom::transfer_syntaxes::{self, PixelForm, TransferSyntax};
use archive_core::identifiers::{SopClassUid, TransferSyntaxUid};
use bytes::Bytes;

use super::config::Peer;
use super::pdu::{
    AssociateRequest, ContextAnswer, ContextResult, ExtendedNegotiation, OperationsWindow, ProposedContext,
    RoleSelection, UserInformation,
};

/// Verification SOP Class (PS3.4 Annex A).
pub const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Storage service class, as sub-item 57H names it (PS3.4 B.3.1.2).
pub const STORAGE_SERVICE: &str = "1.2.840.10008.4.2";

const IMPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
const EXPLICIT_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
/// How the syntaxes of media in motion begin: their essence is a stream beside the data set (PS3.5 §A.7, PS3.22).
const SMPTE_ST_2110: &str = "1.2.840.10008.1.2.7.";
/// Bytes of a UID (PS3.5 §9.1); what is longer is no UID that could be accepted.
const UID_BYTES_MAX: usize = 64;

/// Answer to Storage's extended negotiation (PS3.4 Table B.3-1): level 2 (all elements are kept); reserved; signatures
/// at level 3 (bit-preserving); reserved; no element is coerced; reserved.
const STORAGE_INFORMATION: [u8; 6] = [2, 0, 3, 0, 0, 0];

/// What an accepted context is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// C-ECHO.
    Verification,
    /// C-STORE.
    Storage,
}

/// A context that both sides agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgreedContext {
    /// What it is for.
    pub service: Service,
    /// Its SOP class.
    pub class: SopClassUid,
    /// In which all its data sets are.
    pub transfer_syntax: TransferSyntaxUid,
}

/// The outcome for all contexts of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Negotiated {
    /// An answer to each proposed context, in their order.
    pub answers: Vec<ContextAnswer>,
    /// Those accepted, by id.
    pub contexts: BTreeMap<u8, AgreedContext>,
    /// What the answer says beyond contexts: operations window, roles, extended negotiation.
    pub user: UserInformation,
}

/// What a peer's entry allows beyond the standard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Allowance {
    unknown_classes: bool,
    unknown_syntaxes: bool,
}

impl From<Option<&Peer>> for Allowance {
    fn from(peer: Option<&Peer>) -> Self {
        peer.map_or_else(Self::default, |peer| Self {
            unknown_classes: peer.accept_unknown_classes,
            unknown_syntaxes: peer.accept_unknown_syntaxes,
        })
    }
}

/// Whether data sets in this syntax are whole: it is of the standard and its pixels are inside, not on another server
/// (JPIP) or in a stream beside it (SMPTE ST 2110).
#[must_use]
pub fn is_acceptable_syntax(uid: &TransferSyntaxUid) -> bool {
    transfer_syntaxes::find(uid).is_some() && !is_by_reference(uid)
}

/// Whether this syntax keeps the pixels elsewhere: refused from everybody.
fn is_by_reference(uid: &TransferSyntaxUid) -> bool {
    let referenced = |syntax: &TransferSyntax| syntax.pixels() == PixelForm::Referenced;
    transfer_syntaxes::find(uid).is_some_and(referenced) || uid.as_str().starts_with(SMPTE_ST_2110)
}

/// Negotiates all contexts of a request.
#[must_use]
pub fn negotiate(request: &AssociateRequest, allowance: Allowance) -> Negotiated {
    let declared: BTreeSet<&str> = request
        .user
        .common
        .iter()
        .filter(|common| common.service == STORAGE_SERVICE)
        .map(|common| common.class.as_str())
        .collect();
    let mut negotiated = Negotiated::default();
    for proposed in &request.contexts {
        let outcome = agree(proposed, &declared, allowance);
        negotiated.answers.push(answer(proposed.id, &outcome));
        if let Ok(agreed) = outcome {
            negotiated.contexts.insert(proposed.id, agreed);
        }
    }
    negotiated.user = user_information(&request.user, &negotiated.contexts);
    negotiated
}

fn agree(
    proposed: &ProposedContext,
    declared: &BTreeSet<&str>,
    allowance: Allowance,
) -> Result<AgreedContext, ContextResult> {
    let class = proposed.abstract_syntax.clone();
    let service = service_of(&class, declared, allowance).ok_or(ContextResult::AbstractSyntaxNotSupported)?;
    let transfer_syntax =
        choose(&proposed.transfer_syntaxes, allowance).ok_or(ContextResult::TransferSyntaxesNotSupported)?.clone();
    Ok(AgreedContext { service, class, transfer_syntax })
}

fn service_of(class: &SopClassUid, declared: &BTreeSet<&str>, allowance: Allowance) -> Option<Service> {
    let uid = class.as_str();
    if uid == VERIFICATION {
        return Some(Service::Verification);
    }
    let unknown_is_storage = declared.contains(uid) || (allowance.unknown_classes && !is_other_service(uid));
    (sop_classes::is_storage(class) || (is_uid(uid) && unknown_is_storage)).then_some(Service::Storage)
}

/// Classes of the standard are storage only if the table says so: an allowance for unknown classes is none to take
/// queries for instances.
fn is_other_service(uid: &str) -> bool {
    uid.starts_with("1.2.840.10008.") && !uid.starts_with("1.2.840.10008.5.1.4.1.1.")
}

fn is_uid(uid: &str) -> bool {
    uid.len() <= UID_BYTES_MAX && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The syntax to use: see the head of this file.
fn choose(proposed: &[TransferSyntaxUid], allowance: Allowance) -> Option<&TransferSyntaxUid> {
    let acceptable = |uid: &&TransferSyntaxUid| {
        is_acceptable_syntax(uid) || (allowance.unknown_syntaxes && is_uid(uid.as_str()) && !is_by_reference(uid))
    };
    let first = proposed.iter().find(acceptable)?;
    if first.as_str() != IMPLICIT_LITTLE_ENDIAN {
        return Some(first);
    }
    Some(proposed.iter().find(|uid| uid.as_str() == EXPLICIT_LITTLE_ENDIAN).unwrap_or(first))
}

fn answer(id: u8, outcome: &Result<AgreedContext, ContextResult>) -> ContextAnswer {
    match outcome {
        Ok(agreed) => {
            ContextAnswer { id, result: ContextResult::Accepted, transfer_syntax: Some(agreed.transfer_syntax.clone()) }
        }
        Err(result) => ContextAnswer { id, result: *result, transfer_syntax: None },
    }
}

/// Our side of the rest: one operation at a time; the peer is SCU, never SCP; storage keeps everything. Identities are
/// not checked, so no answer to one is given (PS3.7 D.3.3.7.2).
fn user_information(asked: &UserInformation, contexts: &BTreeMap<u8, AgreedContext>) -> UserInformation {
    let service =
        |class: &str| contexts.values().find(|context| context.class.as_str() == class).map(|context| context.service);
    let mut roles: Vec<RoleSelection> = Vec::new();
    for role in &asked.roles {
        if service(&role.class).is_some() && roles.iter().all(|answered| answered.class != role.class) {
            roles.push(RoleSelection { class: role.class.clone(), scu: role.scu.min(1), scp: 0 });
        }
    }
    let mut extended: Vec<ExtendedNegotiation> = Vec::new();
    for asked in &asked.extended {
        let new = extended.iter().all(|answered| answered.class != asked.class);
        if new && service(&asked.class) == Some(Service::Storage) {
            let information = Bytes::from_static(&STORAGE_INFORMATION);
            extended.push(ExtendedNegotiation { class: asked.class.clone(), information });
        }
    }
    let operations_window = asked.operations_window.map(|_| OperationsWindow { invoked: 1, performed: 1 });
    UserInformation { roles, extended, operations_window, ..UserInformation::default() }
}

#[cfg(test)]
mod tests;
