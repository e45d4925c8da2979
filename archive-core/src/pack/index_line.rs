//! A line of `vellum/index.jsonl`: one version, its receipts, and where its bytes lie.
//!
//! The stored shape is written out here by hand and apart from the nouns of the domain, so that a change of those is
//! not a change of the format by accident. The line that was read is checked as a whole: units cover the file without
//! gap, and every place lies in the pack.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dicom_core::Tag;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::codec::Method;
use super::error::Flaw;
use super::format::{INLINE_ROWS_MAX, PREFIX_MAX, stored_bound};
use super::place::IndexedVersion;
use super::root::Root;
use super::tables::{BlockRow, StoredUnit};
use crate::caller::{Door, SourceKey};
use crate::dicom::attributes::Attributes;
use crate::dicom::cut::{Fragment, Frame, UNIT_MAX, UnitKind};
use crate::dicom::scan::{InstanceKeys, ScanWarning};
use crate::identifiers::{
    AeTitle, ContentId, ReceiptNumber, SeriesUid, Sha256Digest, SopClassUid, SopUid, TransferSyntaxUid, UnitDigest,
};
use crate::instance::{HeldReceipt, VersionFacts, VersionKey};
use crate::receipt::{DuplicateRule, FileDigest, Receipt, Resolved};

/// A line as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct LineJson {
    line: u32,
    series: SeriesUid,
    sop: SopUid,
    class: SopClassUid,
    syntax: TransferSyntaxUid,
    content: ContentId,
    content_length: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    inflated: bool,
    frame_count: u64,
    scanner: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningJson>,
    attributes: Attributes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    member: Option<MemberJson>,
    receipts: Vec<ReceiptJson>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WarningJson {
    code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    offset: u64,
}

#[derive(Serialize, Deserialize)]
struct MemberJson {
    name: String,
    method: Method,
    offset: u64,
    stored: u64,
    length: u64,
    prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    units: Option<Vec<UnitJson>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fragments: Option<Vec<(u64, u64)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frames: Option<Vec<(u32, u32)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tables: Option<TablesJson>,
}

impl std::fmt::Debug for MemberJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemberJson({}, {} bytes)", self.name, self.length)
    }
}

/// offset, length, stored offset, stored length, digest, `h` or `b`.
type UnitJson = (u64, u32, u64, u32, String, String);

/// Where the three tables lie in `frames.bin`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TablesJson {
    pub(crate) units: TablePlace,
    pub(crate) fragments: TablePlace,
    pub(crate) frames: TablePlace,
}

/// Base and count of one table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct TablePlace {
    /// Its first block.
    pub(crate) block: u32,
    /// Its rows.
    pub(crate) rows: u64,
}

impl TablePlace {
    /// Blocks that a table of these rows takes.
    pub(crate) fn blocks<R: BlockRow>(&self) -> u64 {
        self.rows.div_ceil(R::PER_BLOCK)
    }
}

#[derive(Serialize, Deserialize)]
struct ReceiptJson {
    number: ReceiptNumber,
    time: Timestamp,
    door: Door,
    source: SourceKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<FileJson>,
    rule: DuplicateRule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    charset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    local_ae: Option<AeTitle>,
    /// It came as a bare data set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bare: bool,
    /// It came as a file whose prefix is not the member's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
}

impl std::fmt::Debug for ReceiptJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReceiptJson({})", self.number)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct FileJson {
    sha256: Sha256Digest,
    size: u64,
}

/// A table of a line: its rows, or where they lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Rows<R> {
    /// In the line.
    Inline(Vec<R>),
    /// In `frames.bin`.
    Blocks(TablePlace),
}

/// Where the bytes of a version lie.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) method: Method,
    /// First stored byte, from the start of the pack.
    pub(crate) offset: u64,
    pub(crate) stored: u64,
    /// Bytes of the file: prefix and content.
    pub(crate) length: u64,
    pub(crate) prefix: Vec<u8>,
    pub(crate) units: Rows<StoredUnit>,
    pub(crate) fragments: Rows<Fragment>,
    pub(crate) frames: Rows<Frame>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Member({}, {} bytes)", self.name, self.length)
    }
}

/// Writes a line, without its line feed.
pub(crate) fn write_line(
    line: u32,
    facts: &VersionFacts,
    receipts: &[HeldReceipt],
    member: Option<&Member>,
) -> serde_json::Result<Vec<u8>> {
    let member_prefix = member.map(|member| member.prefix.as_slice());
    serde_json::to_vec(&LineJson {
        line,
        series: facts.keys.series.clone(),
        sop: facts.keys.sop.clone(),
        class: facts.keys.sop_class.clone(),
        syntax: facts.version.transfer_syntax.clone(),
        content: facts.version.content,
        content_length: facts.content_length,
        inflated: facts.inflated,
        frame_count: facts.frame_count,
        scanner: facts.scanner_revision,
        warnings: facts.warnings.iter().map(WarningJson::of).collect(),
        attributes: facts.attributes.clone(),
        member: member.map(MemberJson::of),
        receipts: receipts.iter().map(|held| ReceiptJson::of(held, member_prefix)).collect(),
    })
}

/// Reads a line of a unit whose digest was checked.
///
/// # Errors
/// [`Flaw::NotUnderstood`] where a member of format 1 is missing or says what cannot be.
pub(crate) fn read_line(
    text: &[u8],
    line: u32,
    root: &Root,
    pack_size: u64,
) -> Result<(IndexedVersion, Option<Member>), Flaw> {
    let bad = |what: &str| Flaw::NotUnderstood(format!("line {line} of the index {what}"));
    let json: LineJson = serde_json::from_slice(text).map_err(|_| bad("lacks a member of format 1"))?;
    if json.line != line {
        return Err(bad("says that it is another line"));
    }
    let member = json.member.map(MemberJson::read).transpose().map_err(bad)?;
    if let Some(member) = &member {
        check_member(member, json.content_length, root, pack_size).map_err(bad)?;
    }
    let facts = VersionFacts {
        keys: InstanceKeys { study: root.study.clone(), series: json.series, sop_class: json.class, sop: json.sop },
        version: VersionKey { content: json.content, transfer_syntax: json.syntax },
        content_length: json.content_length,
        inflated: json.inflated,
        frame_count: json.frame_count,
        attributes: json.attributes,
        scanner_revision: json.scanner,
        warnings: json.warnings.into_iter().map(WarningJson::read).collect::<Result<_, _>>().map_err(bad)?,
    };
    let receipts = json
        .receipts
        .into_iter()
        .map(|receipt| receipt.read(&facts.version, member.as_ref()))
        .collect::<Result<_, _>>()
        .map_err(bad)?;
    for uid in [facts.keys.series.as_str(), facts.keys.sop.as_str(), facts.keys.sop_class.as_str()] {
        if uid.is_empty() {
            return Err(bad("has an empty UID"));
        }
    }
    Ok((IndexedVersion { facts, receipts, line, has_content: member.is_some() }, member))
}

/// Every place of a member lies where it can, and its units cover the file.
fn check_member(member: &Member, content_length: u64, root: &Root, pack_size: u64) -> Result<(), &'static str> {
    if member.offset.checked_add(member.stored).is_none_or(|end| end > pack_size) {
        return Err("names a member outside the pack");
    }
    if (member.prefix.len() as u64).checked_add(content_length) != Some(member.length) {
        return Err("has a prefix and a content that do not add up");
    }
    match &member.units {
        Rows::Inline(units) => {
            let mut offset = 0;
            for unit in units {
                check_unit(unit, member)?;
                if unit.offset != offset {
                    return Err("has units with a gap");
                }
                offset = unit.end();
            }
            if offset != member.length {
                return Err("has units with a gap");
            }
        }
        Rows::Blocks(place) => check_blocks::<StoredUnit>(place, root)?,
    }
    if let Rows::Blocks(place) = &member.fragments {
        check_blocks::<Fragment>(place, root)?;
    }
    if let Rows::Blocks(place) = &member.frames {
        check_blocks::<Frame>(place, root)?;
    }
    Ok(())
}

/// A unit has a length that it may have and lies in its member.
pub(crate) fn check_unit(unit: &StoredUnit, member: &Member) -> Result<(), &'static str> {
    let length = u64::from(unit.length);
    let good = length > 0
        && length <= UNIT_MAX
        && u64::from(unit.stored_length) <= stored_bound(length)
        && (member.method == Method::Zstd || unit.stored_length == unit.length)
        && unit.offset.checked_add(length).is_some_and(|end| end <= member.length)
        && unit.stored_offset.checked_add(unit.stored_length.into()).is_some_and(|end| end <= member.stored);
    if good { Ok(()) } else { Err("has a unit outside its member") }
}

fn check_blocks<R: BlockRow>(place: &TablePlace, root: &Root) -> Result<(), &'static str> {
    let end = u64::from(place.block).checked_add(place.blocks::<R>());
    if end.is_none_or(|end| end > root.blocks().len() as u64) {
        return Err("names a table outside frames.bin");
    }
    Ok(())
}

impl WarningJson {
    fn of(warning: &ScanWarning) -> Self {
        Self {
            code: warning.code.clone().into_owned(),
            tag: warning.tag.map(crate::dicom::attributes::tag_key),
            offset: warning.offset,
        }
    }

    fn read(self) -> Result<ScanWarning, &'static str> {
        let tag: Option<Tag> = match self.tag {
            Some(key) => Some(crate::dicom::attributes::parse_tag_key(&key).ok_or("has a warning at no tag")?),
            None => None,
        };
        Ok(ScanWarning { code: self.code.into(), tag, offset: self.offset })
    }
}

impl MemberJson {
    fn of(member: &Member) -> Self {
        let tables = match (&member.units, &member.fragments, &member.frames) {
            (Rows::Blocks(units), Rows::Blocks(fragments), Rows::Blocks(frames)) => {
                Some(TablesJson { units: *units, fragments: *fragments, frames: *frames })
            }
            _ => None,
        };
        Self {
            name: member.name.clone(),
            method: member.method,
            offset: member.offset,
            stored: member.stored,
            length: member.length,
            prefix: STANDARD.encode(&member.prefix),
            units: inline(&member.units, unit_json),
            fragments: inline(&member.fragments, |row| (row.offset, row.length)),
            frames: inline(&member.frames, |row| (row.first_fragment, row.fragment_count)),
            tables,
        }
    }

    fn read(self) -> Result<Member, &'static str> {
        let (units, fragments, frames) = match (self.units, self.fragments, self.frames, self.tables) {
            (Some(units), Some(fragments), Some(frames), None) => (
                Rows::Inline(units.into_iter().map(read_unit).collect::<Result<_, _>>()?),
                Rows::Inline(fragments.into_iter().map(|(offset, length)| Fragment { offset, length }).collect()),
                Rows::Inline(
                    frames
                        .into_iter()
                        .map(|(first_fragment, fragment_count)| Frame { first_fragment, fragment_count })
                        .collect(),
                ),
            ),
            (None, None, None, Some(tables)) => {
                (Rows::Blocks(tables.units), Rows::Blocks(tables.fragments), Rows::Blocks(tables.frames))
            }
            _ => return Err("has neither its tables nor their place"),
        };
        Ok(Member {
            name: self.name,
            method: self.method,
            offset: self.offset,
            stored: self.stored,
            length: self.length,
            prefix: read_prefix(&self.prefix)?,
            units,
            fragments,
            frames,
        })
    }
}

fn inline<R: Copy, J>(rows: &Rows<R>, json: impl Fn(R) -> J) -> Option<Vec<J>> {
    match rows {
        Rows::Inline(rows) => Some(rows.iter().map(|&row| json(row)).collect()),
        Rows::Blocks(_) => None,
    }
}

fn unit_json(unit: StoredUnit) -> UnitJson {
    let kind = if unit.kind == UnitKind::Header { "h" } else { "b" };
    (unit.offset, unit.length, unit.stored_offset, unit.stored_length, unit.digest.to_hex(), kind.to_owned())
}

fn read_unit(
    (offset, length, stored_offset, stored_length, digest, kind): UnitJson,
) -> Result<StoredUnit, &'static str> {
    let mut raw = [0; 16];
    hex::decode_to_slice(&digest, &mut raw).map_err(|_| "has a unit without digest")?;
    let kind = match kind.as_str() {
        "h" => UnitKind::Header,
        "b" => UnitKind::Bulk,
        _ => return Err("has a unit of no known kind"),
    };
    Ok(StoredUnit { offset, length, stored_offset, stored_length, kind, digest: UnitDigest::from_raw(raw) })
}

fn read_prefix(text: &str) -> Result<Vec<u8>, &'static str> {
    let prefix = STANDARD.decode(text).map_err(|_| "has a prefix that is not base64")?;
    if prefix.len() > PREFIX_MAX { Err("has a prefix over 64 KiB") } else { Ok(prefix) }
}

impl ReceiptJson {
    fn of(held: &HeldReceipt, member_prefix: Option<&[u8]>) -> Self {
        let receipt = &held.receipt;
        let own = held.prefix.as_deref().filter(|&prefix| Some(prefix) != member_prefix);
        Self {
            number: receipt.number,
            time: receipt.time,
            door: receipt.door,
            source: receipt.source.clone(),
            file: receipt.file.map(|file| FileJson { sha256: file.sha256, size: file.size }),
            rule: receipt.resolved.duplicate_rule,
            issuer: receipt.resolved.default_issuer.clone(),
            charset: receipt.resolved.assumed_charset.clone(),
            local_ae: receipt.resolved.local_ae.clone(),
            bare: held.prefix.is_none(),
            prefix: own.map(|prefix| STANDARD.encode(prefix)),
        }
    }

    fn read(self, version: &VersionKey, member: Option<&Member>) -> Result<HeldReceipt, &'static str> {
        let prefix = match (self.bare, self.prefix, member) {
            (true, None, _) => None,
            (false, Some(own), _) => Some(read_prefix(&own)?),
            (false, None, Some(member)) => Some(member.prefix.clone()),
            (true, Some(_), _) => return Err("has a bare receipt with a prefix"),
            (false, None, None) => return Err("has a receipt of a file without its prefix"),
        };
        let receipt = Receipt {
            number: self.number,
            time: self.time,
            door: self.door,
            source: self.source,
            content: version.content,
            transfer_syntax: version.transfer_syntax.clone(),
            file: self.file.map(|file| FileDigest { sha256: file.sha256, size: file.size }),
            resolved: Resolved {
                duplicate_rule: self.rule,
                default_issuer: self.issuer,
                assumed_charset: self.charset,
                local_ae: self.local_ae,
            },
        };
        Ok(HeldReceipt { receipt, prefix })
    }
}

/// Whether three tables of these lengths stay in the line.
pub(crate) fn rows_stay_inline(units: u64, fragments: u64, frames: u64) -> bool {
    units.max(fragments).max(frames) <= INLINE_ROWS_MAX
}
