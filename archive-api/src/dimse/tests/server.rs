//! The door over TCP: many at once, limits, shutdown, what it counts.

use std::net::SocketAddr;
use std::time::Duration;

use archive_core::identifiers::AeTitle;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::fake::FakeTarget;
use super::peer::{Peer, STORE_CONTEXT, request, store_command};
use crate::dimse::pdu::{Event, FragmentKind, Reject, TitleField};
use crate::dimse::{AssociationLimits, BindError, DimseConfig, DimseServer, Timeouts};

const LOCAL_LIMIT: Reject = Reject { result: 2, source: 3, reason: 2 };

pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

/// Opens a door on a free port.
pub(super) async fn open_door(config: DimseConfig, target: &FakeTarget) -> Door {
    let shutdown = CancellationToken::new();
    let config = DimseConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..config };
    let (address, serving) = DimseServer::bind(config, target.clone(), shutdown.clone()).await.expect("a free port");
    Door { address, shutdown, task: tokio::spawn(serving) }
}

async fn connect(address: SocketAddr) -> Peer<TcpStream> {
    Peer::new(TcpStream::connect(address).await.expect("the door listens"))
}

#[tokio::test]
async fn sixty_four_associations_at_once_each_get_their_own_answers() {
    let target = FakeTarget::default();
    let limits = AssociationLimits { total: 64, per_address: 64, per_title: 64 };
    let door = open_door(DimseConfig { limits, ..DimseConfig::default() }, &target).await;
    let mut peers = JoinSet::new();
    for number in 0..64_u16 {
        peers.spawn(async move {
            let mut peer = connect(door.address).await;
            peer.associate(&request()).await;
            for round in 0..4 {
                let message_id = number * 4 + round;
                let piece = message_id.to_le_bytes().repeat(10_000);
                peer.store(message_id, &[&piece, &piece]).await;
                assert_eq!(peer.status().await, (message_id, 0));
            }
            peer.release().await;
        });
    }
    while let Some(peer) = peers.join_next().await {
        peer.expect("every peer is served");
    }
    let stored = target.stored();
    assert_eq!(stored.len(), 256);
    for instance in stored {
        let message_id: u16 = instance.sop().rsplit('.').next().expect("a part").parse().expect("a number");
        assert!(instance.bytes == message_id.to_le_bytes().repeat(20_000));
    }
    door.shutdown.cancel();
    door.task.await.expect("no panic");
}

#[tokio::test]
async fn one_association_too_many_is_rejected_as_transient_and_let_in_when_there_is_room() {
    for limits in [
        AssociationLimits { total: 1, per_address: 9, per_title: 9 },
        AssociationLimits { total: 9, per_address: 1, per_title: 9 },
        AssociationLimits { total: 9, per_address: 9, per_title: 1 },
    ] {
        let door = open_door(DimseConfig { limits, ..DimseConfig::default() }, &FakeTarget::default()).await;
        let mut first = connect(door.address).await;
        first.associate(&request()).await;
        let mut second = connect(door.address).await;
        second.send(&request().to_pdu().expect("fits")).await;
        assert_eq!(second.next().await, Some(Event::Reject(LOCAL_LIMIT)));
        assert_eq!(second.next().await, None);
        drop(second);
        first.release().await;
        // The seat is given back once the server has seen the close.
        let mut again = connect(door.address).await;
        loop {
            again.send(&request().to_pdu().expect("fits")).await;
            match again.next().await {
                Some(Event::Accept(_)) => break,
                other => assert_eq!(other, Some(Event::Reject(LOCAL_LIMIT))),
            }
            again = connect(door.address).await;
        }
        again.release().await;
    }
}

#[tokio::test]
async fn other_titles_are_let_in_when_one_title_is_at_its_limit() {
    let limits = AssociationLimits { per_title: 1, ..AssociationLimits::default() };
    let door = open_door(DimseConfig { limits, ..DimseConfig::default() }, &FakeTarget::default()).await;
    let mut first = connect(door.address).await;
    first.associate(&request()).await;
    let mut other = request();
    other.calling = TitleField::from(&AeTitle::parse("OTHER").expect("a title"));
    connect(door.address).await.associate(&other).await;
}

#[tokio::test]
async fn shutdown_lets_an_instance_finish_then_releases_and_closes_the_port() {
    let target = FakeTarget::default();
    let door = open_door(DimseConfig::default(), &target).await;
    let mut idle = connect(door.address).await;
    idle.associate(&request()).await;
    let silent = connect(door.address).await;
    let mut busy = connect(door.address).await;
    busy.associate(&request()).await;
    busy.command(STORE_CONTEXT, &store_command(1)).await;
    busy.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"half").await;
    while target.counts().2 < 4 {
        tokio::task::yield_now().await;
    }
    door.shutdown.cancel();
    idle.be_left().await;
    assert_eq!(silent.be_aborted().await, (0, 0));
    busy.fragment(STORE_CONTEXT, FragmentKind::DataSet, true, b"rest").await;
    assert_eq!(busy.status().await, (1, 0));
    busy.be_left().await;
    door.task.await.expect("no panic");
    assert_eq!(target.stored().len(), 1);
    assert!(TcpStream::connect(door.address).await.is_err());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let target = FakeTarget::default();
    let timeouts = Timeouts { shutdown: Duration::ZERO, ..Timeouts::default() };
    let door = open_door(DimseConfig { timeouts, ..DimseConfig::default() }, &target).await;
    let mut busy = connect(door.address).await;
    busy.associate(&request()).await;
    busy.command(STORE_CONTEXT, &store_command(1)).await;
    busy.fragment(STORE_CONTEXT, FragmentKind::DataSet, false, b"half").await;
    while target.counts().2 < 4 {
        tokio::task::yield_now().await;
    }
    door.shutdown.cancel();
    assert_eq!(busy.be_aborted().await, (0, 0));
    door.task.await.expect("no panic");
    assert_eq!(target.counts(), (1, 1, 4));
}

#[tokio::test]
async fn an_unsafe_or_taken_address_is_refused_with_what_to_do() {
    let open = DimseConfig { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..DimseConfig::default() };
    let bound = DimseServer::bind(open, FakeTarget::default(), CancellationToken::new()).await;
    assert!(matches!(bound.err(), Some(BindError::Config(text)) if text.contains("register")));
    let door = open_door(DimseConfig::default(), &FakeTarget::default()).await;
    let taken = DimseConfig { listen: door.address, ..DimseConfig::default() };
    let bound = DimseServer::bind(taken, FakeTarget::default(), CancellationToken::new()).await;
    assert!(bound.err().is_some_and(|error| error.to_string().contains("dimse.listen")));
}

#[test]
fn what_happens_is_counted_without_the_words_of_peers() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let full = || archive_core::archive::ArchiveError::Full("disk".into());
            let target = FakeTarget::with([super::fake::Fate::RefusedAtEnd(full)]);
            let door = open_door(DimseConfig::default(), &target).await;
            let mut peer = connect(door.address).await;
            peer.associate(&request()).await;
            peer.store(1, &[b"12345678"]).await;
            peer.store(2, &[b"1234"]).await;
            assert_eq!([peer.status().await, peer.status().await], [(1, 0xA700), (2, 0)]);
            peer.release().await;
            let mut stranger = request();
            stranger.called = TitleField([b'X'; 16]);
            let mut peer = connect(door.address).await;
            peer.send(&stranger.to_pdu().expect("fits")).await;
            assert!(matches!(peer.next().await, Some(Event::Reject(_))));
            drop(peer);
            door.shutdown.cancel();
            door.task.await.expect("no panic");
        });
    });
    let text = handle.render();
    for line in [
        "vellum_dimse_associations_total{outcome=\"accepted\"} 1",
        "vellum_dimse_associations_total{outcome=\"called-title\"} 1",
        "vellum_dimse_associations_open 0",
        "vellum_dimse_associations_ended_total{how=\"released\"} 1",
        "vellum_dimse_instances_total{status=\"0000\"} 1",
        "vellum_dimse_instances_total{status=\"A700\"} 1",
        "vellum_dimse_refusals_total{status=\"A700\"} 1",
        "vellum_dimse_received_bytes_total 12",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("MODALITY") && !text.contains("XXXX"));
}
