//! The PDUs of four bytes: A-ASSOCIATE-RJ, A-RELEASE-RQ and -RP, A-ABORT (PS3.8 §9.3.4, §9.3.6 to §9.3.8).

use super::fields::{Fields, MalformedError};
use super::pdu_type;

/// An A-ASSOCIATE-RJ as it stands in its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reject {
    /// 1 permanent, 2 transient.
    pub result: u8,
    /// 1 service user, 2 service provider (ACSE), 3 service provider (presentation).
    pub source: u8,
    /// Meaning depends on the source (PS3.8 Table 9-21).
    pub reason: u8,
}

/// Why we reject an association.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RejectReason {
    /// No peer of this calling AE title and address is registered.
    CallingTitle,
    /// No application entity of this called AE title is here.
    CalledTitle,
    /// The application context is not that of DICOM.
    ApplicationContext,
    /// Version 1 of the protocol is not offered.
    ProtocolVersion,
    /// As many associations as allowed are open; later there may be room.
    LocalLimit,
}

impl RejectReason {
    /// The three bytes that say so (PS3.8 Table 9-21).
    #[must_use]
    pub const fn encode(self) -> Reject {
        let (result, source, reason) = match self {
            Self::ApplicationContext => (1, 1, 2),
            Self::CallingTitle => (1, 1, 3),
            Self::CalledTitle => (1, 1, 7),
            Self::ProtocolVersion => (1, 2, 2),
            Self::LocalLimit => (2, 3, 2),
        };
        Reject { result, source, reason }
    }

    /// A short stable word, for metrics and logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::CallingTitle => "calling-title",
            Self::CalledTitle => "called-title",
            Self::ApplicationContext => "application-context",
            Self::ProtocolVersion => "protocol-version",
            Self::LocalLimit => "local-limit",
        }
    }
}

/// Who ended an association.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AbortSource {
    /// The DICOM service user (0); the reason is not significant.
    User,
    /// The upper layer (2), with its reason.
    Provider(ProviderReason),
}

/// Why the upper layer ended an association (PS3.8 Table 9-26).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProviderReason {
    /// Nothing more is known (0).
    NotSpecified,
    /// The type of a PDU is unknown (1).
    UnrecognizedPdu,
    /// A PDU came at a moment at which it may not (2).
    UnexpectedPdu,
    /// A field of a PDU has a value that it may not have (6).
    InvalidParameter,
}

/// An A-ABORT as it stands in its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Abort {
    /// 0 service user, 2 service provider.
    pub source: u8,
    /// Significant when the source is the service provider.
    pub reason: u8,
}

impl From<AbortSource> for Abort {
    fn from(source: AbortSource) -> Self {
        let reason = |reason| match reason {
            ProviderReason::NotSpecified => 0,
            ProviderReason::UnrecognizedPdu => 1,
            ProviderReason::UnexpectedPdu => 2,
            ProviderReason::InvalidParameter => 6,
        };
        match source {
            AbortSource::User => Self { source: 0, reason: 0 },
            AbortSource::Provider(why) => Self { source: 2, reason: reason(why) },
        }
    }
}

impl Reject {
    /// The PDU.
    #[must_use]
    pub const fn to_pdu(self) -> [u8; 10] {
        short(pdu_type::ASSOCIATE_REJECT, [0, self.result, self.source, self.reason])
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, MalformedError> {
        let [_reserved, result, source, reason] = Fields::new(body).array()?;
        Ok(Self { result, source, reason })
    }
}

impl Abort {
    /// The PDU.
    #[must_use]
    pub const fn to_pdu(self) -> [u8; 10] {
        short(pdu_type::ABORT, [0, 0, self.source, self.reason])
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, MalformedError> {
        let [_, _, source, reason] = Fields::new(body).array()?;
        Ok(Self { source, reason })
    }
}

/// An A-RELEASE-RQ.
pub const RELEASE_REQUEST: [u8; 10] = short(pdu_type::RELEASE_REQUEST, [0; 4]);
/// An A-RELEASE-RP.
pub const RELEASE_REPLY: [u8; 10] = short(pdu_type::RELEASE_REPLY, [0; 4]);

const fn short(kind: u8, body: [u8; 4]) -> [u8; 10] {
    let [a, b, c, d] = body;
    [kind, 0, 0, 0, 0, 4, a, b, c, d]
}
