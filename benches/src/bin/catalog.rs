//! What the catalog takes in and answers when it is large: applies studies as the ledger would, searches them, opens it
//! again. One JSON line. No server and no packs: this is the part that grows with what is held.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people and scripts")]
#![allow(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use archive_core::caller::{Door, SourceKey};
use archive_core::catalog::{
    Backend, Catalog as _, CatalogChange, CatalogState, ChangeKind, EmbeddedOptions, KeyedCatalog, open_embedded,
};
use archive_core::dicom::attributes::Attributes;
use archive_core::dicom::scan::{Input, InstanceKeys, ScanLimits, ScanOptions, Scanner};
use archive_core::holdings::Holdings;
use archive_core::identifiers::{
    ContentId, PackId, ReceiptNumber, SeriesUid, Sha256Digest, SopUid, StudyUid, TransferSyntaxUid,
};
use archive_core::instance::{HeldReceipt, VersionFacts, VersionKey};
use archive_core::overlay::OverlayLimits;
use archive_core::pack::{IndexedVersion, PackRef, RootPlace};
use archive_core::phi::Phi;
use archive_core::query::{MatchKey, PageRequest, Query, QueryLevel};
use archive_core::receipt::{Receipt, Resolved};
use benches::latencies::Latencies;
use benches::numbers::Numbers;
use benches::process::{Usage, forget_peak};
use benches::shapes::{Maker, Shape, patient_name, study_date};
use benches::template::Ids;
use clap::Parser;
use dicom_core::Tag;
use serde_json::{Value, json};

/// Fills a catalog and asks it.
#[derive(Parser, Debug)]
#[command(name = "catalog", version)]
struct Arguments {
    /// Instances in all.
    #[arg(long, default_value_t = 1_000_000)]
    instances: u64,
    /// Instances of each study, at most 500.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=500))]
    study_size: u64,
    /// A folder that does not exist yet.
    #[arg(long, value_name = "DIR")]
    on: PathBuf,
    /// The store that it lies in.
    #[arg(long, value_enum, default_value_t = Store::Sled)]
    store: Store,
    /// Memory for the catalog's pages, in MiB.
    #[arg(long, default_value_t = 256)]
    cache_mib: u64,
    /// Searches of each kind.
    #[arg(long, default_value_t = 200)]
    searches: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Store {
    Sled,
    Redb,
}

impl From<Store> for Backend {
    fn from(store: Store) -> Self {
        match store {
            Store::Sled => Self::Sled,
            Store::Redb => Self::Redb,
        }
    }
}

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("catalog: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Value, Failure> {
    std::fs::create_dir(&arguments.on)?;
    forget_peak(std::process::id());
    let before = Usage::of(std::process::id());
    let studies = arguments.instances.div_ceil(arguments.study_size);
    let filled = fill(arguments, studies)?;
    let bytes = folder_bytes(&arguments.on)?;
    let begin = Instant::now();
    let catalog: Arc<KeyedCatalog> = Arc::new(open(arguments)?);
    let reopened = begin.elapsed();
    let holdings = Holdings::new(catalog, OverlayLimits::default());
    let first = Instant::now();
    find(&holdings, &[(Tag(0x0020, 0x000D), ids(0).study_uid())])?;
    let first = first.elapsed();
    // What is searched in memory is loaded by the first such search.
    let text = Instant::now();
    find(&holdings, &[(Tag(0x0010, 0x0010), "*NOBODY*".to_owned())])?;
    let text = text.elapsed();
    let searches = search_all(&holdings, arguments.searches, studies)?;
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_instance = bytes as f64 / (studies * arguments.study_size) as f64;
    Ok(json!({
        "studies": studies,
        "study_size": arguments.study_size,
        "filled": filled,
        "disk_bytes": bytes,
        "disk_bytes_per_instance": per_instance,
        "reopened_s": reopened.as_secs_f64(),
        "first_answer_s": first.as_secs_f64(),
        "text_loaded_s": text.as_secs_f64(),
        "searches_ms": searches,
        "process": Usage::of(std::process::id()).since(before, std::process::id()),
    }))
}

fn open(arguments: &Arguments) -> Result<KeyedCatalog, Failure> {
    let options = EmbeddedOptions { backend: arguments.store.into(), cache_bytes: arguments.cache_mib << 20 };
    match open_embedded(&arguments.on.join("catalog"), options)? {
        CatalogState::Ready(catalog) => Ok(*catalog),
        CatalogState::Damaged(error) => Err(error.into()),
    }
}

/// Applies all studies; the time to make them up is not counted.
fn fill(arguments: &Arguments, studies: u64) -> Result<Value, Failure> {
    let catalog = open(arguments)?;
    let sample = Sample::new()?;
    let (mut all, mut last_tenth) = (Duration::ZERO, Duration::ZERO);
    for study in 0..studies {
        let kind = sample.sealed(study, arguments.study_size)?;
        let change = CatalogChange { watermark: Some(study + 1), kind };
        let begin = Instant::now();
        catalog.apply(&change)?;
        if study % 64 == 63 || study + 1 == studies {
            catalog.checkpoint()?;
        }
        let took = begin.elapsed();
        all += took;
        if study >= studies - studies.div_ceil(10) {
            last_tenth += took;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = |studies: u64, took: Duration| (studies * arguments.study_size) as f64 / took.as_secs_f64();
    Ok(json!({
        "seconds": all.as_secs_f64(),
        "instances_per_s": rate(studies, all),
        "instances_per_s_in_the_last_tenth": rate(studies.div_ceil(10), last_tenth),
    }))
}

const fn ids(study: u64) -> Ids {
    Ids { run: 1, study, series: 0, instance: 0 }
}

/// What a scan of one CT instance found; all others are made after it.
struct Sample {
    facts: VersionFacts,
}

impl Sample {
    fn new() -> Result<Self, Failure> {
        let template = Maker::new(Numbers::of(1)).template(Shape::Small, ids(0));
        let mut scanner = Scanner::new(ScanOptions {
            input: Input::DataSet(TransferSyntaxUid::parse(template.syntax)?),
            scratch: std::env::temp_dir(),
            limits: ScanLimits::default(),
            assumed_charset: None,
            header_json: false,
        })?;
        scanner.push(&template.data_set)?;
        Ok(Self { facts: VersionFacts::of(&scanner.finish()?) })
    }

    fn sealed(&self, study: u64, study_size: u64) -> Result<ChangeKind, Failure> {
        let uid = StudyUid::parse(&ids(study).study_uid())?;
        let sha256 = Sha256Digest::of(&study.to_le_bytes());
        let root = RootPlace { offset: 1_000_000, length: 2000, sha256 };
        let pack = PackRef { study: uid.clone(), pack: PackId::from_raw(*sha256.as_raw()), size: 2_000_000, root };
        let lines: Result<Vec<IndexedVersion>, Failure> =
            (0..study_size).map(|instance| self.line(&uid, study, study_size, instance)).collect();
        Ok(ChangeKind::Sealed { pack, lines: lines? })
    }

    fn line(&self, uid: &StudyUid, study: u64, study_size: u64, instance: u64) -> Result<IndexedVersion, Failure> {
        let ids = Ids { instance, ..ids(study) };
        let number = study * study_size + instance + 1;
        let content = ContentId::from_raw(*Sha256Digest::of(&number.to_le_bytes()).as_raw());
        let facts = VersionFacts {
            keys: InstanceKeys {
                study: uid.clone(),
                series: SeriesUid::parse(&ids.series_uid())?,
                sop_class: self.facts.keys.sop_class.clone(),
                sop: SopUid::parse(&ids.sop_uid())?,
            },
            version: VersionKey { content, transfer_syntax: self.facts.version.transfer_syntax.clone() },
            attributes: attributes_of(&self.facts.attributes, &ids),
            ..self.facts.clone()
        };
        let receipt = Receipt {
            number: ReceiptNumber { epoch: 1, number },
            time: jiff::Timestamp::UNIX_EPOCH,
            door: Door::CStore,
            source: SourceKey::new("CT1"),
            content,
            transfer_syntax: self.facts.version.transfer_syntax.clone(),
            file: None,
            resolved: Resolved::default(),
        };
        let receipts = vec![HeldReceipt { receipt, prefix: None }];
        Ok(IndexedVersion { facts, receipts, line: u32::try_from(instance)?, has_content: true })
    }
}

fn attributes_of(sample: &Attributes, ids: &Ids) -> Attributes {
    let mut attributes = sample.clone();
    let mut set = |tag: Tag, vr: &str, value: Value| attributes.insert(tag, &json!({ "vr": vr, "Value": [value] }));
    set(Tag(0x0008, 0x0020), "DA", study_date(ids).into());
    set(Tag(0x0008, 0x0050), "SH", ids.accession().into());
    set(Tag(0x0010, 0x0010), "PN", json!({ "Alphabetic": patient_name(ids) }));
    set(Tag(0x0010, 0x0020), "LO", ids.patient().into());
    set(Tag(0x0020, 0x0013), "IS", (ids.instance + 1).into());
    attributes
}

/// Searches of each kind that the load driver knows, a page of 101 studies each.
fn search_all(holdings: &Holdings, count: u64, studies: u64) -> Result<Value, Failure> {
    let mut numbers = Numbers::of(2);
    let mut found = serde_json::Map::new();
    for (name, keys) in SEARCHES {
        let mut latencies = Latencies::default();
        for _ in 0..count {
            let keys = keys(&ids(numbers.below(studies)));
            let begin = Instant::now();
            find(holdings, &keys)?;
            latencies.add(begin.elapsed());
        }
        found.insert(name.to_owned(), latencies.summary());
    }
    Ok(found.into())
}

type Keys = Vec<(Tag, String)>;
/// The name of a kind of search, and its keys for some study.
type Search = (&'static str, fn(&Ids) -> Keys);

const NAME: Tag = Tag(0x0010, 0x0010);
const SEARCHES: [Search; 6] = [
    ("uid", |ids| vec![(Tag(0x0020, 0x000D), ids.study_uid())]),
    ("patient", |ids| vec![(Tag(0x0010, 0x0020), ids.patient())]),
    ("accession", |ids| vec![(Tag(0x0008, 0x0050), ids.accession())]),
    ("dates", |ids| {
        let month = study_date(ids)[..6].to_owned();
        vec![(Tag(0x0008, 0x0020), format!("{month}01-{month}28")), (Tag(0x0008, 0x0061), "CT".to_owned())]
    }),
    ("prefix", |ids| vec![(NAME, format!("{}*", &patient_name(ids)[..11]))]),
    ("part", |ids| vec![(NAME, format!("*{}*", &patient_name(ids)[7..13]))]),
];

fn find(holdings: &Holdings, keys: &[(Tag, String)]) -> Result<usize, Failure> {
    let keys = keys.iter().map(|(tag, value)| MatchKey { path: vec![*tag], value: Phi::new(value.clone()) }).collect();
    let page = PageRequest { limit: 101, ..PageRequest::default() };
    let query = Query { keys, page, ..Query::all(QueryLevel::Study) };
    Ok(holdings.find(&query)?.records.len())
}

fn folder_bytes(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { folder_bytes(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}
