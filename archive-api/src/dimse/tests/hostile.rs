//! Peers that break the rules: only their own association ends, nothing of theirs is stored.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::fake::{FakeTarget, Fate};
use super::peer::{ECHO_CONTEXT, STORE_CONTEXT, begin, echo_command, open, request, store_command};
use crate::dimse::DimseConfig;
use crate::dimse::association::End;
use crate::dimse::command::{COMMAND_BYTES_MAX, element, field};
use crate::dimse::pdu::{Abort, FragmentKind, RELEASE_REPLY, RELEASE_REQUEST, pdu_type};

const UNRECOGNIZED: (u8, u8) = (2, 1);
const UNEXPECTED: (u8, u8) = (2, 2);
const INVALID: (u8, u8) = (2, 6);
const USER: (u8, u8) = (0, 0);

/// What an association answers to these bytes before anything else.
async fn greeted_with(bytes: &[u8]) -> (u8, u8) {
    let (mut peer, _running) = begin(DimseConfig::default(), &FakeTarget::default());
    peer.send_if_taken(bytes).await;
    peer.be_aborted().await
}

/// What an open association answers to these bytes.
async fn told(bytes: &[u8]) -> (u8, u8) {
    let (mut peer, _running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    peer.send_if_taken(bytes).await;
    peer.be_aborted().await
}

#[tokio::test]
async fn other_protocols_are_told_that_this_is_none_of_theirs() {
    for greeting in
        [&b"GET / HTTP/1.1\r\nHost: archive\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n", &[0xFF; 4096]]
    {
        assert_eq!(greeted_with(greeting).await, UNRECOGNIZED);
    }
}

#[tokio::test]
async fn pdu_lengths_that_lie_end_the_association() {
    for length in [0, 1, 67, (1 << 20) + 1, u32::MAX] {
        let mut pdu = vec![pdu_type::ASSOCIATE_REQUEST, 0];
        pdu.extend_from_slice(&u32::to_be_bytes(length));
        assert_eq!(greeted_with(&pdu).await, INVALID, "request of {length}");
    }
    for length in [0, 1, 5, 128 * 1024 + 1, u32::MAX] {
        let mut pdu = vec![pdu_type::DATA, 0];
        pdu.extend_from_slice(&u32::to_be_bytes(length));
        assert_eq!(told(&pdu).await, INVALID, "data of {length}");
    }
    for value in [0_u32, 1, 0xFFFF, u32::MAX] {
        let mut pdu = vec![pdu_type::DATA, 0, 0, 0, 0, 32];
        pdu.extend_from_slice(&value.to_be_bytes());
        pdu.extend_from_slice(&[STORE_CONTEXT, 3]);
        assert_eq!(told(&pdu).await, INVALID, "value of {value}");
    }
}

#[tokio::test]
async fn a_request_whose_items_lie_is_refused() {
    let honest = request().to_pdu().expect("fits");
    for at in 74..honest.len() {
        let mut pdu = honest.clone();
        pdu[at] = 0xFF;
        let target = FakeTarget::default();
        let (mut peer, running) = begin(DimseConfig::default(), &target);
        peer.send_if_taken(&pdu).await;
        assert!(peer.next().await.is_some(), "byte {at}: always an answer");
        drop(peer);
        running.task.await.expect("no panic");
    }
}

#[tokio::test]
async fn what_may_not_come_first_is_unexpected() {
    let data = [4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 1, 3];
    let mut early = vec![data.to_vec(), RELEASE_REQUEST.to_vec(), RELEASE_REPLY.to_vec()];
    early.push(vec![pdu_type::ASSOCIATE_REJECT, 0, 0, 0, 0, 4, 0, 1, 1, 1]);
    for pdu in early {
        assert_eq!(greeted_with(&pdu).await, UNEXPECTED);
    }
}

#[tokio::test]
async fn what_may_not_come_later_is_unexpected() {
    let again = request().to_pdu().expect("fits");
    for pdu in [&again[..], &RELEASE_REPLY, &[pdu_type::ASSOCIATE_REJECT, 0, 0, 0, 0, 4, 0, 1, 1, 1]] {
        assert_eq!(told(pdu).await, UNEXPECTED);
        let target = FakeTarget::default();
        let (mut peer, _running) = open(DimseConfig::default(), &target).await;
        peer.command(STORE_CONTEXT, &store_command(1)).await;
        peer.send_if_taken(pdu).await;
        assert_eq!(peer.be_aborted().await, UNEXPECTED, "within a message");
        assert!(target.stored().is_empty());
    }
}

/// A message of these fragments: context, kind, last.
async fn fragments(fragments: &[(u8, FragmentKind, bool)]) -> (u8, u8) {
    let target = FakeTarget::default();
    let (mut peer, running) = open(DimseConfig::default(), &target).await;
    let command = store_command(1).encode();
    for (index, &(context, kind, last)) in fragments.iter().enumerate() {
        let bytes = if index == 0 { &command[..] } else { b"data" };
        peer.fragment(context, kind, last, bytes).await;
    }
    let abort = peer.be_aborted().await;
    running.task.await.expect("no panic");
    assert!(target.stored().is_empty());
    abort
}

#[tokio::test]
async fn interleaved_or_disordered_fragments_end_the_association() {
    use FragmentKind::{Command, DataSet};
    assert_eq!(fragments(&[(STORE_CONTEXT, DataSet, true)]).await, INVALID, "data without a command");
    assert_eq!(fragments(&[(5, Command, true)]).await, INVALID, "a context never proposed");
    assert_eq!(fragments(&[(STORE_CONTEXT, Command, true), (ECHO_CONTEXT, DataSet, true)]).await, INVALID);
    assert_eq!(fragments(&[(STORE_CONTEXT, Command, false), (ECHO_CONTEXT, Command, true)]).await, INVALID);
    assert_eq!(fragments(&[(STORE_CONTEXT, Command, false), (STORE_CONTEXT, DataSet, true)]).await, INVALID);
    assert_eq!(fragments(&[(STORE_CONTEXT, Command, true), (STORE_CONTEXT, Command, true)]).await, INVALID);
    let between = [(STORE_CONTEXT, Command, true), (STORE_CONTEXT, DataSet, false), (STORE_CONTEXT, Command, true)];
    assert_eq!(fragments(&between).await, INVALID);
}

#[tokio::test]
async fn a_data_set_that_was_not_announced_ends_the_association() {
    let (mut peer, _running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    peer.command(ECHO_CONTEXT, &echo_command(1)).await;
    assert_eq!(peer.status().await, (1, 0));
    peer.fragment(ECHO_CONTEXT, FragmentKind::DataSet, true, b"surprise").await;
    assert_eq!(peer.be_aborted().await, INVALID);
}

#[tokio::test]
async fn commands_that_cannot_be_answered_end_the_association() {
    let mut response = store_command(1);
    response.set_number(element::COMMAND_FIELD, field::STORE_REQUEST | field::RESPONSE_BIT);
    let mut typed = store_command(1);
    typed.set_bytes(element::MESSAGE_ID, b"long");
    for command in [response.encode(), typed.encode(), b"no command set".to_vec(), Vec::new()] {
        let (mut peer, _running) = open(DimseConfig::default(), &FakeTarget::default()).await;
        peer.fragment(STORE_CONTEXT, FragmentKind::Command, true, &command).await;
        assert_eq!(peer.be_aborted().await, USER);
    }
}

#[tokio::test]
async fn a_command_without_end_is_cut_off_at_its_limit() {
    let (mut peer, running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    let piece = vec![0_u8; 16 * 1024];
    for _ in 0..=COMMAND_BYTES_MAX / piece.len() + 1 {
        peer.fragment(STORE_CONTEXT, FragmentKind::Command, false, &piece).await;
    }
    assert_eq!(peer.be_aborted().await, USER);
    running.task.await.expect("no panic");
}

#[tokio::test]
async fn a_store_that_lacks_something_is_refused_and_the_association_usable() {
    let target = FakeTarget::default();
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    for lacking in [element::AFFECTED_CLASS, element::AFFECTED_INSTANCE] {
        let mut command = store_command(1);
        command.set_bytes(lacking, b"");
        peer.command(STORE_CONTEXT, &command).await;
        peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, true, b"data").await;
        let response = peer.response().await;
        assert_eq!(response.number(element::STATUS), Some(0xA900));
        let tag = [&[0, 0][..], &lacking.to_le_bytes()].concat();
        assert_eq!(response.bytes(element::OFFENDING_ELEMENT).expect("named")[..], tag);
    }
    let mut without = store_command(2);
    without.set_number(element::DATA_SET_TYPE, 0x0101);
    peer.command(STORE_CONTEXT, &without).await;
    assert_eq!(peer.status().await, (2, 0xC000));
    peer.command(ECHO_CONTEXT, &store_command(3)).await;
    peer.fragment(ECHO_CONTEXT, FragmentKind::DataSet, true, b"data").await;
    assert_eq!(peer.status().await, (3, 0x0122));
    let mut echo = echo_command(4);
    echo.set_number(element::DATA_SET_TYPE, 1);
    peer.command(ECHO_CONTEXT, &echo).await;
    peer.fragment(ECHO_CONTEXT, FragmentKind::DataSet, true, b"data").await;
    assert_eq!(peer.status().await, (4, 0x0212));
    peer.echo().await;
    assert_eq!(target.counts().0, 0, "none of these reached the archive");
}

/// The bytes of a whole conversation.
fn conversation() -> Vec<u8> {
    let mut bytes = request().to_pdu().expect("fits");
    let fragment = |kind, last, bytes: &[u8]| {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        crate::dimse::pdu::Fragment { context: STORE_CONTEXT, kind, last, bytes }.to_pdu().expect("fits")
    };
    bytes.extend(fragment(FragmentKind::Command, true, &store_command(1).encode()));
    bytes.extend(fragment(FragmentKind::DataSet, false, b"first"));
    bytes.extend(fragment(FragmentKind::DataSet, true, b"second"));
    bytes.extend(RELEASE_REQUEST);
    bytes
}

#[tokio::test]
async fn i14_a_connection_may_end_after_any_byte_and_only_whole_instances_stay() {
    let conversation = conversation();
    let release = conversation.len() - RELEASE_REQUEST.len();
    for length in 0..=conversation.len() {
        let target = FakeTarget::default();
        let (mut peer, running) = begin(DimseConfig::default(), &target);
        peer.send(&conversation[..length]).await;
        peer.send_no_more().await;
        let end = running.task.await.expect("no panic");
        assert!(matches!(end, End::Closed | End::Released), "after {length} bytes: {end:?}");
        let (begun, forgotten, _) = target.counts();
        assert_eq!(target.stored().len(), begun - forgotten);
        assert_eq!(target.stored().len(), usize::from(length >= release), "after {length} bytes");
    }
}

/// Sends these bytes, then nothing more, and reads what is answered: how the association ended, and what it stored.
fn served(bytes: &[u8]) -> (End, FakeTarget) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("one");
    let target = FakeTarget::default();
    let end = runtime.block_on(async {
        let (mut peer, running) = begin(DimseConfig::default(), &target);
        peer.send_if_taken(bytes).await;
        peer.send_no_more().await;
        while peer.next().await.is_some() {}
        running.task.await.expect("no panic")
    });
    (end, target)
}

proptest! {
    #[test]
    fn a_conversation_with_changed_bytes_ends_and_stores_only_what_it_acknowledges(
        changes in vec((any::<Index>(), any::<u8>()), 1..6), repeats in 1_usize..4
    ) {
        let mut bytes = conversation();
        let fixed = request().to_pdu().expect("fits").len();
        let messages = bytes.split_off(fixed);
        bytes.extend(messages[..messages.len() - RELEASE_REQUEST.len()].repeat(repeats));
        bytes.extend(RELEASE_REQUEST);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let (_, target) = served(&bytes);
        let (begun, forgotten, written) = target.counts();
        prop_assert_eq!(target.stored().len(), begun - forgotten);
        prop_assert!(written <= bytes.len());
    }

    #[test]
    fn garbage_ends_an_association_before_it_began(bytes in vec(any::<u8>(), 0..2000)) {
        let (end, target) = served(&bytes);
        prop_assert!(matches!(end, End::Abort(..) | End::Closed | End::PeerAborted | End::Rejected(_)), "{:?}", end);
        prop_assert_eq!(target.counts(), (0, 0, 0));
    }
}

#[tokio::test]
async fn an_abort_ends_an_association_in_every_state() {
    let conversation = conversation();
    let mut borders = vec![0];
    while let Some(&at) = borders.last().filter(|&&at| at < conversation.len()) {
        let length: [u8; 4] = conversation[at + 2..at + 6].try_into().expect("four bytes");
        borders.push(at + 6 + usize::try_from(u32::from_be_bytes(length)).expect("short"));
    }
    for border in borders.into_iter().filter(|&border| border < conversation.len()) {
        let target = FakeTarget::default();
        let (mut peer, running) = begin(DimseConfig::default(), &target);
        peer.send(&conversation[..border]).await;
        peer.send(&Abort { source: 0, reason: 0 }.to_pdu()).await;
        assert_eq!(running.task.await.expect("no panic"), End::PeerAborted, "after {border} bytes");
        let (begun, forgotten, _) = target.counts();
        assert_eq!(target.stored().len(), begun - forgotten);
    }
}

#[tokio::test]
async fn a_panic_in_the_archive_ends_one_association_with_an_abort() {
    let target = FakeTarget::with([Fate::PanicsWhileWriting]);
    let (mut first, running) = open(DimseConfig::default(), &target).await;
    let (mut second, _second) = open(DimseConfig::default(), &target).await;
    first.store(1, &[b"data"]).await;
    assert_eq!(first.be_aborted().await, (2, 0));
    assert!(matches!(running.task.await.expect("contained"), End::Abort(..)));
    second.echo().await;
    second.store(2, &[b"data"]).await;
    assert_eq!(second.status().await, (2, 0));
}
