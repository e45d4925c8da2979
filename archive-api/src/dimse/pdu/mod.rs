//! Protocol data units of the DICOM upper layer (PS3.8 §9.3): bytes to values and back.
//!
//! The codec knows nothing of sockets, time or what an association may do next. It takes bytes in whatever pieces they
//! come and never reserves memory because of a length that a peer claims: a P-DATA-TF is handed on piece by piece,
//! the rest is gathered up to a small bound. What it cannot delimit is an error that says how to abort.

mod associate;
mod decoder;
mod fields;
mod limits;
mod short;
mod user_information;

pub use associate::{
    APPLICATION_CONTEXT, AssociateAccept, AssociateRequest, ContextAnswer, ContextResult, ProposedContext, TitleField,
};
pub use decoder::{Event, Fragment, FragmentKind, PduDecoder};
pub use fields::{EncodeError, MalformedError};
pub use limits::*;
pub use short::{Abort, AbortSource, ProviderReason, RELEASE_REPLY, RELEASE_REQUEST, Reject, RejectReason};
pub use user_information::{
    CommonExtendedNegotiation, ExtendedNegotiation, OperationsWindow, RoleSelection, UserIdentity, UserInformation,
};

/// The seven types of PDU, by the byte that each begins with (PS3.8 §9.3.1).
pub mod pdu_type {
    /// A-ASSOCIATE-RQ.
    pub const ASSOCIATE_REQUEST: u8 = 0x01;
    /// A-ASSOCIATE-AC.
    pub const ASSOCIATE_ACCEPT: u8 = 0x02;
    /// A-ASSOCIATE-RJ.
    pub const ASSOCIATE_REJECT: u8 = 0x03;
    /// P-DATA-TF.
    pub const DATA: u8 = 0x04;
    /// A-RELEASE-RQ.
    pub const RELEASE_REQUEST: u8 = 0x05;
    /// A-RELEASE-RP.
    pub const RELEASE_REPLY: u8 = 0x06;
    /// A-ABORT.
    pub const ABORT: u8 = 0x07;
}

/// Why bytes are no PDU, or none that is allowed here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// The first byte is that of none of the seven types.
    #[error("unknown PDU type {0:02X}H: what speaks here is probably not DICOM")]
    UnknownType(u8),
    /// The length is not one that this type of PDU may have here.
    #[error("a PDU of type {pdu_type:02X}H claims {length} bytes; allowed are {minimum} to {maximum}")]
    Length {
        /// First byte of the PDU.
        pdu_type: u8,
        /// Bytes it claims after its length field.
        length: u32,
        /// Fewest allowed.
        minimum: u32,
        /// Most allowed.
        maximum: u32,
    },
    /// The fields of a PDU contradict each other or the standard.
    #[error("a PDU of type {pdu_type:02X}H is malformed: {error}")]
    Malformed {
        /// First byte of the PDU.
        pdu_type: u8,
        /// What is wrong.
        error: MalformedError,
    },
}

impl DecodeError {
    /// The reason that an A-ABORT gives for this (PS3.8 Table 9-26).
    #[must_use]
    pub const fn abort_reason(&self) -> ProviderReason {
        match self {
            Self::UnknownType(_) => ProviderReason::UnrecognizedPdu,
            Self::Length { .. } | Self::Malformed { .. } => ProviderReason::InvalidParameter,
        }
    }
}

#[cfg(test)]
mod tests;
