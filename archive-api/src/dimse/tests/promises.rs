//! What a well-behaved peer may rely on.

use std::sync::Arc;

use archive_core::archive::ArchiveError;
use archive_core::caller::Door;
use archive_core::dicom::scan::ScanError;
use tokio::sync::Notify;

use super::fake::{FakeTarget, Fate};
use super::peer::{
    ECHO_CONTEXT, EXPLICIT, SECONDARY_CAPTURE, STORE_CONTEXT, begin, echo_command, open, request, store_command,
};
use crate::dimse::DimseConfig;
use crate::dimse::association::End;
use crate::dimse::command::{element, field};
use crate::dimse::pdu::{Event, FragmentKind, Reject, TitleField};

#[tokio::test]
async fn an_echo_is_answered_and_a_release_ends_in_order() {
    let (mut peer, running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    peer.echo().await;
    peer.release().await;
    assert_eq!(running.task.await.expect("no panic"), End::Released);
}

#[tokio::test]
async fn an_acceptance_repeats_titles_and_reserved_bytes_and_offers_the_configured_length() {
    let (mut peer, _running) = begin(DimseConfig::default(), &FakeTarget::default());
    let mut asked = request();
    asked.reserved = [7; 32];
    asked.called = TitleField(*b"  VELLUM        ");
    let accept = peer.associate(&asked).await;
    assert_eq!((accept.reserved, accept.called, accept.calling), ([7; 32], asked.called, asked.calling));
    assert_eq!(accept.user.maximum_length, Some(128 * 1024));
    assert!(accept.user.implementation_class.is_some_and(|uid| uid.starts_with("2.25.")));
    assert_eq!(accept.user.operations_window, None, "not asked, not answered");
}

#[tokio::test]
async fn i2_a_data_set_arrives_byte_for_byte_whatever_its_fragments() {
    let target = FakeTarget::default();
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    let data: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    peer.store(5, &[&data[..1], &[], &data[1..60_000], &data[60_000..], &[]]).await;
    assert_eq!(peer.status().await, (5, 0));
    let stored = target.stored();
    assert_eq!(stored.len(), 1);
    assert!(stored[0].bytes == data);
    let incoming = &stored[0].incoming;
    assert_eq!((incoming.door, incoming.source.as_str()), (Door::CStore, "MODALITY"));
    assert_eq!(incoming.local_ae.as_ref().expect("known").as_str(), "VELLUM");
    assert_eq!(incoming.expected_class.as_ref().expect("known").as_str(), SECONDARY_CAPTURE);
    assert_eq!((stored[0].syntax(), stored[0].sop()), (EXPLICIT, "1.2.3.5"));
    assert_eq!(stored[0].caller.origin, "127.0.0.1:4242");
}

#[tokio::test]
async fn command_and_data_set_may_share_a_pdu_and_messages_may_be_sent_ahead() {
    let target = FakeTarget::default();
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    let mut values = Vec::new();
    for (control, bytes) in [(3_u8, store_command(1).encode()), (0, b"ab".to_vec()), (2, b"cd".to_vec())] {
        values.extend_from_slice(&u32::try_from(bytes.len() + 2).expect("short").to_be_bytes());
        values.extend_from_slice(&[STORE_CONTEXT, control]);
        values.extend_from_slice(&bytes);
    }
    let mut pdu = vec![4, 0];
    pdu.extend_from_slice(&u32::try_from(values.len()).expect("short").to_be_bytes());
    pdu.extend_from_slice(&values);
    peer.send(&pdu).await;
    peer.store(2, &[b"ef"]).await;
    peer.command(ECHO_CONTEXT, &echo_command(3)).await;
    assert_eq!([peer.status().await, peer.status().await, peer.status().await], [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(
        target.stored().iter().map(|stored| stored.bytes.clone()).collect::<Vec<_>>(),
        [b"abcd".to_vec(), b"ef".to_vec()]
    );
}

#[tokio::test]
async fn i1_success_is_not_answered_before_the_archive_says_durable() {
    let told = Arc::new(Notify::new());
    let target = FakeTarget::with([Fate::EndsWhenTold(Arc::clone(&told))]);
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    peer.store(1, &[b"data"]).await;
    {
        let mut answer = std::pin::pin!(peer.status());
        for _ in 0..100 {
            assert!(futures::poll!(&mut answer).is_pending());
            tokio::task::yield_now().await;
        }
        assert!(target.stored().is_empty());
        told.notify_one();
        assert_eq!(answer.await, (1, 0));
    }
    assert_eq!(target.stored().len(), 1);
}

#[tokio::test]
async fn i14_after_any_refusal_the_rest_is_drained_and_the_association_is_usable() {
    let full = || ArchiveError::Full("disk".into());
    let refused = || ArchiveError::Refused(ScanError::NotDicom { found: "text" });
    let mismatch = || ArchiveError::Mismatch {
        what: "SOP Instance UID",
        tag: dicom_core::Tag(0x08, 0x18),
        announced: "1".into(),
        found: "2".into(),
    };
    let target = FakeTarget::with([
        Fate::RefusedAtStart(full),
        Fate::RefusedWhileWriting(refused),
        Fate::RefusedAtEnd(mismatch),
        Fate::RefusedAtEnd(|| ArchiveError::Internal("bug".into())),
        Fate::OfAnotherClass,
    ]);
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    let large = vec![0_u8; 100_000];
    for (message_id, expected) in [(1, 0xA700), (2, 0xC000), (3, 0xA900), (4, 0x0110), (5, 0xB007), (6, 0)] {
        peer.store(message_id, &[&large, &large, b"end"]).await;
        assert_eq!(peer.status().await, (message_id, expected));
        peer.echo().await;
    }
    assert_eq!(target.stored().len(), 2);
    assert_eq!(target.counts().1, 3, "what was refused is forgotten");
    peer.release().await;
}

#[tokio::test]
async fn a_response_repeats_class_and_instance_and_says_why() {
    let target = FakeTarget::with([Fate::RefusedAtEnd(|| ArchiveError::Full("disk /data is full".into()))]);
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    peer.store(9, &[b"data"]).await;
    let response = peer.response().await;
    assert_eq!(response.number(element::COMMAND_FIELD), Some(field::STORE_REQUEST | field::RESPONSE_BIT));
    assert_eq!(
        response.bytes(element::AFFECTED_CLASS).expect("class").trim_ascii_end(),
        b"1.2.840.10008.5.1.4.1.1.7\0"
    );
    assert_eq!(response.bytes(element::AFFECTED_INSTANCE).expect("instance")[..], *b"1.2.3.9\0");
    let comment = response.bytes(element::ERROR_COMMENT).expect("comment");
    assert!(comment.starts_with(b"out of resources") && !comment.windows(5).any(|window| window == b"/data"));
}

#[tokio::test]
async fn a_class_announced_beside_the_context_is_stored_with_a_warning() {
    let target = FakeTarget::default();
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    let mut command = store_command(1);
    command.set_bytes(element::AFFECTED_CLASS, b"1.2.840.10008.5.1.4.1.1.2");
    peer.command(STORE_CONTEXT, &command).await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, true, b"data").await;
    assert_eq!(peer.status().await, (1, 0xB007));
    assert_eq!(target.stored().len(), 1);
}

#[tokio::test]
async fn responses_keep_to_the_length_that_the_peer_takes() {
    for maximum in [1, 7, 8, 50, 0] {
        let (mut peer, _running) = begin(DimseConfig::default(), &FakeTarget::default());
        let mut asked = request();
        asked.user.maximum_length = Some(maximum);
        peer.associate(&asked).await;
        peer.command(ECHO_CONTEXT, &echo_command(1)).await;
        let first = peer.data_pdu_length().await;
        match maximum {
            0 => assert!(first > 50, "as long as it likes"),
            _ => assert_eq!(first, maximum.max(7), "a value with one byte at least"),
        }
    }
}

#[tokio::test]
async fn rejections_name_their_reason() {
    let mut cases = Vec::new();
    let mut asked = request();
    asked.called = TitleField(*b"SOMEBODY ELSE   ");
    cases.push((asked, Reject { result: 1, source: 1, reason: 7 }));
    let mut asked = request();
    asked.calling = TitleField([b' '; 16]);
    cases.push((asked, Reject { result: 1, source: 1, reason: 3 }));
    let mut asked = request();
    asked.protocol_version = 2;
    cases.push((asked, Reject { result: 1, source: 2, reason: 2 }));
    let mut asked = request();
    asked.application_context = "1.2.3".to_owned();
    cases.push((asked, Reject { result: 1, source: 1, reason: 2 }));
    for (asked, expected) in cases {
        let (mut peer, running) = begin(DimseConfig::default(), &FakeTarget::default());
        peer.send(&asked.to_pdu().expect("fits")).await;
        assert_eq!(peer.next().await, Some(Event::Reject(expected)));
        assert_eq!(peer.next().await, None);
        drop(peer);
        assert!(matches!(running.task.await.expect("no panic"), End::Rejected(_)));
    }
}

#[tokio::test]
async fn an_operation_that_is_not_offered_is_answered_so_and_its_data_set_drained() {
    let (mut peer, _running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    let mut find = store_command(4);
    find.set_number(element::COMMAND_FIELD, 0x0020);
    peer.command(STORE_CONTEXT, &find).await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"query").await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, true, b"query").await;
    let response = peer.response().await;
    assert_eq!(response.number(element::COMMAND_FIELD), Some(0x8020));
    assert_eq!(response.number(element::STATUS), Some(0x0211));
    peer.echo().await;
}

#[tokio::test]
async fn a_cancel_is_ignored() {
    let (mut peer, _running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    let mut cancel = echo_command(0);
    cancel.set_number(element::COMMAND_FIELD, field::CANCEL_REQUEST);
    cancel.set_number(element::RESPONDED_TO, 3);
    peer.command(ECHO_CONTEXT, &cancel).await;
    peer.echo().await;
}

#[tokio::test]
async fn a_release_within_a_message_is_granted_and_the_instance_forgotten() {
    let target = FakeTarget::default();
    let (mut peer, running) = open(DimseConfig::default(), &target).await;
    peer.command(STORE_CONTEXT, &store_command(1)).await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"half").await;
    peer.release().await;
    assert_eq!(running.task.await.expect("no panic"), End::Released);
    assert!(target.stored().is_empty());
    assert_eq!(target.counts(), (1, 1, 4));
}

#[tokio::test]
async fn leaving_releases_an_idle_association() {
    let (peer, running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    running.leaving.cancel();
    peer.be_left().await;
    assert!(matches!(running.task.await.expect("no panic"), End::Leave(_)));
}

#[tokio::test]
async fn leaving_finishes_the_message_at_hand_first() {
    let target = FakeTarget::default();
    let (mut peer, running) = open(DimseConfig::default(), &target).await;
    peer.command(STORE_CONTEXT, &store_command(1)).await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"half").await;
    while target.counts().2 < 4 {
        tokio::task::yield_now().await;
    }
    running.leaving.cancel();
    tokio::task::yield_now().await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, true, b"rest").await;
    assert_eq!(peer.status().await, (1, 0));
    assert_eq!(target.stored()[0].bytes, b"halfrest");
    peer.be_left().await;
}

#[tokio::test]
async fn stopping_aborts_an_association_in_the_middle_of_a_message() {
    let target = FakeTarget::default();
    let (mut peer, running) = open(DimseConfig::default(), &target).await;
    peer.command(STORE_CONTEXT, &store_command(1)).await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"half").await;
    while target.counts().2 < 4 {
        tokio::task::yield_now().await;
    }
    running.stopping.cancel();
    assert_eq!(peer.be_aborted().await, (0, 0));
    assert!(matches!(running.task.await.expect("no panic"), End::Abort(..)));
    assert_eq!(target.counts(), (1, 1, 4));
}
