//! The codec against itself, split points, and bytes that nobody meant.

use archive_core::identifiers::{SopClassUid, TransferSyntaxUid};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const DATA_BYTES_MAX: u32 = OFFERED_DATA_BYTES_DEFAULT;

/// All events of these bytes, pushed in pieces of this length.
fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Event>, DecodeError> {
    let mut decoder = PduDecoder::new(DATA_BYTES_MAX);
    let mut events = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        decoder.buffer().extend_from_slice(piece);
        while let Some(event) = decoder.take()? {
            events.push(event);
        }
    }
    Ok(events)
}

/// Joins pieces of one value, so that where the bytes were split does not matter.
fn joined(events: Vec<Event>) -> Vec<Event> {
    let mut out: Vec<Event> = Vec::new();
    let mut open = false;
    for event in events {
        match (out.last_mut(), event) {
            (Some(Event::Fragment(before)), Event::Fragment(next)) if open => {
                before.bytes = [&before.bytes[..], &next.bytes[..]].concat().into();
                before.last = next.last;
                open = !next.last;
            }
            (_, Event::Fragment(next)) => {
                open = !next.last;
                out.push(Event::Fragment(next));
            }
            (_, other) => out.push(other),
        }
    }
    out
}

fn uid() -> impl Strategy<Value = String> {
    "[0-9]{1,8}(\\.[0-9]{1,8}){0,6}"
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn user_information() -> impl Strategy<Value = UserInformation> {
    let role = (uid(), 0..2_u8, 0..2_u8).prop_map(|(class, scu, scp)| RoleSelection { class, scu, scp });
    let extended = (uid(), any_bytes()).prop_map(|(class, information)| ExtendedNegotiation { class, information });
    let common = (uid(), uid(), vec(uid(), 0..4)).prop_map(|(class, service, related)| CommonExtendedNegotiation {
        class,
        service,
        related,
    });
    let identity =
        (1..6_u8, 0..2_u8, any_bytes(), any_bytes()).prop_map(|(kind, answer_requested, primary, secondary)| {
            UserIdentity { kind, answer_requested, primary, secondary }
        });
    let window = any::<(u16, u16)>().prop_map(|(invoked, performed)| OperationsWindow { invoked, performed });
    let first = (option::of(any::<u32>()), option::of(uid()), option::of("[A-Z_0-9]{1,16}"), option::of(window));
    let second =
        (vec(role, 0..4), vec(extended, 0..4), vec(common, 0..4), option::of(identity), option::of(any_bytes()));
    (first, second).prop_map(
        |(
            (maximum_length, implementation_class, implementation_version, operations_window),
            (roles, extended, common, identity, identity_answer),
        )| {
            UserInformation {
                maximum_length,
                implementation_class,
                implementation_version,
                operations_window,
                roles,
                extended,
                common,
                identity,
                identity_answer,
            }
        },
    )
}

/// Odd ids, each once.
fn ids() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::hash_set(0..128_u8, 0..6).prop_map(|halves| halves.into_iter().map(|half| half * 2 + 1).collect())
}

fn syntaxes() -> impl Strategy<Value = Vec<TransferSyntaxUid>> {
    vec(uid().prop_map(|text| TransferSyntaxUid::parse(&text).expect("a UID")), 0..4)
}

fn requests() -> impl Strategy<Value = AssociateRequest> {
    let contexts = ids().prop_flat_map(|ids| {
        let context = |id| {
            (uid(), syntaxes()).prop_map(move |(class, transfer_syntaxes)| ProposedContext {
                id,
                abstract_syntax: SopClassUid::parse(&class).expect("a UID"),
                transfer_syntaxes,
            })
        };
        ids.into_iter().map(context).collect::<Vec<_>>()
    });
    (any::<u16>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u8; 32]>(), uid(), contexts, user_information())
        .prop_map(|(protocol_version, called, calling, reserved, application_context, contexts, user)| {
            AssociateRequest {
                protocol_version,
                called: TitleField(called),
                calling: TitleField(calling),
                reserved,
                application_context,
                contexts,
                user,
            }
        })
}

fn answers() -> impl Strategy<Value = AssociateAccept> {
    let result = prop_oneof![
        Just(ContextResult::Accepted),
        Just(ContextResult::UserRejection),
        Just(ContextResult::NoReason),
        Just(ContextResult::AbstractSyntaxNotSupported),
        Just(ContextResult::TransferSyntaxesNotSupported),
    ];
    let results = vec((result, option::of(uid())), 6);
    (ids(), results, any::<[u8; 16]>(), any::<[u8; 32]>(), uid(), user_information()).prop_map(
        |(ids, results, title, reserved, application_context, user)| AssociateAccept {
            protocol_version: 1,
            called: TitleField(title),
            calling: TitleField(title),
            reserved,
            application_context,
            contexts: ids
                .into_iter()
                .zip(results)
                .map(|(id, (result, syntax))| ContextAnswer {
                    id,
                    result,
                    transfer_syntax: syntax.map(|text| TransferSyntaxUid::parse(&text).expect("a UID")),
                })
                .collect(),
            user,
        },
    )
}

fn fragments() -> impl Strategy<Value = Fragment> {
    let kind = prop_oneof![Just(FragmentKind::Command), Just(FragmentKind::DataSet)];
    (any::<u8>(), kind, vec(any::<u8>(), 0..300)).prop_map(|(context, kind, bytes)| Fragment {
        context,
        kind,
        last: true,
        bytes: bytes.into(),
    })
}

/// A PDU and its bytes.
fn pdus() -> impl Strategy<Value = (Event, Vec<u8>)> {
    prop_oneof![
        requests().prop_map(|pdu| (Event::Request(Box::new(pdu.clone())), pdu.to_pdu().expect("fits"))),
        answers().prop_map(|pdu| (Event::Accept(Box::new(pdu.clone())), pdu.to_pdu().expect("fits"))),
        any::<[u8; 3]>().prop_map(|[result, source, reason]| {
            let pdu = Reject { result, source, reason };
            (Event::Reject(pdu), pdu.to_pdu().to_vec())
        }),
        any::<[u8; 2]>().prop_map(|[source, reason]| {
            let pdu = Abort { source, reason };
            (Event::Abort(pdu), pdu.to_pdu().to_vec())
        }),
        Just((Event::ReleaseRequest, RELEASE_REQUEST.to_vec())),
        Just((Event::ReleaseReply, RELEASE_REPLY.to_vec())),
        fragments().prop_map(|fragment| (Event::Fragment(fragment.clone()), fragment.to_pdu().expect("fits"))),
    ]
}

proptest! {
    #[test]
    fn every_pdu_survives_the_way_there_and_back_whatever_the_pieces(
        sent in vec(pdus(), 1..6), piece in 1_usize..400
    ) {
        let bytes: Vec<u8> = sent.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let events: Vec<Event> = sent.into_iter().map(|(event, _)| event).collect();
        prop_assert_eq!(joined(decode(&bytes, piece).expect("valid")), events);
    }

    #[test]
    fn arbitrary_bytes_end_in_events_or_an_error_and_give_out_no_more_than_came(
        bytes in vec(any::<u8>(), 0..600), piece in 1_usize..100
    ) {
        if let Ok(events) = decode(&bytes, piece) {
            let given: usize = events.iter().map(|event| match event {
                Event::Fragment(fragment) => fragment.bytes.len(),
                _ => 0,
            }).sum();
            prop_assert!(given <= bytes.len());
        }
    }

    #[test]
    fn a_pdu_with_changed_bytes_is_decoded_or_refused(
        (_, mut bytes) in pdus(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()
    ) {
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = decode(&bytes, 7);
    }
}

#[test]
fn i12_a_claimed_length_reserves_nothing() {
    for (kind, length) in [(pdu_type::ASSOCIATE_REQUEST, ASSOCIATE_BYTES_MAX), (pdu_type::DATA, DATA_BYTES_MAX)] {
        let mut decoder = PduDecoder::new(DATA_BYTES_MAX);
        let mut bytes = vec![kind, 0];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[0; 3]);
        decoder.buffer().extend_from_slice(&bytes);
        assert_eq!(decoder.take(), Ok(None));
        assert!(decoder.buffer().capacity() <= 1024, "{} bytes reserved", decoder.buffer().capacity());
    }
}

#[test]
fn lengths_that_a_type_may_not_have_are_refused_as_soon_as_they_are_read() {
    let cases = [
        (pdu_type::ASSOCIATE_REQUEST, 0),
        (pdu_type::ASSOCIATE_REQUEST, ASSOCIATE_BYTES_MIN - 1),
        (pdu_type::ASSOCIATE_REQUEST, ASSOCIATE_BYTES_MAX + 1),
        (pdu_type::ASSOCIATE_ACCEPT, u32::MAX),
        (pdu_type::DATA, 0),
        (pdu_type::DATA, 5),
        (pdu_type::DATA, DATA_BYTES_MAX + 1),
        (pdu_type::DATA, u32::MAX),
        (pdu_type::RELEASE_REQUEST, 0),
        (pdu_type::ABORT, u32::MAX),
    ];
    for (kind, length) in cases {
        let mut bytes = vec![kind, 0];
        bytes.extend_from_slice(&length.to_be_bytes());
        let error = decode(&bytes, 100).expect_err("a length that may not be");
        assert!(matches!(error, DecodeError::Length { .. }), "{kind} {length}");
        assert_eq!(error.abort_reason(), ProviderReason::InvalidParameter);
    }
}

#[test]
fn the_first_byte_of_another_protocol_is_enough() {
    for other in [&b"G"[..], b"SSH-2.0", &[0x16, 3, 1], &[0]] {
        let error = decode(other, 1).expect_err("no DICOM");
        assert_eq!(error.abort_reason(), ProviderReason::UnrecognizedPdu);
    }
}

#[test]
fn a_value_that_lies_about_its_length_is_refused() {
    for length in [0_u32, 1, 3, 9, 0x7FFF_FFFF, u32::MAX] {
        let mut bytes = vec![pdu_type::DATA, 0, 0, 0, 0, 6];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[1, 2]);
        assert!(matches!(decode(&bytes, 100), Err(DecodeError::Malformed { .. })), "{length}");
    }
}

#[test]
fn bytes_left_over_in_a_data_pdu_are_refused() {
    let mut bytes = vec![pdu_type::DATA, 0, 0, 0, 0, 9, 0, 0, 0, 2, 1, 2];
    bytes.extend_from_slice(&[0, 0, 0, 5, 0, 0]);
    assert!(matches!(decode(&bytes, 100), Err(DecodeError::Malformed { .. })));
}

#[test]
fn values_of_one_pdu_come_out_as_they_arrive() {
    let mut decoder = PduDecoder::new(DATA_BYTES_MAX);
    decoder.buffer().extend_from_slice(&[pdu_type::DATA, 0, 0, 0, 0, 16, 0, 0, 0, 6, 3, 1, 10, 11]);
    let fragment = |kind, last, bytes: &'static [u8]| {
        Some(Event::Fragment(Fragment { context: 3, kind, last, bytes: Bytes::from_static(bytes) }))
    };
    assert_eq!(decoder.take(), Ok(fragment(FragmentKind::Command, false, &[10, 11])));
    assert_eq!(decoder.take(), Ok(None));
    decoder.buffer().extend_from_slice(&[12, 13, 0, 0, 0, 2, 3, 2]);
    assert_eq!(decoder.take(), Ok(fragment(FragmentKind::Command, false, &[12, 13])));
    assert_eq!(decoder.take(), Ok(fragment(FragmentKind::DataSet, true, &[])));
    assert_eq!(decoder.take(), Ok(None));
}

fn request_with(contexts: Vec<ProposedContext>) -> AssociateRequest {
    AssociateRequest {
        protocol_version: 1,
        called: TitleField([b'A'; 16]),
        calling: TitleField([b'B'; 16]),
        reserved: [0; 32],
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts,
        user: UserInformation::default(),
    }
}

fn context(id: u8, syntax_count: usize) -> ProposedContext {
    ProposedContext {
        id,
        abstract_syntax: SopClassUid::parse("1.2.3").expect("a UID"),
        transfer_syntaxes: vec![TransferSyntaxUid::parse("1.2").expect("a UID"); syntax_count],
    }
}

#[test]
fn context_ids_are_odd_and_stand_once() {
    for contexts in [vec![context(2, 1)], vec![context(0, 1)], vec![context(1, 1), context(1, 1)]] {
        let bytes = request_with(contexts).to_pdu().expect("fits");
        assert!(matches!(decode(&bytes, 100), Err(DecodeError::Malformed { .. })));
    }
    let all = (0..128).map(|half| context(half * 2 + 1, 1)).collect();
    assert!(decode(&request_with(all).to_pdu().expect("fits"), 4096).is_ok());
}

#[test]
fn more_contexts_or_syntaxes_than_allowed_are_refused() {
    let too_many = (0..129).map(|_| context(1, 1)).collect();
    assert!(decode(&request_with(too_many).to_pdu().expect("fits"), 4096).is_err());
    assert!(decode(&request_with(vec![context(1, 256)]).to_pdu().expect("fits"), 4096).is_ok());
    assert!(decode(&request_with(vec![context(1, 257)]).to_pdu().expect("fits"), 4096).is_err());
}

#[test]
fn what_does_not_fit_its_length_field_is_an_error_and_no_wrong_pdu() {
    assert!(request_with(vec![context(1, 10_000)]).to_pdu().is_err());
}

#[test]
fn credentials_are_not_printed() {
    let identity = UserIdentity {
        kind: 2,
        answer_requested: 0,
        primary: Bytes::from_static(b"alice"),
        secondary: Bytes::from_static(b"secret"),
    };
    assert_eq!(format!("{identity:?}"), "UserIdentity { kind: 2, .. }");
}
