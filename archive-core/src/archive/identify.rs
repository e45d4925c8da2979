//! Whose the stores are: each is opened, asked who it is, and compared with what the data folder remembers, before anything
//! is written anywhere. A store that nobody knows joins; one that is known is never made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::error::ArchiveError;
use super::known::Known;
use super::open::{OpenError, Parts, StoreSpec, folder};
use super::options::ArchiveOptions;
use crate::identifiers::{ArchiveId, StoreId};
use crate::ledger::entry::StoreRole;
use crate::store::gate::{DeletingStore, GatedStore, GuardedStore, InFlightDeletes};
use crate::store::{
    ArchiveStore, AwaitedStore, ConditionalStore, LedgerFitness, Member, StoreError, StoreIdentity, StoreSet,
    check_identity, initialise, probe, read_identity,
};
use crate::store_files;

/// What identifying the stores gave.
pub(super) struct Identified {
    pub(super) known: Known,
    pub(super) stores: StoreSet,
    pub(super) gated: Vec<GatedStore>,
    pub(super) fitness: BTreeMap<StoreId, String>,
    pub(super) findings: Vec<String>,
}

/// A store of the configuration, looked for.
enum Found {
    Here(Arc<dyn ArchiveStore>),
    /// It is known, may lag, and cannot be reached.
    Away(StoreError),
}

/// Finds out whose the stores are; a new archive is named, and its stores are initialised.
pub(super) async fn identify(options: &ArchiveOptions, parts: &Parts) -> Result<Identified, OpenError> {
    let known = Known::read(&options.data).map_err(folder(&options.data))?;
    let mut opened = Vec::new();
    for spec in &parts.stores {
        opened.push(open_place(spec, known.as_ref()).await?);
    }
    let mut known = match known {
        Some(known) => known,
        None => begin(options, parts, &opened).await?,
    };
    let mut findings = Vec::new();
    let mut members = Vec::new();
    let mut gated = Vec::new();
    let mut fitness = BTreeMap::new();
    for (spec, found) in parts.stores.iter().zip(opened) {
        let (id, found) = identify_store(options, parts, spec, found, &mut known).await?;
        let role = if spec.home { StoreRole::Home } else { spec.role };
        let (deleting, kind): (Arc<dyn DeletingStore>, String) = match found {
            Found::Here(store) => {
                let fit = fitness_of(&store, parts).await;
                if role == StoreRole::Home && fit.as_ref().is_ok_and(|fit| *fit == LedgerFitness::Unfit) {
                    return Err(OpenError::Unfit { store: store.name().to_owned() });
                }
                let kind = fitness_in_words(store.name(), fit, &mut findings);
                (store, kind)
            }
            Found::Away(error) => {
                findings.push(format!("store {} was away; it is looked for: {error}", spec.place.name()));
                let awaited = AwaitedStore::new(Arc::clone(&spec.place), known.archive.clone(), id.clone());
                (Arc::new(awaited), NOT_PROBED.to_owned())
            }
        };
        fitness.insert(id.clone(), kind);
        let in_flight = InFlightDeletes::new(Arc::clone(&parts.clock));
        let store = GuardedStore::new(Arc::clone(&deleting), Arc::clone(&in_flight));
        gated.push(GatedStore { id: id.clone(), deleting, in_flight });
        members.push(Member { id, role, store });
    }
    Ok(Identified { known, stores: StoreSet::new(members)?, gated, fitness, findings })
}

/// Opens what is in a store's place. It is made where the archive is new, or where it joins and is to be made.
async fn open_place(spec: &StoreSpec, known: Option<&Known>) -> Result<Found, StoreError> {
    let is_new = known.is_none_or(|known| known.head.is_none());
    let joins = known.is_some_and(|known| !known.stores.contains_key(spec.place.name()));
    let opened = if is_new || (joins && spec.create) { spec.place.make().await } else { spec.place.open().await };
    found_or_away(opened, spec, known)
}

/// A lagging store that is known may be away: nothing waits for it. Any other that cannot be reached is refused.
fn found_or_away(
    opened: Result<Arc<dyn ArchiveStore>, StoreError>,
    spec: &StoreSpec,
    known: Option<&Known>,
) -> Result<Found, StoreError> {
    let is_known = known.is_some_and(|known| known.head.is_some() && known.stores.contains_key(spec.place.name()));
    match opened {
        Err(error @ StoreError::Unavailable { .. }) if is_known && spec.role == StoreRole::Lagging && !spec.home => {
            Ok(Found::Away(error))
        }
        other => other.map(Found::Here),
    }
}

/// A data folder that knows no archive: a new one, or, where the journal's mirror is there, the one of the stores.
async fn begin(options: &ArchiveOptions, parts: &Parts, opened: &[Found]) -> Result<Known, OpenError> {
    let mut stores = BTreeMap::new();
    let mut archive: Option<(String, ArchiveId)> = None;
    for found in opened {
        let Found::Here(store) = found else { continue };
        if let Some(identity) = read_identity(&**store).await? {
            archive.get_or_insert((store.name().to_owned(), identity.archive));
            stores.insert(store.name().to_owned(), identity.store);
        }
    }
    match archive {
        Some((_, archive)) if mirror_is_there(options) => Ok(Known { archive, stores, head: None }),
        Some((store, archive)) => Err(OpenError::StrangeData { store, archive, data: options.data.clone() }),
        None => {
            let archive = draw(parts)?;
            // Written before anything else: a crash while the archive is created is finished by the next start.
            let known = Known { archive: parse_id(&archive)?, stores: BTreeMap::new(), head: None };
            known.write(&options.data).map_err(folder(&options.data))?;
            Ok(known)
        }
    }
}

/// Whether the journal's mirror holds anything.
pub(super) fn mirror_is_there(options: &ArchiveOptions) -> bool {
    let mirror = options.journal.mirror.as_ref();
    mirror.is_some_and(|mirror| std::fs::read_dir(mirror).is_ok_and(|mut entries| entries.next().is_some()))
}

fn draw(parts: &Parts) -> Result<String, OpenError> {
    Ok(parts.entropy.nonce().map_err(|error| ArchiveError::internal("drawing an id", error))?)
}

fn parse_id(text: &str) -> Result<ArchiveId, OpenError> {
    Ok(ArchiveId::parse(text).map_err(|error| ArchiveError::internal("drawing an id", error))?)
}

/// The id of one store: the one that is remembered, checked; or that of a store that joins.
async fn identify_store(
    options: &ArchiveOptions,
    parts: &Parts,
    spec: &StoreSpec,
    found: Found,
    known: &mut Known,
) -> Result<(StoreId, Found), OpenError> {
    let name = spec.place.name().to_owned();
    let remembered = known.stores.get(&name).filter(|_| known.head.is_some());
    let store = match (remembered, found) {
        (Some(id), Found::Here(store)) => {
            let checked = check_identity(&*store, &known.archive, id).await.map(|_| store);
            return Ok((id.clone(), found_or_away(checked, spec, Some(known))?));
        }
        (Some(id), Found::Away(error)) => return Ok((id.clone(), Found::Away(error))),
        (None, Found::Here(store)) => store,
        // Only what is remembered may be away.
        (None, Found::Away(error)) => return Err(error.into()),
    };
    let identity = read_identity(&*store).await?;
    let id = match (identity, known.stores.get(&name)) {
        (Some(identity), _) => identity.store,
        (None, Some(id)) => id.clone(),
        (None, None) => {
            let drawn = draw(parts)?;
            StoreId::parse(&drawn).map_err(|error| ArchiveError::internal("drawing an id", error))?
        }
    };
    let identity = StoreIdentity::new(known.archive.clone(), id.clone(), parts.clock.now());
    let (readme, extract) =
        (Bytes::from_static(store_files::README.as_bytes()), Bytes::from_static(store_files::EXTRACT.as_bytes()));
    initialise(&*store, &identity, readme, extract).await?;
    // Remembered when it is so: a crash before leaves a store that says itself whose it is.
    known.stores.insert(name, id.clone());
    known.write(&options.data).map_err(folder(&options.data))?;
    Ok((id, Found::Here(store)))
}

async fn fitness_of(store: &Arc<dyn ArchiveStore>, parts: &Parts) -> Result<LedgerFitness, StoreError> {
    let store: Arc<dyn ConditionalStore> = Arc::clone(store) as _;
    probe(store, &*parts.entropy).await
}

/// What is said of a store that could not be probed.
const NOT_PROBED: &str = "not probed";

fn fitness_in_words(name: &str, fitness: Result<LedgerFitness, StoreError>, findings: &mut Vec<String>) -> String {
    match fitness {
        Ok(LedgerFitness::Good) => "creates once".to_owned(),
        Ok(LedgerFitness::OneWriterOnly) => {
            findings.push(format!(
                "store {name} checks and then writes: good for one writer, but not to take over from a machine that still runs"
            ));
            "creates once, one writer".to_owned()
        }
        Ok(LedgerFitness::Unfit) => "overwrites: packs only".to_owned(),
        Err(error) => {
            findings.push(format!("store {name} could not be probed: {error}"));
            NOT_PROBED.to_owned()
        }
    }
}
