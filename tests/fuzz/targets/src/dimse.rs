//! DIMSE command sets: what was read is written and read again as the same, and every request has an answer that a peer can
//! read.

use archive_api::dimse::DimseStatus;
use archive_api::dimse::command::{CommandSet, Request, element, field};
use bytes::Bytes;

use crate::memory;

/// Nothing steers: the input is the command set.
pub fn run(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let set = memory::within(16 * 1024 + 64 * data.len(), || CommandSet::decode(bytes.clone()));
    let request = Request::decode(bytes);
    let Ok(set) = set else {
        assert!(request.is_err(), "no request without a command set");
        return;
    };
    assert_eq!(CommandSet::decode(set.encode().into()).as_ref(), Ok(&set), "written and read again");
    let Ok(request) = request else { return };
    assert_eq!(request.field & field::RESPONSE_BIT, 0, "a response is no request");
    for uid in
        [request.affected_class().map(|uid| uid.to_string()), request.affected_instance().map(|uid| uid.to_string())]
    {
        assert!(uid.is_none_or(|uid| !uid.is_empty()));
    }
    for status in [DimseStatus::success(), DimseStatus::unrecognized_operation(), DimseStatus::no_data_set()] {
        let response = request.response(&status);
        let read = CommandSet::decode(response.encode().into()).expect("an answer is a command set");
        assert_eq!(read.number(element::COMMAND_FIELD), Some(request.field | field::RESPONSE_BIT));
        assert_eq!(read.number(element::RESPONDED_TO), Some(request.message_id));
        assert_eq!(read.number(element::STATUS), Some(status.code));
    }
}
