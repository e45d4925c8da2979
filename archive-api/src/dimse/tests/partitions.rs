//! Two senders, the archive, and a network between them that is cut, holds things back, and drops what is on its way, while
//! the archive is killed and started again: whatever a sender was told is stored is stored, byte for byte, and nothing that
//! was not sent. The network is turmoil's, and the archive the real one on a disk and a store that fail (docs/FAULTS.md).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use archive_core::archive::{Archive, CatalogPlace, Parts, Selection, StoreSpec};
use archive_core::caller::Caller;
use archive_core::entropy::{SeededEntropy, SharedEntropy};
use archive_core::identifiers::{Sha256Digest, StudyUid};
use archive_core::ledger::entry::StoreRole;
use archive_core::store::OpenPlace;
use archive_core::testing::data_set::data_set;
use archive_core::testing::{FaultCatalog, FaultDisk, FaultStore, Machine, VirtualClock, in_place, small};
use bytes::Bytes;
use futures::TryStreamExt as _;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use turmoil::net::{TcpListener, TcpStream};

use super::peer::{Peer, STORE_CONTEXT, request, store_command};
use crate::dimse::DimseConfig;
use crate::dimse::admission::Admission;
use crate::dimse::association::{Shared, serve};
use crate::dimse::command::{CommandSet, element};
use crate::dimse::pdu::{Event, FragmentKind};

const PORT: u16 = 11112;
/// Instances that each sender has to bring.
const INSTANCES: u32 = 12;
/// A sender that hears nothing for so long begins anew.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is held up is let go once so many steps were made.
const STEPS_MAX: u32 = 60_000;

/// What outlives a crash of the archive.
struct Kept {
    folder: TempDir,
    machine: Arc<Machine>,
    disk: Arc<FaultDisk>,
    home: Arc<FaultStore>,
    catalog: Arc<FaultCatalog>,
    clock: Arc<VirtualClock>,
    entropy: SharedEntropy,
}

/// What the senders were told is stored: study and number, with the data set.
type Told = Rc<RefCell<BTreeMap<(String, u32), Bytes>>>;

impl Kept {
    fn new(seed: u64) -> Rc<Self> {
        let (machine, clock) = (Machine::new(), VirtualClock::new());
        Rc::new(Self {
            folder: TempDir::new().expect("a folder"),
            disk: FaultDisk::of(machine.clone()),
            home: FaultStore::of("home", machine.clone(), Some(clock.clone())),
            catalog: FaultCatalog::new(),
            entropy: SeededEntropy::from_seed(seed),
            machine,
            clock,
        })
    }

    async fn open(&self) -> Arc<Archive> {
        let place = Arc::new(OpenPlace::of(self.home.clone()));
        let parts = Parts {
            clock: self.clock.of_process(),
            entropy: self.entropy.clone(),
            disk: self.disk.clone(),
            catalog: CatalogPlace::Given(self.catalog.clone()),
            stores: vec![StoreSpec { place, role: StoreRole::Home, home: true, create: false }],
        };
        Archive::open(small::options(self.folder.path()), parts).await.expect("it opens")
    }

    fn draw(&self, below: u64) -> u64 {
        let mut drawn = [0; 8];
        self.entropy.fill(&mut drawn).expect("it follows from the seed");
        u64::from_le_bytes(drawn) % below
    }
}

/// The archive: its C-STORE door, and sealing now and then.
async fn archive(kept: Rc<Kept>) -> turmoil::Result {
    let archive = kept.open().await;
    let config = DimseConfig::default();
    let admission = Admission::new(config.limits);
    let (leaving, stopping) = (CancellationToken::new(), CancellationToken::new());
    let shared = Arc::new(Shared { config, target: archive.clone(), leaving, stopping });
    let sealing = archive.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(25)).await;
            drop(sealing.seal(&Caller::local(), true).await);
            drop(sealing.merge_due().await);
        }
    });
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        if let Some(seat) = admission.enter(peer.ip()) {
            tokio::spawn(serve(stream, peer, seat, shared.clone()));
        }
    }
}

/// A sender that has instances to bring and does not give up.
async fn sender(number: u32, told: Told) -> turmoil::Result {
    let study = format!("1.2.826.0.1.8.{number}");
    for n in 1..=INSTANCES {
        let bytes = data_set(&study, n, &format!("from {number}, {}", "x".repeat(500 * n as usize)));
        let mut peer = None;
        loop {
            if timeout(PATIENCE, bring(&mut peer, &study, n, &bytes)).await == Ok(Some(())) {
                break;
            }
            peer = None;
            sleep(Duration::from_secs(2)).await;
        }
        told.borrow_mut().insert((study.clone(), n), bytes);
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Sends one instance; `None` where the connection ended or the archive said no.
async fn bring(peer: &mut Option<Peer<TcpStream>>, study: &str, n: u32, bytes: &[u8]) -> Option<()> {
    if peer.is_none() {
        let mut new = Peer::new(TcpStream::connect(("archive", PORT)).await.ok()?);
        new.send_if_taken(&request().to_pdu().expect("fits")).await;
        let Some(Event::Accept(_)) = new.next().await else { return None };
        *peer = Some(new);
    }
    let peer = peer.as_mut()?;
    let mut command = store_command(u16::try_from(n).expect("few"));
    command.set_bytes(element::AFFECTED_INSTANCE, format!("{study}.1.{n}").as_bytes());
    peer.command(STORE_CONTEXT, &command).await;
    for (index, piece) in bytes.chunks(1000).enumerate() {
        let is_last = (index + 1) * 1000 >= bytes.len();
        peer.fragment(STORE_CONTEXT, FragmentKind::DataSet, is_last, piece).await;
    }
    let mut answer = Vec::new();
    loop {
        let Some(Event::Fragment(fragment)) = peer.next().await else { return None };
        answer.extend_from_slice(&fragment.bytes);
        if fragment.last {
            break;
        }
    }
    let response = CommandSet::decode(answer.into()).expect("a command set");
    (response.number(element::STATUS) == Some(0)).then_some(())
}

struct Outcome {
    trace: Sha256Digest,
    crashes: u32,
    cuts: u32,
    told: usize,
}

fn simulate(seed: u64) -> Outcome {
    let _in_place = in_place::begin(seed);
    let kept = Kept::new(seed);
    let told = Told::default();
    let mut sim = turmoil::Builder::new();
    sim.rng_seed(seed).tick_duration(Duration::from_millis(10)).simulation_duration(Duration::from_secs(3600));
    sim.min_message_latency(Duration::from_millis(1)).max_message_latency(Duration::from_millis(120));
    let mut sim = sim.build();
    let of_host = kept.clone();
    sim.host("archive", move || archive(of_host.clone()));
    for number in 0..2 {
        sim.client(format!("sender-{number}"), sender(number, told.clone()));
    }
    let (mut crashes, mut cuts) = (0, 0);
    for step in 0.. {
        if sim.step().expect("nobody fails") {
            break;
        }
        let sender = format!("sender-{}", kept.draw(2));
        let is_stormy = step < STEPS_MAX;
        match kept.draw(400) {
            0 if is_stormy => {
                sim.partition("archive", sender);
                cuts += 1;
            }
            1 if is_stormy => sim.hold("archive", sender),
            2 if is_stormy => {
                kept.machine.die();
                sim.crash("archive");
                if kept.draw(2) == 0 {
                    kept.catalog.power_cut(0);
                    kept.disk.power_cut(|| kept.draw(2) == 0);
                }
                kept.machine.start();
                sim.bounce("archive");
                crashes += 1;
            }
            3..8 => {
                sim.release("archive", sender.clone());
                sim.repair("archive", sender);
            }
            _ => {}
        }
    }
    kept.machine.die();
    drop(sim);
    kept.machine.start();
    let told = Rc::into_inner(told).expect("the senders are gone").into_inner();
    compare(&kept, &told);
    Outcome { trace: kept.machine.trace(), crashes, cuts, told: told.len() }
}

/// What is there is what the senders were told is stored.
fn compare(kept: &Kept, told: &BTreeMap<(String, u32), Bytes>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("one");
    runtime.block_on(async {
        let archive = kept.open().await;
        let mut found = BTreeMap::new();
        for number in 0..2 {
            let study = format!("1.2.826.0.1.8.{number}");
            let uid = StudyUid::parse(&study).expect("a UID");
            let selection = Selection { study: uid, series: None, sop: None, all_versions: true };
            let (held, _) = archive.select(&Caller::local(), &selection, None).await.expect("it is there");
            for held in held {
                let n = held.keys.sop.as_str().rsplit('.').next().and_then(|n| n.parse().ok()).expect("a number");
                let open = archive.open_version(&Caller::local(), &held).await.expect("readable");
                let chunks: Vec<Bytes> = open.content().try_collect().await.expect("readable");
                found.insert((study.clone(), n), Bytes::from(chunks.concat()));
            }
        }
        assert!(found == *told, "found {:?}, told {:?}", found.keys(), told.keys());
        archive.close().await;
    });
}

#[test]
fn i1_whatever_the_network_does_what_a_sender_was_told_is_stored_is_stored() {
    let (mut crashes, mut cuts) = (0, 0);
    for seed in 0..12 {
        println!("seed {seed}");
        let outcome = simulate(seed);
        assert_eq!(outcome.told, 2 * INSTANCES as usize);
        crashes += outcome.crashes;
        cuts += outcome.cuts;
    }
    println!("{crashes} crashes, {cuts} partitions");
    assert!(crashes > 10 && cuts > 10, "{crashes} crashes, {cuts} partitions");
    assert_eq!(simulate(3).trace, simulate(3).trace, "the same seed gives the same run");
}
