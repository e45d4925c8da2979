//! The User Information item and its sub-items 51H to 59H (PS3.8 §9.3.2.3, PS3.7 Annex D.3.3).

use std::fmt;

use bytes::{BufMut as _, Bytes};

use super::fields::{EncodeError, Fields, Item, MalformedError, put_counted, put_item, text, text_bytes};

const MAXIMUM_LENGTH: u8 = 0x51;
const IMPLEMENTATION_CLASS: u8 = 0x52;
const OPERATIONS_WINDOW: u8 = 0x53;
const ROLE_SELECTION: u8 = 0x54;
const IMPLEMENTATION_VERSION: u8 = 0x55;
const EXTENDED_NEGOTIATION: u8 = 0x56;
const COMMON_EXTENDED_NEGOTIATION: u8 = 0x57;
const USER_IDENTITY: u8 = 0x58;
const USER_IDENTITY_ANSWER: u8 = 0x59;

/// What the two sides tell each other beyond contexts. UIDs and names are without padding.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserInformation {
    /// 51H: largest P-DATA-TF that its sender takes, in bytes after the length field; 0 for no limit (PS3.8 D.1).
    pub maximum_length: Option<u32>,
    /// 52H: UID of the implementation (PS3.7 D.3.3.2.1).
    pub implementation_class: Option<String>,
    /// 55H: name of its version, at most 16 characters (PS3.7 D.3.3.2.3).
    pub implementation_version: Option<String>,
    /// 53H: operations that may be open at once (PS3.7 D.3.3.3).
    pub operations_window: Option<OperationsWindow>,
    /// 54H: who is SCU and SCP of a class (PS3.7 D.3.3.4).
    pub roles: Vec<RoleSelection>,
    /// 56H: service class application information of a class (PS3.7 D.3.3.5).
    pub extended: Vec<ExtendedNegotiation>,
    /// 57H: which service a class belongs to (PS3.7 D.3.3.6); only in requests.
    pub common: Vec<CommonExtendedNegotiation>,
    /// 58H: who asks (PS3.7 D.3.3.7); only in requests.
    pub identity: Option<UserIdentity>,
    /// 59H: what the acceptor's identity service answers; only in answers.
    pub identity_answer: Option<Bytes>,
}

/// Sub-item 53H: operations that may be open at once; 0 for no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationsWindow {
    /// Invoked by the requestor.
    pub invoked: u16,
    /// Performed by the requestor.
    pub performed: u16,
}

/// Sub-item 54H: the roles of the requestor for one class, each 0 or 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleSelection {
    /// SOP class UID.
    pub class: String,
    /// Requestor as SCU.
    pub scu: u8,
    /// Requestor as SCP.
    pub scp: u8,
}

/// Sub-item 56H.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtendedNegotiation {
    /// SOP class UID.
    pub class: String,
    /// Bytes whose meaning the service class defines.
    pub information: Bytes,
}

/// Sub-item 57H.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommonExtendedNegotiation {
    /// SOP class UID.
    pub class: String,
    /// Service class UID, such as Storage.
    pub service: String,
    /// General SOP classes that this one is a specialisation of.
    pub related: Vec<String>,
}

/// Sub-item 58H. Its fields are credentials: they are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct UserIdentity {
    /// 1 user name, 2 with passcode, 3 Kerberos ticket, 4 SAML assertion, 5 JSON web token.
    pub kind: u8,
    /// Whether an answer is wished: 0 or 1.
    pub answer_requested: u8,
    /// User name, ticket, assertion or token.
    pub primary: Bytes,
    /// Passcode, or empty.
    pub secondary: Bytes,
}

impl fmt::Debug for UserIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserIdentity").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl UserInformation {
    pub(super) fn decode(value: &[u8]) -> Result<Self, MalformedError> {
        let mut information = Self::default();
        let mut fields = Fields::new(value);
        while let Some(item) = fields.item()? {
            information.take(item)?;
        }
        Ok(information)
    }

    /// Unknown sub-items are skipped: PS3.8 §9.3.1 wants them ignored.
    fn take(&mut self, item: Item<'_>) -> Result<(), MalformedError> {
        let mut fields = Fields::new(item.value);
        match item.kind {
            MAXIMUM_LENGTH => self.maximum_length = Some(fields.u32()?),
            IMPLEMENTATION_CLASS => self.implementation_class = Some(text(item.value)),
            IMPLEMENTATION_VERSION => self.implementation_version = Some(text(item.value)),
            OPERATIONS_WINDOW => {
                self.operations_window = Some(OperationsWindow { invoked: fields.u16()?, performed: fields.u16()? });
            }
            ROLE_SELECTION => {
                let class = text(fields.counted()?);
                self.roles.push(RoleSelection { class, scu: fields.byte()?, scp: fields.byte()? });
            }
            EXTENDED_NEGOTIATION => {
                let class = text(fields.counted()?);
                let information = Bytes::copy_from_slice(fields.rest());
                self.extended.push(ExtendedNegotiation { class, information });
            }
            COMMON_EXTENDED_NEGOTIATION => self.common.push(CommonExtendedNegotiation::decode(fields)?),
            USER_IDENTITY => self.identity = Some(UserIdentity::decode(fields)?),
            USER_IDENTITY_ANSWER => self.identity_answer = Some(Bytes::copy_from_slice(fields.counted()?)),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut into = Vec::with_capacity(256);
        if let Some(length) = self.maximum_length {
            put_item(&mut into, MAXIMUM_LENGTH, "maximum length", &length.to_be_bytes())?;
        }
        if let Some(class) = &self.implementation_class {
            put_item(&mut into, IMPLEMENTATION_CLASS, "implementation class UID", &text_bytes(class))?;
        }
        if let Some(window) = self.operations_window {
            let mut value = window.invoked.to_be_bytes().to_vec();
            value.put_u16(window.performed);
            put_item(&mut into, OPERATIONS_WINDOW, "operations window", &value)?;
        }
        for role in &self.roles {
            role.encode(&mut into)?;
        }
        if let Some(version) = &self.implementation_version {
            put_item(&mut into, IMPLEMENTATION_VERSION, "implementation version name", &text_bytes(version))?;
        }
        for extended in &self.extended {
            extended.encode(&mut into)?;
        }
        for common in &self.common {
            common.encode(&mut into)?;
        }
        if let Some(identity) = &self.identity {
            identity.encode(&mut into)?;
        }
        if let Some(answer) = &self.identity_answer {
            let mut value = Vec::new();
            put_counted(&mut value, "user identity answer", answer)?;
            put_item(&mut into, USER_IDENTITY_ANSWER, "user identity answer", &value)?;
        }
        Ok(into)
    }
}

impl RoleSelection {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut value = Vec::new();
        put_counted(&mut value, "SOP class UID", &text_bytes(&self.class))?;
        value.put_slice(&[self.scu, self.scp]);
        put_item(into, ROLE_SELECTION, "role selection", &value)
    }
}

impl ExtendedNegotiation {
    fn encode(&self, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut value = Vec::new();
        put_counted(&mut value, "SOP class UID", &text_bytes(&self.class))?;
        value.put_slice(&self.information);
        put_item(into, EXTENDED_NEGOTIATION, "extended negotiation", &value)
    }
}

impl CommonExtendedNegotiation {
    /// The related classes stand behind a length of their own; what follows it is reserved.
    fn decode(mut fields: Fields<'_>) -> Result<Self, MalformedError> {
        let class = text(fields.counted()?);
        let service = text(fields.counted()?);
        let mut list = if fields.is_empty() { fields } else { Fields::new(fields.counted()?) };
        let mut related = Vec::new();
        while !list.is_empty() {
            related.push(text(list.counted()?));
        }
        Ok(Self { class, service, related })
    }

    fn encode(&self, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut value = Vec::new();
        put_counted(&mut value, "SOP class UID", &text_bytes(&self.class))?;
        put_counted(&mut value, "service class UID", &text_bytes(&self.service))?;
        let mut list = Vec::new();
        for class in &self.related {
            put_counted(&mut list, "related SOP class UID", &text_bytes(class))?;
        }
        put_counted(&mut value, "related SOP classes", &list)?;
        put_item(into, COMMON_EXTENDED_NEGOTIATION, "common extended negotiation", &value)
    }
}

impl UserIdentity {
    fn decode(mut fields: Fields<'_>) -> Result<Self, MalformedError> {
        let [kind, answer_requested] = fields.array()?;
        let primary = Bytes::copy_from_slice(fields.counted()?);
        let secondary = if fields.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(fields.counted()?) };
        Ok(Self { kind, answer_requested, primary, secondary })
    }

    fn encode(&self, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut value = vec![self.kind, self.answer_requested];
        put_counted(&mut value, "user identity", &self.primary)?;
        put_counted(&mut value, "user identity passcode", &self.secondary)?;
        put_item(into, USER_IDENTITY, "user identity", &value)
    }
}
