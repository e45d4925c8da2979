//! Protocol data units: any chunking gives the same, what was read is written and read again as the same, memory follows
//! what came and not what was claimed.

use archive_api::dimse::pdu::{
    Abort, AssociateAccept, DecodeError, Event, Fragment, OFFERED_DATA_BYTES_MIN, PduDecoder, Reject,
};
use archive_api::dimse::presentation::negotiate;

use crate::memory;
use crate::pieces::{pieces, steer};

/// Two bytes steer: the longest P-DATA-TF, how the bytes are cut.
pub fn run(data: &[u8]) {
    let Some(([form, split], rest)) = steer(data) else { return };
    let data_bytes_max = match form % 3 {
        0 => OFFERED_DATA_BYTES_MIN,
        1 => 64,
        _ => u32::MAX,
    };
    let whole = memory::within(64 * 1024 + 64 * rest.len(), || decode(std::iter::once(rest), data_bytes_max));
    let cut = decode(pieces(rest, split), data_bytes_max);
    assert_eq!(whole, cut, "the split {split} changes what was read");
    whole.0.iter().for_each(check);
}

/// Everything that comes out, pieces of one value joined, and the error that ended it.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>, data_bytes_max: u32) -> (Vec<Event>, Option<DecodeError>) {
    let mut decoder = PduDecoder::new(data_bytes_max);
    let (mut events, mut came) = (Vec::new(), 0);
    for piece in pieces {
        decoder.buffer().extend_from_slice(piece);
        came += piece.len();
        loop {
            match decoder.take() {
                Ok(Some(event)) => join(&mut events, event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.take(), Ok(None), "after an error nothing more is decoded");
                    return (events, Some(error));
                }
            }
        }
        assert!(
            decoder.buffer().capacity() <= 4096 + 4 * came,
            "the buffer has room for {}",
            decoder.buffer().capacity()
        );
    }
    (events, None)
}

fn join(events: &mut Vec<Event>, event: Event) {
    if let (Some(Event::Fragment(before)), Event::Fragment(next)) = (events.last_mut(), &event)
        && !before.last
        && (before.context, before.kind) == (next.context, next.kind)
    {
        before.bytes = [&before.bytes[..], &next.bytes].concat().into();
        before.last = next.last;
        return;
    }
    events.push(event);
}

fn check(event: &Event) {
    match event {
        Event::Request(request) => {
            assert!(request.contexts.len() <= 128);
            if let Ok(pdu) = request.to_pdu() {
                again(&pdu, event);
            }
            let negotiated = negotiate(request, None.into());
            assert_eq!(negotiated.answers.len(), request.contexts.len(), "each context is answered");
            let accepted =
                negotiated.contexts.keys().all(|id| request.contexts.iter().any(|context| context.id == *id));
            assert!(accepted, "only what was proposed is accepted");
            let answer = AssociateAccept {
                protocol_version: request.protocol_version,
                called: request.called,
                calling: request.calling,
                reserved: request.reserved,
                application_context: request.application_context.clone(),
                contexts: negotiated.answers,
                user: negotiated.user,
            };
            let pdu = answer.to_pdu().expect("an answer is no longer than its request");
            again(&pdu, &Event::Accept(Box::new(answer)));
        }
        Event::Accept(accept) => {
            if let Ok(pdu) = accept.to_pdu() {
                again(&pdu, event);
            }
        }
        Event::Reject(reject) => again(&Reject::to_pdu(*reject), event),
        Event::Abort(abort) => again(&Abort::to_pdu(*abort), event),
        Event::Fragment(fragment) => again(&Fragment::to_pdu(fragment).expect("short"), event),
        Event::ReleaseRequest | Event::ReleaseReply => {}
    }
}

/// What was written reads as what it was made of.
fn again(pdu: &[u8], expected: &Event) {
    let (events, error) = decode(std::iter::once(pdu), u32::MAX);
    // A PDU may be longer than an A-ASSOCIATE may be here only where the request was near the limit.
    if matches!(error, Some(DecodeError::Length { .. })) {
        return;
    }
    assert_eq!((events.as_slice(), error), (std::slice::from_ref(expected), None), "written and read again");
}
