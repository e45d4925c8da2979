//! How content is cut (docs/FORMAT.md, "Units").

use dicom_core::{Tag, VR};

use super::builder::{DataSet, LITTLE, element, encapsulated, item, open_sequence};
use super::corpus::check_units;
use super::{scan_as, scan_data_set};
use crate::dicom::cut::{Unit, UnitKind};

const PIXELS: Tag = Tag(0x7FE0, 0x0010);
const BASELINE: &str = "1.2.840.10008.1.2.4.50";

fn kinds_and_lengths(units: &[Unit]) -> Vec<(UnitKind, u32)> {
    units.iter().map(|unit| (unit.kind, unit.length)).collect()
}

fn native(rows: u16, columns: u16, frames: &str, value: &[u8]) -> (Vec<u8>, Vec<(UnitKind, u32)>) {
    let bytes = DataSet::keyed(LITTLE).image(rows, columns, 1, 8, Some(frames)).element(PIXELS, VR::OW, value).build();
    let scan = scan_data_set(&bytes, LITTLE).unwrap();
    let units = scan.cut.units.to_vec().unwrap();
    check_units("native", &bytes, &units);
    (bytes, kinds_and_lengths(&units))
}

#[test]
fn each_long_frame_is_a_unit_of_its_own() {
    let (bytes, units) = native(100, 50, "3", &[7; 15_000]);
    let header = u32::try_from(bytes.len()).unwrap() - 15_000;
    let frame = (UnitKind::Bulk, 5000);
    assert_eq!(units, [(UnitKind::Header, header), frame, frame, frame]);
}

#[test]
fn short_frames_are_joined_up_to_64_kib() {
    let (_, units) = native(64, 64, "40", &[7; 40 * 4096]);
    assert_eq!(units[1..], [(UnitKind::Bulk, 65_536), (UnitKind::Bulk, 65_536), (UnitKind::Bulk, 32_768)]);
}

#[test]
fn padding_belongs_to_the_last_frame() {
    let (_, units) = native(99, 51, "3", &[7; 3 * 99 * 51 + 1]);
    assert_eq!(units[1..], [(UnitKind::Bulk, 5049), (UnitKind::Bulk, 5049), (UnitKind::Bulk, 5050)]);
}

#[test]
fn no_unit_is_longer_than_4_mib() {
    let (_, units) = native(3000, 3000, "1", &vec![7; 9_000_000]);
    let full = (UnitKind::Bulk, 4 << 20);
    assert_eq!(units[1..], [full, full, (UnitKind::Bulk, 9_000_000 - (8 << 20))]);
    let texts = (0..80_u16).fold(DataSet::keyed(LITTLE), |set, index| {
        set.element(Tag(0x0041, 0x1000 + index), VR::UT, &vec![b'x'; 60_000])
    });
    let bytes = texts.build();
    let units = scan_data_set(&bytes, LITTLE).unwrap().cut.units.to_vec().unwrap();
    check_units("texts", &bytes, &units);
    assert_eq!(units.len(), 2);
    assert!(units.iter().all(|unit| unit.kind == UnitKind::Header), "text is never bulk");
}

#[test]
fn binary_values_over_1_kib_are_bulk_in_sequences_too_and_shorter_ones_are_not() {
    let value = |length| element(LITTLE, Tag(0x0042, 0x0011), VR::OB, &vec![7; length]);
    for (length, expected) in [(1024, 1), (1026, 3)] {
        let sequence = open_sequence(LITTLE, Tag(0x0040, 0x0275), &item(LITTLE, &value(length)));
        let bytes = DataSet::keyed(LITTLE).raw(Tag(0x0040, 0x0275), sequence).build();
        let units = scan_data_set(&bytes, LITTLE).unwrap().cut.units.to_vec().unwrap();
        check_units("binary", &bytes, &units);
        assert_eq!(units.len(), expected);
    }
}

#[test]
fn a_frame_of_several_fragments_is_one_unit_with_the_item_headers() {
    let table = [0_u32, 8 + 3000 + 8 + 3000].map(u32::to_le_bytes).concat();
    let (half, whole) = (vec![7; 3000], vec![8; 6000]);
    let pixels = encapsulated(&[&table, &half, &half, &whole]);
    let bytes = DataSet::keyed(LITTLE).image(1, 1, 1, 8, Some("2")).raw(PIXELS, pixels).build();
    let units = scan_as(&bytes, BASELINE).unwrap().cut.units.to_vec().unwrap();
    check_units("fragments", &bytes, &units);
    let kinds = kinds_and_lengths(&units);
    assert_eq!(kinds[1..], [(UnitKind::Bulk, 6016), (UnitKind::Bulk, 6008), (UnitKind::Header, 8)]);
}

#[test]
fn short_fragments_are_joined_with_their_item_headers() {
    let frame = vec![7; 1000];
    let frames: Vec<&[u8]> = std::iter::once(&[][..]).chain(std::iter::repeat_n(&frame[..], 100)).collect();
    let bytes = DataSet::keyed(LITTLE).image(1, 1, 1, 8, Some("100")).raw(PIXELS, encapsulated(&frames)).build();
    let units = scan_as(&bytes, BASELINE).unwrap().cut.units.to_vec().unwrap();
    check_units("short fragments", &bytes, &units);
    let kinds = kinds_and_lengths(&units);
    assert_eq!(kinds[1..], [(UnitKind::Bulk, 65 * 1008), (UnitKind::Bulk, 35 * 1008), (UnitKind::Header, 8)]);
}

#[test]
fn i12_a_long_basic_offset_table_is_bulk() {
    let table = vec![0; 4096];
    let bytes = DataSet::keyed(LITTLE).raw(PIXELS, encapsulated(&[&table, b"ab"])).build();
    let units = scan_as(&bytes, BASELINE).unwrap().cut.units.to_vec().unwrap();
    check_units("table", &bytes, &units);
    let kinds = kinds_and_lengths(&units);
    assert_eq!(kinds[1..], [(UnitKind::Bulk, 4096 + 10), (UnitKind::Header, 8)]);
}

#[test]
fn i12_more_rows_than_memory_should_hold_lie_in_scratch_and_read_the_same() {
    let frames = 70_000_u32;
    let table: Vec<u8> = (0..frames).flat_map(|index| (index * 10).to_le_bytes()).collect();
    let items = std::iter::repeat_n(item(LITTLE, b"ab"), frames as usize).flatten().collect::<Vec<_>>();
    let pixels = [
        super::builder::header(LITTLE, PIXELS, VR::OB, super::builder::UNDEFINED),
        item(LITTLE, &table),
        items,
        super::builder::sequence_end(LITTLE),
    ];
    let set = DataSet::keyed(LITTLE).image(1, 1, 1, 8, Some("70000")).raw(PIXELS, pixels.concat());
    let bytes = set.build();
    let scan = scan_as(&bytes, BASELINE).unwrap();
    assert_eq!((scan.cut.fragments.len(), scan.cut.frames.len()), (70_000, 70_000));
    let last = scan.cut.fragments.get(69_999).unwrap().unwrap();
    assert_eq!((last.offset, last.length), (bytes.len() as u64 - 10, 2));
    let units = scan.cut.units.to_vec().unwrap();
    check_units("many", &bytes, &units);
}
