//! Peers that are slow or silent. Time stands still and jumps: no test waits.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::fake::{FakeTarget, Fate};
use super::peer::{ECHO_CONTEXT, Peer, STORE_CONTEXT, begin, begin_over, echo_command, open, request, store_command};
use crate::dimse::association::End;
use crate::dimse::pdu::{Event, FragmentKind, RELEASE_REPLY, RELEASE_REQUEST};
use crate::dimse::{DimseConfig, Timeouts};

const NOT_SPECIFIED: (u8, u8) = (2, 0);

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_aborted_after_artim() {
    let (peer, running) = begin(DimseConfig::default(), &FakeTarget::default());
    assert_eq!(peer.be_aborted().await, NOT_SPECIFIED);
    assert!(matches!(running.task.await.expect("no panic"), End::Abort(..)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_drips_is_aborted_after_artim() {
    let (mut peer, running) = begin(DimseConfig::default(), &FakeTarget::default());
    let mut sent = 0;
    for byte in request().to_pdu().expect("fits") {
        peer.send_if_taken(&[byte]).await;
        sent += 1;
        sleep(Duration::from_secs(1)).await;
        if running.task.is_finished() {
            break;
        }
    }
    assert!(sent <= 62, "ARTIM, and ARTIM again until the close: {sent} s");
    assert_eq!(peer.be_aborted().await, NOT_SPECIFIED);
}

#[tokio::test(start_paused = true)]
async fn an_idle_association_is_aborted() {
    let (peer, running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    assert_eq!(peer.be_aborted().await, NOT_SPECIFIED);
    assert!(matches!(running.task.await.expect("no panic"), End::Abort(_, why) if why.contains("idle")));
}

#[tokio::test(start_paused = true)]
async fn silence_within_a_message_ends_it() {
    let target = FakeTarget::default();
    let config = DimseConfig { minimum_rate: 0, ..DimseConfig::default() };
    let (mut peer, running) = open(config, &target).await;
    peer.command(STORE_CONTEXT, &store_command(1)).await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"half").await;
    assert_eq!(peer.be_aborted().await, NOT_SPECIFIED);
    assert!(matches!(running.task.await.expect("no panic"), End::Abort(_, why) if why.contains("silent")));
    assert_eq!(target.counts(), (1, 1, 4));
}

#[tokio::test(start_paused = true)]
async fn a_message_below_the_minimum_rate_ends_it() {
    let target = FakeTarget::default();
    let (mut peer, running) = open(DimseConfig::default(), &target).await;
    peer.command(STORE_CONTEXT, &store_command(1)).await;
    for _ in 0..200 {
        peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"drop").await;
        sleep(Duration::from_millis(700)).await;
        if running.task.is_finished() {
            break;
        }
    }
    assert_eq!(peer.be_aborted().await, NOT_SPECIFIED);
    assert!(matches!(running.task.await.expect("no panic"), End::Abort(_, why) if why.contains("minimum rate")));
    assert!(target.stored().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_peer_is_served() {
    let target = FakeTarget::default();
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    peer.command(STORE_CONTEXT, &store_command(1)).await;
    let piece = vec![1_u8; 20 * 1024];
    for index in 0..100 {
        peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, index == 99, &piece).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(peer.status().await, (1, 0));
    assert_eq!(target.stored()[0].bytes.len(), 100 * piece.len());
}

#[tokio::test(start_paused = true)]
async fn the_archives_own_slowness_is_not_held_against_the_peer() {
    let target = FakeTarget::with([Fate::WritesSlowly(Duration::from_secs(100))]);
    let (mut peer, _running) = open(DimseConfig::default(), &target).await;
    peer.command(STORE_CONTEXT, &store_command(1)).await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"one").await;
    // The archive is at work for longer than a window; then it waits, and the peer needs a second.
    sleep(Duration::from_secs(101)).await;
    peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, true, b"two").await;
    assert_eq!(peer.status().await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn crossing_release_requests_are_settled_as_the_standard_says() {
    let (mut peer, running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    running.leaving.cancel();
    assert_eq!(peer.next().await, Some(Event::ReleaseRequest));
    // Sta7: theirs crosses ours, data under way before it. The acceptor keeps its reply until it has the requestor's.
    peer.store(1, &[b"under way"]).await;
    peer.send(&RELEASE_REQUEST).await;
    assert!(timeout(Duration::from_secs(4), peer.next()).await.is_err());
    peer.send(&RELEASE_REPLY).await;
    assert_eq!(peer.next().await, Some(Event::ReleaseReply));
    assert_eq!(peer.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_association_that_reaches_its_lifetime_is_released_between_messages() {
    let (mut peer, running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    let mut echoes = 0;
    loop {
        sleep(Duration::from_secs(50)).await;
        if running.task.is_finished() || echoes > 1000 {
            break;
        }
        peer.command(ECHO_CONTEXT, &echo_command(1)).await;
        match peer.next().await {
            Some(Event::Fragment(_)) => echoes += 1,
            other => {
                assert_eq!(other, Some(Event::ReleaseRequest));
                break;
            }
        }
    }
    assert_eq!(echoes, 4 * 60 * 60 / 50);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_a_release_is_aborted() {
    let (mut peer, running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    running.leaving.cancel();
    assert_eq!(peer.next().await, Some(Event::ReleaseRequest));
    assert_eq!(peer.be_aborted().await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_close_is_closed_after_artim() {
    let (mut peer, running) = open(DimseConfig::default(), &FakeTarget::default()).await;
    peer.send(&RELEASE_REQUEST).await;
    assert_eq!(peer.next().await, Some(Event::ReleaseReply));
    // The peer keeps its end open and even goes on talking: nobody listens.
    peer.store(1, &[b"late"]).await;
    assert_eq!(running.task.await.expect("no panic"), End::Released);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_bytes_does_not_hold_the_association() {
    let (ours, theirs) = tokio::io::duplex(64);
    let target = FakeTarget::default();
    let timeouts = Timeouts { idle: Duration::from_secs(5), ..Timeouts::default() };
    let config = DimseConfig { timeouts, ..DimseConfig::default() };
    let running = begin_over(theirs, config, &target);
    // The acceptance does not fit into the pipe, and the peer never reads it.
    let writing = tokio::spawn(async move {
        let mut peer = Peer::new(ours);
        peer.send_if_taken(&request().to_pdu().expect("fits")).await;
        std::future::pending::<()>().await;
        drop(peer);
    });
    assert!(matches!(running.task.await.expect("no panic"), End::Abort(_, why) if why.contains("takes no bytes")));
    writing.abort();
}
