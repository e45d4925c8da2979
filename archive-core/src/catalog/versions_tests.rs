use proptest::prelude::*;

use super::*;
use crate::identifiers::{ContentId, TransferSyntaxUid};

fn version(content: u8) -> VersionKey {
    VersionKey {
        content: ContentId::of(&[content]),
        transfer_syntax: TransferSyntaxUid::parse("1.2.840.10008.1.2.1").unwrap(),
    }
}

fn receipt(number: u64, source: &str, rule: DuplicateRule) -> ReceiptFacts {
    ReceiptFacts {
        number: ReceiptNumber { epoch: 1, number },
        source: SourceKey::new(source),
        resolved: Resolved { duplicate_rule: rule, ..Resolved::default() },
    }
}

fn promotion(entry: u64, content: u8, seen: u64) -> Promotion {
    Promotion {
        entry,
        study: StudyUid::parse("1.1").unwrap(),
        sop: SopUid::parse("1.2").unwrap(),
        version: version(content),
        after: After::from([(1, seen)]),
    }
}

/// Receipts as (version, source, rule letter) in the order of their numbers; gives the current version.
fn current(history: &[(u8, &str, char)], promotions: &[Promotion]) -> u8 {
    let receipts: Vec<(VersionKey, ReceiptFacts)> = history
        .iter()
        .zip(1..)
        .map(|(&(content, source, rule), number)| {
            let rule = match rule {
                's' => DuplicateRule::SameSourceReplaces,
                'f' => DuplicateRule::FirstWins,
                _ => DuplicateRule::LatestWins,
            };
            (version(content), receipt(number, source, rule))
        })
        .collect();
    let promotions: Vec<&Promotion> = promotions.iter().collect();
    let found = resolve(receipts.iter().map(|(version, receipt)| (version, receipt)), &promotions).unwrap();
    (0..=9).find(|&content| version(content) == found.version).unwrap()
}

#[test]
fn the_current_version_follows_the_truth_table() {
    type Received = (u8, &'static str, char);
    let cases: &[(&str, &[Received], u8)] = &[
        ("a source replaces what it sent", &[(1, "A", 's'), (2, "A", 's')], 2),
        ("and goes back by sending the older again", &[(1, "A", 's'), (2, "A", 's'), (1, "A", 's')], 1),
        ("another's content stays beside", &[(1, "A", 's'), (2, "B", 's')], 1),
        ("V1 V2 V1 of two sources", &[(1, "A", 's'), (2, "B", 's'), (1, "A", 's')], 1),
        ("a duplicate by another changes no owner", &[(1, "A", 's'), (1, "B", 's'), (2, "B", 's')], 1),
        ("a source may bring what another brought first", &[(1, "A", 's'), (2, "B", 's'), (2, "A", 's')], 2),
        ("first wins", &[(1, "A", 'f'), (2, "A", 'f'), (3, "B", 'f')], 1),
        ("latest wins, whoever", &[(1, "A", 'l'), (2, "B", 'l')], 2),
        ("latest wins moves the owner", &[(1, "A", 'l'), (2, "B", 'l'), (3, "B", 's')], 3),
        ("the rule is each receipt's own", &[(1, "A", 's'), (2, "A", 'f'), (3, "B", 'l'), (2, "A", 's')], 3),
        ("the rule changed in between: one source", &[(1, "A", 'f'), (2, "A", 's'), (1, "A", 'l')], 1),
        ("the rule changed in between: two sources", &[(1, "A", 's'), (2, "B", 'l'), (1, "A", 's')], 2),
    ];
    for (what, history, expected) in cases {
        assert_eq!(current(history, &[]), *expected, "{what}");
    }
}

#[test]
fn a_promotion_stays_until_new_content_wins() {
    let both = [(1, "A", 's'), (2, "B", 's')];
    let promoted = [promotion(7, 2, 2)];
    assert_eq!(current(&both, &promoted), 2);
    assert_eq!(current(&[both[0], both[1], (1, "A", 's')], &promoted), 2, "a re-send is not new content");
    assert_eq!(current(&[both[0], both[1], (1, "A", 'l')], &promoted), 2, "whatever the rule");
    assert_eq!(current(&[both[0], both[1], (3, "A", 's')], &promoted), 3, "the owner before still owned");
    assert_eq!(current(&[both[0], both[1], (3, "B", 's')], &promoted), 2, "B did not become the owner");
    assert_eq!(current(&[both[0], both[1], (3, "A", 'f')], &promoted), 2, "new content that does not win");
    assert_eq!(current(&both, &[promotion(7, 2, 2), promotion(8, 1, 2)]), 1, "the later entry decides");
    assert_eq!(current(&both, &[promotion(7, 2, 1)]), 1, "what was not seen cannot be promoted");
    assert_eq!(current(&both, &[promotion(7, 1, 1)]), 1);
}

#[test]
fn a_promotion_orders_by_what_it_had_seen_not_by_when_it_was_written() {
    // It was written to the ledger last and had not seen receipt 3, which is new content by the owner.
    assert_eq!(current(&[(1, "A", 's'), (2, "B", 's'), (3, "A", 's')], &[promotion(99, 2, 2)]), 3);
}

#[test]
fn a_version_is_read_as_its_lowest_receipt_says() {
    use crate::dicom::attributes::Attributes;
    let holding = |number: u64, issuer: &str, place: u64| {
        let mut attributes = Attributes::default();
        attributes.insert(tags::PATIENT_ID, &serde_json::json!({"vr": "LO", "Value": ["7"]}));
        attributes.insert(tags::STUDY_ID, &serde_json::json!({"vr": "SH", "Value": [format!("read by {number}")]}));
        let mut receipt = receipt(number, "A", DuplicateRule::SameSourceReplaces);
        receipt.resolved.default_issuer = Some(issuer.to_owned());
        Holding {
            facts: Arc::new(Facts {
                keys: InstanceKeys {
                    study: StudyUid::parse("1.1").unwrap(),
                    series: crate::identifiers::SeriesUid::parse("1.3").unwrap(),
                    sop_class: crate::identifiers::SopClassUid::parse("1.4").unwrap(),
                    sop: SopUid::parse("1.2").unwrap(),
                },
                version: version(1),
                content_length: 1,
                frame_count: 0,
                elements: Elements::of(&attributes, &mut Interner::default()),
            }),
            receipts: vec![receipt],
            place: Place::Journal(ReceiptNumber { epoch: 1, number: place }),
            has_content: true,
        }
    };
    let (later, earlier) = (holding(9, "HOSPITAL", 9), holding(3, "CLINIC", 3));
    for held in [[&later, &earlier], [&earlier, &later]] {
        let instance = ResolvedInstance::of(held, &[]).unwrap();
        let elements = &instance.current().unwrap().facts.elements;
        assert_eq!(elements.text(tags::STUDY_ID).as_deref(), Some("read by 3"));
        assert_eq!(elements.text(tags::ISSUER_OF_PATIENT_ID).as_deref(), Some("CLINIC"));
        assert_eq!(instance.versions[0].places, [earlier.place.clone(), later.place.clone()]);
    }
}

proptest! {
    #[test]
    fn i3_the_fold_does_not_depend_on_the_order_or_place_of_receipts(
        history in prop::collection::vec((0_u8..4, 0_u8..3, 0_u8..3), 1..12),
        promotions in prop::collection::vec((0_u8..4, 0_u64..12), 0..3),
        seed in any::<u64>(),
    ) {
        let rules = [DuplicateRule::SameSourceReplaces, DuplicateRule::FirstWins, DuplicateRule::LatestWins];
        let receipts: Vec<(VersionKey, ReceiptFacts)> = history.iter().zip(1..).map(|(&(content, source, rule), number)| {
            (version(content), receipt(number, ["A", "B", "C"][usize::from(source)], rules[usize::from(rule)]))
        }).collect();
        let mut seen = 0;
        let promotions: Vec<Promotion> = promotions.iter().zip(0..).map(|(&(content, more), entry)| {
            seen += more;
            promotion(entry, content, seen)
        }).collect();
        let mut chosen: Vec<&Promotion> = promotions.iter().collect();
        let plain = resolve(receipts.iter().map(|(v, r)| (v, r)), &chosen);
        let mut shuffled: Vec<_> = receipts.iter().chain(&receipts).collect();
        shuffled.sort_by_key(|(_, receipt)| seed.rotate_left(u32::try_from(receipt.number.number).unwrap() * 7) ^ receipt.number.number);
        chosen.reverse();
        prop_assert_eq!(plain, resolve(shuffled.iter().map(|(v, r)| (v, r)), &chosen));
    }
}
