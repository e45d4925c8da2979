//! Command sets: group 0000 in Implicit VR Little Endian (PS3.7 §6.3, Annex E).
//!
//! A command set is small and comes whole (≤ 64 KiB). Elements that an operation does not need are kept and ignored;
//! what cannot be delimited, or says one thing twice, is no command set.

use std::collections::BTreeMap;

use archive_core::identifiers::{SopClassUid, SopUid};
use bytes::{Buf as _, BufMut as _, Bytes};

use super::status::DimseStatus;

/// Bytes of one command set; those of C- and N-services have some hundred.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// Element numbers in group 0000 (PS3.7 Annex E).
pub mod element {
    /// Command Group Length.
    pub const GROUP_LENGTH: u16 = 0x0000;
    /// Affected SOP Class UID.
    pub const AFFECTED_CLASS: u16 = 0x0002;
    /// Command Field.
    pub const COMMAND_FIELD: u16 = 0x0100;
    /// Message ID.
    pub const MESSAGE_ID: u16 = 0x0110;
    /// Message ID Being Responded To.
    pub const RESPONDED_TO: u16 = 0x0120;
    /// Priority.
    pub const PRIORITY: u16 = 0x0700;
    /// Command Data Set Type.
    pub const DATA_SET_TYPE: u16 = 0x0800;
    /// Status.
    pub const STATUS: u16 = 0x0900;
    /// Offending Element.
    pub const OFFENDING_ELEMENT: u16 = 0x0901;
    /// Error Comment.
    pub const ERROR_COMMENT: u16 = 0x0902;
    /// Affected SOP Instance UID.
    pub const AFFECTED_INSTANCE: u16 = 0x1000;
}

/// Values of Command Field (PS3.7 Annex E).
pub mod field {
    /// C-STORE-RQ.
    pub const STORE_REQUEST: u16 = 0x0001;
    /// C-ECHO-RQ.
    pub const ECHO_REQUEST: u16 = 0x0030;
    /// C-CANCEL-RQ.
    pub const CANCEL_REQUEST: u16 = 0x0FFF;
    /// Set in every response.
    pub const RESPONSE_BIT: u16 = 0x8000;
}

/// Command Data Set Type: no data set follows; any other value: one does.
pub const NO_DATA_SET: u16 = 0x0101;

/// Why bytes are no command set, or none that can be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The elements cannot be delimited, are not of group 0000, or stand twice.
    #[error("the command set is malformed: {0}")]
    Malformed(&'static str),
    /// An element without which there is no answer is missing, or is no 16-bit number.
    #[error("the command set has no usable element (0000,{0:04X})")]
    Missing(u16),
}

/// The elements of a command set by number, group length left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CommandSet {
    elements: BTreeMap<u16, Bytes>,
}

impl CommandSet {
    /// Reads a whole command set.
    ///
    /// # Errors
    /// [`CommandError::Malformed`].
    pub fn decode(mut bytes: Bytes) -> Result<Self, CommandError> {
        let mut set = Self::default();
        while !bytes.is_empty() {
            if bytes.len() < 8 {
                return Err(CommandError::Malformed("bytes are left over"));
            }
            let (group, number, length) = (bytes.get_u16_le(), bytes.get_u16_le(), bytes.get_u32_le());
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if group != 0 {
                return Err(CommandError::Malformed("an element is not of group 0000"));
            }
            if length > bytes.len() {
                return Err(CommandError::Malformed("an element ends past the command set"));
            }
            let value = bytes.split_to(length);
            if number != element::GROUP_LENGTH && set.elements.insert(number, value).is_some() {
                return Err(CommandError::Malformed("an element stands twice"));
            }
        }
        Ok(set)
    }

    /// The bytes, with group length, elements in order, each of even length.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(256);
        for (&number, value) in &self.elements {
            put_element(&mut body, number, value);
        }
        let mut bytes = Vec::with_capacity(body.len() + 12);
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        put_element(&mut bytes, element::GROUP_LENGTH, &length.to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// A 16-bit number.
    #[must_use]
    pub fn number(&self, number: u16) -> Option<u16> {
        let value: &[u8] = self.elements.get(&number)?;
        value.try_into().ok().map(u16::from_le_bytes)
    }

    /// The bytes of an element.
    #[must_use]
    pub fn bytes(&self, number: u16) -> Option<&Bytes> {
        self.elements.get(&number)
    }

    /// Sets a 16-bit number.
    pub fn set_number(&mut self, number: u16, value: u16) {
        self.set_bytes(number, &value.to_le_bytes());
    }

    /// Sets the bytes of an element, padded with NUL to even length.
    pub fn set_bytes(&mut self, number: u16, value: &[u8]) {
        let mut padded = value.to_vec();
        padded.resize(value.len().next_multiple_of(2), 0);
        self.elements.insert(number, padded.into());
    }

    /// Sets text, padded with a space to even length.
    pub fn set_text(&mut self, number: u16, text: &str) {
        let mut padded = text.as_bytes().to_vec();
        padded.resize(text.len().next_multiple_of(2), b' ');
        self.elements.insert(number, padded.into());
    }
}

fn put_element(into: &mut Vec<u8>, number: u16, value: &[u8]) {
    into.put_u16_le(0);
    into.put_u16_le(number);
    into.put_u32_le(u32::try_from(value.len()).unwrap_or(u32::MAX));
    into.put_slice(value);
}

/// A message that a peer sends: its operation and what its answer needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Command Field.
    pub field: u16,
    /// Message ID; 0 for C-CANCEL-RQ, which has none and no answer.
    pub message_id: u16,
    /// Whether a data set follows.
    pub has_data_set: bool,
    set: CommandSet,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// [`CommandError`] when the bytes are no command set, or nothing could be answered to it.
    pub fn decode(bytes: Bytes) -> Result<Self, CommandError> {
        let set = CommandSet::decode(bytes)?;
        let need = |number| set.number(number).ok_or(CommandError::Missing(number));
        let field = need(element::COMMAND_FIELD)?;
        if field & field::RESPONSE_BIT != 0 {
            return Err(CommandError::Malformed("a response to nothing that was asked"));
        }
        let message_id = if field == field::CANCEL_REQUEST { 0 } else { need(element::MESSAGE_ID)? };
        let has_data_set = need(element::DATA_SET_TYPE)? != NO_DATA_SET;
        Ok(Self { field, message_id, has_data_set, set })
    }

    /// Affected SOP Class UID, unless missing or empty.
    #[must_use]
    pub fn affected_class(&self) -> Option<SopClassUid> {
        SopClassUid::from_bytes(self.set.bytes(element::AFFECTED_CLASS)?).ok()
    }

    /// Affected SOP Instance UID, unless missing or empty.
    #[must_use]
    pub fn affected_instance(&self) -> Option<SopUid> {
        SopUid::from_bytes(self.set.bytes(element::AFFECTED_INSTANCE)?).ok()
    }

    /// The response with this status. It repeats the affected UIDs as they came.
    #[must_use]
    pub fn response(&self, status: &DimseStatus) -> CommandSet {
        let mut response = CommandSet::default();
        for repeated in [element::AFFECTED_CLASS, element::AFFECTED_INSTANCE] {
            if let Some(value) = self.set.bytes(repeated) {
                response.set_bytes(repeated, value);
            }
        }
        response.set_number(element::COMMAND_FIELD, self.field | field::RESPONSE_BIT);
        response.set_number(element::RESPONDED_TO, self.message_id);
        response.set_number(element::DATA_SET_TYPE, NO_DATA_SET);
        response.set_number(element::STATUS, status.code);
        if let Some((group, number)) = status.offending {
            let mut tag = group.to_le_bytes().to_vec();
            tag.put_u16_le(number);
            response.set_bytes(element::OFFENDING_ELEMENT, &tag);
        }
        if let Some(comment) = &status.comment {
            response.set_text(element::ERROR_COMMENT, comment);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn store_request() -> CommandSet {
        let mut set = CommandSet::default();
        set.set_bytes(element::AFFECTED_CLASS, b"1.2.840.10008.5.1.4.1.1.7");
        set.set_number(element::COMMAND_FIELD, field::STORE_REQUEST);
        set.set_number(element::MESSAGE_ID, 7);
        set.set_number(element::PRIORITY, 0);
        set.set_number(element::DATA_SET_TYPE, 1);
        set.set_bytes(element::AFFECTED_INSTANCE, b"1.2.3");
        set
    }

    #[test]
    fn a_request_says_what_it_is_about() {
        let request = Request::decode(store_request().encode().into()).expect("a request");
        assert_eq!((request.field, request.message_id, request.has_data_set), (field::STORE_REQUEST, 7, true));
        assert_eq!(request.affected_instance().expect("UID").as_str(), "1.2.3");
        assert_eq!(request.affected_class().expect("UID").as_str(), "1.2.840.10008.5.1.4.1.1.7");
    }

    #[test]
    fn a_response_repeats_message_id_and_uids_and_carries_status_element_and_comment() {
        let request = Request::decode(store_request().encode().into()).expect("a request");
        let status = DimseStatus { code: 0xC000, comment: Some("why".into()), offending: Some((0x7FE0, 0x0010)) };
        let response = CommandSet::decode(request.response(&status).encode().into()).expect("a command set");
        assert_eq!(response.number(element::COMMAND_FIELD), Some(0x8001));
        assert_eq!(response.number(element::RESPONDED_TO), Some(7));
        assert_eq!(response.number(element::STATUS), Some(0xC000));
        assert_eq!(response.number(element::DATA_SET_TYPE), Some(NO_DATA_SET));
        assert_eq!(response.bytes(element::OFFENDING_ELEMENT).expect("tag")[..], [0xE0, 0x7F, 0x10, 0x00]);
        assert_eq!(response.bytes(element::ERROR_COMMENT).expect("comment")[..], *b"why ");
        assert_eq!(response.bytes(element::AFFECTED_INSTANCE).expect("UID")[..], *b"1.2.3\0");
    }

    #[test]
    fn what_cannot_be_answered_is_an_error_that_names_the_element() {
        for needed in [element::COMMAND_FIELD, element::MESSAGE_ID, element::DATA_SET_TYPE] {
            let mut set = store_request();
            set.elements.remove(&needed);
            assert_eq!(Request::decode(set.encode().into()), Err(CommandError::Missing(needed)));
            set.set_bytes(needed, b"1234");
            assert_eq!(Request::decode(set.encode().into()), Err(CommandError::Missing(needed)));
        }
    }

    #[test]
    fn an_element_that_stands_twice_or_of_another_group_makes_no_command_set() {
        let mut twice = store_request().encode();
        put_element(&mut twice, element::MESSAGE_ID, &[9, 0]);
        assert!(matches!(CommandSet::decode(twice.into()), Err(CommandError::Malformed(_))));
        let mut other = store_request().encode();
        other.extend_from_slice(&[0x08, 0, 0x16, 0, 0, 0, 0, 0]);
        assert!(matches!(CommandSet::decode(other.into()), Err(CommandError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn command_sets_survive_the_way_there_and_back(
            elements in prop::collection::btree_map(1_u16.., prop::collection::vec(any::<u8>(), 0..40), 0..20)
        ) {
            let mut set = CommandSet::default();
            for (number, value) in &elements {
                set.set_bytes(*number, value);
            }
            prop_assert_eq!(CommandSet::decode(set.encode().into()), Ok(set));
        }

        #[test]
        fn arbitrary_bytes_are_a_command_set_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(bytes.into());
        }
    }
}
