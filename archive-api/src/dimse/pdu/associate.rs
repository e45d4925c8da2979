//! A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 §9.3.2, §9.3.3).

use std::fmt;

use archive_core::identifiers::{AeTitle, IdentifierError, SopClassUid, TransferSyntaxUid};
use bytes::BufMut as _;

use super::fields::{EncodeError, Fields, Item, MalformedError, put_item, put_pdu, text, text_bytes};
use super::limits::{CONTEXTS_MAX, SYNTAXES_PER_CONTEXT_MAX};
use super::pdu_type;
use super::user_information::UserInformation;

/// The one application context that DICOM has (PS3.7 A.2.1).
pub const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

const APPLICATION_CONTEXT_ITEM: u8 = 0x10;
const PROPOSED_CONTEXT_ITEM: u8 = 0x20;
const ANSWERED_CONTEXT_ITEM: u8 = 0x21;
const ABSTRACT_SYNTAX_ITEM: u8 = 0x30;
const TRANSFER_SYNTAX_ITEM: u8 = 0x40;
const USER_INFORMATION_ITEM: u8 = 0x50;

/// Sixteen bytes that should hold an AE title. They are kept as they came: an answer repeats them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TitleField(pub [u8; 16]);

impl TitleField {
    /// The AE title in the field.
    ///
    /// # Errors
    /// When the field is blank or holds what no AE title may.
    pub fn parse(&self) -> Result<AeTitle, IdentifierError> {
        AeTitle::parse(&text(&self.0))
    }
}

impl From<&AeTitle> for TitleField {
    fn from(title: &AeTitle) -> Self {
        let mut field = [b' '; 16];
        for (place, byte) in field.iter_mut().zip(title.as_str().bytes()) {
            *place = byte;
        }
        Self(field)
    }
}

impl fmt::Debug for TitleField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TitleField({:?})", text(&self.0))
    }
}

/// A-ASSOCIATE-RQ.
pub type AssociateRequest = Associate<ProposedContext>;
/// A-ASSOCIATE-AC.
pub type AssociateAccept = Associate<ContextAnswer>;

/// A request or its answer: they differ in their presentation contexts alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Associate<C> {
    /// Bit 0 stands for version 1, the only one.
    pub protocol_version: u16,
    /// AE title that is called; an answer repeats the request's, as it came.
    pub called: TitleField,
    /// AE title that calls; an answer repeats the request's, as it came.
    pub calling: TitleField,
    /// Thirty-two reserved bytes; an answer repeats them.
    pub reserved: [u8; 32],
    /// Application context name, without padding; empty when the item is missing.
    pub application_context: String,
    /// Proposed contexts, each id once, in the order of the request; or an answer to each of them.
    pub contexts: Vec<C>,
    /// Everything else.
    pub user: UserInformation,
}

/// A presentation context in one of the two.
pub trait Context: Sized {
    /// The PDU that holds it.
    const PDU: u8;
    /// The item that it is.
    const ITEM: u8;
    /// Its id.
    fn id(&self) -> u8;
    /// Reads the value of its item.
    ///
    /// # Errors
    /// [`MalformedError`].
    fn decode(value: &[u8]) -> Result<Self, MalformedError>;
    /// The value of its item.
    ///
    /// # Errors
    /// [`EncodeError`] when a part does not fit its length field.
    fn encode(&self) -> Result<Vec<u8>, EncodeError>;
}

/// A presentation context that a requestor proposes (PS3.8 §9.3.2.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProposedContext {
    /// Odd, 1 to 255.
    pub id: u8,
    /// What is to be talked about: a SOP class.
    pub abstract_syntax: SopClassUid,
    /// How it may be encoded, in the requestor's order of preference; at most 256.
    pub transfer_syntaxes: Vec<TransferSyntaxUid>,
}

/// The answer to one proposed context (PS3.8 §9.3.3.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContextAnswer {
    /// That of the proposed context.
    pub id: u8,
    /// Accepted, or why not.
    pub result: ContextResult,
    /// The one syntax accepted; not significant otherwise.
    pub transfer_syntax: Option<TransferSyntaxUid>,
}

/// Result of negotiating one context (PS3.8 Table 9-18).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ContextResult {
    /// 0
    Accepted,
    /// 1
    UserRejection,
    /// 2
    NoReason,
    /// 3
    AbstractSyntaxNotSupported,
    /// 4
    TransferSyntaxesNotSupported,
}

impl ContextResult {
    const fn code(self) -> u8 {
        match self {
            Self::Accepted => 0,
            Self::UserRejection => 1,
            Self::NoReason => 2,
            Self::AbstractSyntaxNotSupported => 3,
            Self::TransferSyntaxesNotSupported => 4,
        }
    }

    const fn from_code(code: u8) -> Result<Self, MalformedError> {
        Ok(match code {
            0 => Self::Accepted,
            1 => Self::UserRejection,
            2 => Self::NoReason,
            3 => Self::AbstractSyntaxNotSupported,
            4 => Self::TransferSyntaxesNotSupported,
            _ => return Err(MalformedError("the result of a presentation context is not 0 to 4")),
        })
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), MalformedError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(MalformedError("an item that may stand once stands twice")),
    }
}

fn check_ids(ids: impl Iterator<Item = u8>) -> Result<(), MalformedError> {
    let mut seen = [false; 256];
    for id in ids {
        if id % 2 == 0 {
            return Err(MalformedError("the id of a presentation context is even"));
        }
        match seen.get_mut(usize::from(id)) {
            Some(place) if !*place => *place = true,
            _ => return Err(MalformedError("two presentation contexts have one id")),
        }
    }
    Ok(())
}

impl<C: Context> Associate<C> {
    /// Reads all items, once each. Unknown ones are skipped (PS3.8 §9.3.1).
    pub(super) fn decode(body: &[u8]) -> Result<Self, MalformedError> {
        let mut fields = Fields::new(body);
        let protocol_version = fields.u16()?;
        let _reserved = fields.u16()?;
        let called = TitleField(fields.array()?);
        let calling = TitleField(fields.array()?);
        let reserved = fields.array()?;
        let (mut application_context, mut contexts, mut user) = (None, Vec::new(), None);
        while let Some(Item { kind, value }) = fields.item()? {
            match kind {
                APPLICATION_CONTEXT_ITEM => once(&mut application_context, text(value))?,
                USER_INFORMATION_ITEM => once(&mut user, UserInformation::decode(value)?)?,
                kind if kind == C::ITEM && contexts.len() >= CONTEXTS_MAX => {
                    return Err(MalformedError("more than 128 presentation contexts"));
                }
                kind if kind == C::ITEM => contexts.push(C::decode(value)?),
                _ => {}
            }
        }
        check_ids(contexts.iter().map(C::id))?;
        Ok(Self {
            protocol_version,
            called,
            calling,
            reserved,
            application_context: application_context.unwrap_or_default(),
            contexts,
            user: user.unwrap_or_default(),
        })
    }

    /// The PDU.
    ///
    /// # Errors
    /// [`EncodeError`] when a part does not fit its length field.
    pub fn to_pdu(&self) -> Result<Vec<u8>, EncodeError> {
        let mut body = Vec::with_capacity(1024);
        body.put_u16(self.protocol_version);
        body.put_u16(0);
        body.put_slice(&self.called.0);
        body.put_slice(&self.calling.0);
        body.put_slice(&self.reserved);
        let name = text_bytes(&self.application_context);
        put_item(&mut body, APPLICATION_CONTEXT_ITEM, "application context name", &name)?;
        for context in &self.contexts {
            put_item(&mut body, C::ITEM, "presentation context", &context.encode()?)?;
        }
        put_item(&mut body, USER_INFORMATION_ITEM, "user information", &self.user.encode()?)?;
        let mut pdu = Vec::with_capacity(body.len() + 6);
        put_pdu(&mut pdu, C::PDU, &body)?;
        Ok(pdu)
    }
}

impl Context for ProposedContext {
    const PDU: u8 = pdu_type::ASSOCIATE_REQUEST;
    const ITEM: u8 = PROPOSED_CONTEXT_ITEM;

    fn id(&self) -> u8 {
        self.id
    }

    fn decode(value: &[u8]) -> Result<Self, MalformedError> {
        let mut fields = Fields::new(value);
        let [id, _, _, _] = fields.array()?;
        let mut abstract_syntax = None;
        let mut transfer_syntaxes = Vec::new();
        while let Some(Item { kind, value }) = fields.item()? {
            match kind {
                ABSTRACT_SYNTAX_ITEM => {
                    let uid = SopClassUid::from_bytes(value)
                        .map_err(|_| MalformedError("the abstract syntax of a presentation context is empty"))?;
                    once(&mut abstract_syntax, uid)?;
                }
                TRANSFER_SYNTAX_ITEM if transfer_syntaxes.len() >= SYNTAXES_PER_CONTEXT_MAX => {
                    return Err(MalformedError("more than 256 transfer syntaxes in one presentation context"));
                }
                TRANSFER_SYNTAX_ITEM => transfer_syntaxes.extend(TransferSyntaxUid::from_bytes(value)),
                _ => {}
            }
        }
        let abstract_syntax =
            abstract_syntax.ok_or(MalformedError("a presentation context without abstract syntax"))?;
        Ok(Self { id, abstract_syntax, transfer_syntaxes })
    }

    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut value = vec![self.id, 0, 0, 0];
        put_item(&mut value, ABSTRACT_SYNTAX_ITEM, "abstract syntax", &text_bytes(self.abstract_syntax.as_str()))?;
        for syntax in &self.transfer_syntaxes {
            put_item(&mut value, TRANSFER_SYNTAX_ITEM, "transfer syntax", &text_bytes(syntax.as_str()))?;
        }
        Ok(value)
    }
}

impl Context for ContextAnswer {
    const PDU: u8 = pdu_type::ASSOCIATE_ACCEPT;
    const ITEM: u8 = ANSWERED_CONTEXT_ITEM;

    fn id(&self) -> u8 {
        self.id
    }

    fn decode(value: &[u8]) -> Result<Self, MalformedError> {
        let mut fields = Fields::new(value);
        let [id, _, result, _] = fields.array()?;
        let mut transfer_syntax = None;
        while let Some(Item { kind, value }) = fields.item()? {
            if kind == TRANSFER_SYNTAX_ITEM {
                once(&mut transfer_syntax, TransferSyntaxUid::from_bytes(value).ok())?;
            }
        }
        Ok(Self { id, result: ContextResult::from_code(result)?, transfer_syntax: transfer_syntax.flatten() })
    }

    /// PS3.8 §9.3.3.2 wants one transfer syntax sub-item even where it is not significant.
    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut value = vec![self.id, 0, self.result.code(), 0];
        let syntax = self.transfer_syntax.as_ref().map(|uid| text_bytes(uid.as_str())).unwrap_or_default();
        put_item(&mut value, TRANSFER_SYNTAX_ITEM, "transfer syntax", &syntax)?;
        Ok(value)
    }
}
