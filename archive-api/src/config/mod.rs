//! The configuration: one file, every key with a default, each overridable from the environment.
//!
//! `vellum.toml` is read from the data folder or from `--config`; `VELLUM_SECTION__KEY` goes before the file. A key that
//! is not known is an error that names the nearest right one: a misspelt `mirror` must not mean "no mirror". Secrets are
//! never in the file, only in files it names or in the environment.

mod keys;
mod load;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use archive_core::catalog::Backend;
use archive_core::ledger::entry::StoreRole;
use archive_core::receipt::DuplicateRule;
use serde::{Deserialize, Serialize};

pub use load::{ConfigError, load};
pub use values::{ByteSize, Period};

/// The name of the configuration file in the data folder.
pub const FILE_NAME: &str = "vellum.toml";

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// HTTP: DICOMweb and the archive's own API.
    pub http: HttpSection,
    /// DIMSE: associations.
    pub dimse: DimseSection,
    /// What receiving resolves into each receipt.
    pub receive: ReceiveSection,
    /// The journal of what is not sealed yet.
    pub journal: JournalSection,
    /// What is unsealed, held in memory.
    pub overlay: OverlaySection,
    /// Sealing.
    pub seal: SealSection,
    /// Merging of small packs.
    pub merge: MergeSection,
    /// Copies in other stores.
    pub copies: CopiesSection,
    /// The ledger.
    pub ledger: LedgerSection,
    /// The catalog.
    pub catalog: CatalogSection,
    /// Reading.
    pub reading: ReadingSection,
    /// Deleting.
    pub gate: GateSection,
    /// Logging.
    pub log: LogSection,
    /// The stores by name; none configured means one local store `main` in `store/` of the data folder.
    pub stores: BTreeMap<String, StoreSection>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: HttpSection::default(),
            dimse: DimseSection::default(),
            receive: ReceiveSection::default(),
            journal: JournalSection::default(),
            overlay: OverlaySection::default(),
            seal: SealSection::default(),
            merge: MergeSection::default(),
            copies: CopiesSection::default(),
            ledger: LedgerSection::default(),
            catalog: CatalogSection::default(),
            reading: ReadingSection::default(),
            gate: GateSection::default(),
            log: LogSection::default(),
            stores: BTreeMap::from([("main".to_owned(), StoreSection::default())]),
        }
    }
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSection {
    /// Address and port; loopback only.
    pub listen: SocketAddr,
    /// Beginning of the URLs in answers, where a proxy stands in front; empty: from the Host header.
    pub public_url: String,
    /// Connections at once.
    pub connections_max: usize,
    /// Connections at once from one address; 0: no such bound.
    pub connections_per_address_max: usize,
    /// Parts of one STOW-RS request.
    pub parts_max: usize,
}

impl Default for HttpSection {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        Self {
            listen,
            public_url: String::new(),
            connections_max: 512,
            connections_per_address_max: 256,
            parts_max: 10_000,
        }
    }
}

/// `[dimse]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DimseSection {
    /// Address and port; loopback only.
    pub listen: SocketAddr,
    /// The AE title that peers call.
    pub ae_title: String,
    /// Largest P-DATA-TF PDU that peers may send.
    pub max_pdu: ByteSize,
    /// Associations at once.
    pub associations_max: usize,
    /// Associations at once from one address.
    pub associations_per_address_max: usize,
    /// Associations at once of one calling AE title.
    pub associations_per_peer_max: usize,
    /// An association without traffic is aborted after this.
    pub idle: Period,
    /// Peers by name; with none, any calling AE title is welcome on loopback.
    pub peers: BTreeMap<String, PeerSection>,
}

impl Default for DimseSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 11112)),
            ae_title: "VELLUM".to_owned(),
            max_pdu: ByteSize::kib(128),
            associations_max: 200,
            associations_per_address_max: 200,
            associations_per_peer_max: 100,
            idle: Period::seconds(60),
            peers: BTreeMap::new(),
        }
    }
}

/// `[dimse.peers.NAME]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeerSection {
    /// Its calling AE title; empty: the name.
    pub ae_title: String,
    /// Addresses it may come from; empty: any.
    pub addresses: Vec<std::net::IpAddr>,
    /// Whether SOP classes that the standard does not know are taken from it.
    pub accept_unknown_classes: bool,
    /// Whether transfer syntaxes that the standard does not know are taken from it.
    pub accept_unknown_syntaxes: bool,
}

/// `[receive]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiveSection {
    /// Which of several versions of an instance becomes current.
    pub duplicate_rule: DuplicateRule,
    /// The issuer assumed for a Patient ID without one; empty: none.
    pub default_issuer: String,
    /// Specific Character Set assumed where a data set names none; empty: none.
    pub assumed_charset: String,
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSection {
    /// A second folder, on another disk, written before any answer; empty: none.
    pub mirror: PathBuf,
    /// An instance up to this size is gathered in memory; a larger one has a file of its own.
    pub inline: ByteSize,
    /// Memory for all instances being gathered.
    pub memory: ByteSize,
    /// Size of a segment.
    pub segment: ByteSize,
    /// Write past the page cache where the file system can.
    pub direct: bool,
    /// Segments that are kept ready, written full of zeros; each takes the size of a segment on the disk.
    pub spares: u8,
    /// The journal grows no larger than this.
    pub cap: ByteSize,
    /// Disk space left alone.
    pub reserve: ByteSize,
    /// Live records of segments older than this are copied forward.
    pub compact_after: Period,
    /// Allow a journal on a file system that forgets everything at power-off. For trials only.
    pub allow_volatile: bool,
}

impl Default for JournalSection {
    fn default() -> Self {
        Self {
            mirror: PathBuf::new(),
            inline: ByteSize::mib(8),
            memory: ByteSize::mib(256),
            segment: ByteSize::mib(256),
            direct: true,
            spares: 0,
            cap: ByteSize::gib(64),
            reserve: ByteSize::mib(512),
            compact_after: Period::seconds(6 * 3600),
            allow_volatile: false,
        }
    }
}

/// `[overlay]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverlaySection {
    /// Memory for what is not sealed; beyond, sealing begins early, then receiving pauses.
    pub bytes: ByteSize,
    /// Receipts that are not sealed.
    pub receipts: u64,
}

impl Default for OverlaySection {
    fn default() -> Self {
        Self { bytes: ByteSize::gib(1), receipts: 500_000 }
    }
}

/// `[seal]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SealSection {
    /// A study is sealed when nothing came for this long.
    pub quiet: Period,
    /// A study is sealed at the latest when its oldest unsealed receipt is this old.
    pub max_age: Period,
    /// Size that packs aim at.
    pub pack_target: ByteSize,
    /// Zstandard level.
    pub zstd_level: i32,
    /// A study whose seal fails this often is set aside and a case opened.
    pub attempts: u32,
}

impl Default for SealSection {
    fn default() -> Self {
        Self {
            quiet: Period::seconds(120),
            max_age: Period::seconds(3600),
            pack_target: ByteSize::mib(512),
            zstd_level: 1,
            attempts: 10,
        }
    }
}

/// `[merge]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MergeSection {
    /// Small packs that a study must have.
    pub packs_min: usize,
    /// How long a study must be quiet.
    pub quiet: Period,
    /// How often is looked for studies to merge.
    pub every: Period,
    /// Zstandard level.
    pub zstd_level: i32,
}

impl Default for MergeSection {
    fn default() -> Self {
        Self { every: Period::seconds(600), packs_min: 4, quiet: Period::seconds(24 * 3600), zstd_level: 3 }
    }
}

/// `[copies]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CopiesSection {
    /// How often stores that lack something are brought up to date.
    pub every: Period,
}

impl Default for CopiesSection {
    fn default() -> Self {
        Self { every: Period::seconds(30) }
    }
}

/// `[ledger]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerSection {
    /// The store that becomes home when the archive is created; afterwards the ledger itself says which is.
    pub home: String,
    /// What came and is not sealed is written down at the latest after this.
    pub received_every: Period,
}

impl Default for LedgerSection {
    fn default() -> Self {
        Self { home: "main".to_owned(), received_every: Period::seconds(60) }
    }
}

/// `[catalog]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSection {
    /// The store that it lies in: `sled` or `redb`.
    pub store: Backend,
    /// Memory for pages of the catalog; the process takes about twice as much.
    pub cache: ByteSize,
}

impl Default for CatalogSection {
    fn default() -> Self {
        Self { store: Backend::default(), cache: ByteSize::mib(256) }
    }
}

/// `[reading]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadingSection {
    /// Memory for what is known of packs: roots, parts of index and metadata.
    pub pack_cache: ByteSize,
    /// Memory for bytes that are read before they are asked for, all downloads together.
    pub ahead: ByteSize,
}

impl Default for ReadingSection {
    fn default() -> Self {
        Self { pack_cache: ByteSize::mib(128), ahead: ByteSize::mib(64) }
    }
}

/// `[gate]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSection {
    /// Uptime that passes between a merge and the deletion of what it replaced.
    pub grace: Period,
    /// How often is looked for packs whose grace is over.
    pub every: Period,
    /// How often is looked for packs that no ledger entry names; first when this has passed once.
    pub orphans_every: Period,
}

impl Default for GateSection {
    fn default() -> Self {
        Self {
            grace: Period::seconds(24 * 3600),
            every: Period::seconds(60),
            orphans_every: Period::seconds(24 * 3600),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSection {
    /// `text` or `json`.
    pub format: LogFormat,
    /// A level (`info`), or a filter (`info,archive_core::journal=debug`).
    pub level: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// What kind of store it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// A folder.
    #[default]
    Local,
    /// An S3-compatible bucket.
    S3,
}

/// `[stores.NAME]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// `local` or `s3`.
    pub kind: StoreKind,
    /// `home` or `required`: counts for sealed; `lagging`: gets copies.
    pub role: StoreRole,
    /// Local: the folder; relative to the data folder.
    pub path: PathBuf,
    /// Local: make the folder where it is missing, for a store that joins an archive. A new archive makes its own.
    pub create: bool,
    /// S3: URL of the server; empty: AWS.
    pub endpoint: String,
    /// S3: the bucket.
    pub bucket: String,
    /// S3: beginning of all names within the bucket; empty: none.
    pub prefix: String,
    /// S3: the region.
    pub region: String,
    /// S3: the bucket is part of the host name.
    pub virtual_host: bool,
    /// S3: allow plain HTTP, for servers in the same rack.
    pub allow_http: bool,
    /// S3: file that holds the access key id; empty: `AWS_ACCESS_KEY_ID` of the environment.
    pub access_key_file: PathBuf,
    /// S3: file that holds the secret key; empty: `AWS_SECRET_ACCESS_KEY` of the environment.
    pub secret_key_file: PathBuf,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            kind: StoreKind::Local,
            role: StoreRole::Required,
            path: PathBuf::from("store"),
            create: false,
            endpoint: String::new(),
            bucket: String::new(),
            prefix: String::new(),
            region: "us-east-1".to_owned(),
            virtual_host: false,
            allow_http: false,
            access_key_file: PathBuf::new(),
            secret_key_file: PathBuf::new(),
        }
    }
}
