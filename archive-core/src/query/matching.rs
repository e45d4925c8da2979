//! Matching, implemented once for every door (PS3.4 §C.2.2.2, PS3.18 §8.3.4).
//!
//! What a key's text means depends on the value representation of its attribute:
//!
//! | VR | meaning |
//! |---|---|
//! | any | empty, or `*` alone: matches everything (universal); `a\b`: matches a or b |
//! | UI | single value or list (`\` or `,`) |
//! | AE CS LO LT SH ST UC UR UT AS | exact and case-sensitive, spaces at the ends aside; `*` and `?` are wildcards |
//! | PN | as text, but folded (no case, no accents); groups divided by `=` match their own group, a key of one group any; with `fuzzy` every word of the key begins a word of the name |
//! | DA TM DT | value or range, see [`super::times`]; Study Date with Study Time ranges combine into one range of moments |
//! | IS DS and binary numbers | equal as numbers |
//! | SQ | keys below match within one item |
//!
//! An attribute with several values, and a study or series whose instances say different things, matches if any value
//! does. Study Date and Study Time of such a study are combined in every pairing.

use std::collections::BTreeSet;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use serde_json::Value;

use super::fold::{fold, fold_name, words};
use super::levels::{ASKS_ONLY, is_searchable, level_of, vr_of};
use super::times::{self, Range, Span};
use super::wildcard::Wildcard;
use super::{MatchKey, Query, QueryError, QueryLevel};
use crate::catalog::elements::{ElementText, parse};
use crate::dicom::attributes::tag_key;

/// Characters of one key at most; lists of UIDs are the longest.
pub const KEY_LENGTH_MAX: usize = 256 * 1024;
/// Alternatives in one key at most.
pub const KEY_VALUES_MAX: usize = 4096;

/// Something that has attributes: each with every distinct element that it stands for.
pub trait Values {
    /// The distinct elements of an attribute; none where it is absent.
    fn distinct(&self, tag: Tag) -> Vec<ElementText>;
}

/// One alternative of a text key.
#[derive(Clone)]
enum TextTest {
    Exact(String),
    Like(Wildcard),
}

impl TextTest {
    fn of(text: &str) -> Self {
        if Wildcard::is_in(text) { Self::Like(Wildcard::parse(text)) } else { Self::Exact(text.to_owned()) }
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == value,
            Self::Like(pattern) => pattern.matches(value),
        }
    }
}

/// One alternative of a person name key, folded: the groups that are given, by index.
#[derive(Clone)]
enum NameTest {
    AnyGroup(TextTest),
    Groups(Vec<(usize, TextTest)>),
    Words(Vec<String>),
}

const NAME_GROUPS: [&str; 3] = ["Alphabetic", "Ideographic", "Phonetic"];

impl NameTest {
    fn of(text: &str, fuzzy: bool) -> Self {
        if fuzzy {
            return Self::Words(words(&fold(text)).map(str::to_owned).collect());
        }
        if !text.contains('=') {
            return Self::AnyGroup(TextTest::of(&fold_name(text)));
        }
        let groups = text.split('=').map(fold_name).enumerate().filter(|(_, group)| !group.is_empty());
        Self::Groups(groups.map(|(index, group)| (index, TextTest::of(&group))).collect())
    }

    fn matches(&self, name: &Value) -> bool {
        let group = |index: usize| -> String {
            let key = NAME_GROUPS.get(index).copied().unwrap_or_default();
            let text = match name {
                Value::String(alphabetic) if index == 0 => Some(alphabetic.as_str()),
                other => other.get(key).and_then(Value::as_str),
            };
            fold_name(text.unwrap_or_default())
        };
        match self {
            Self::AnyGroup(test) => (0..3).map(group).any(|group| !group.is_empty() && test.matches(&group)),
            Self::Groups(tests) => tests.iter().all(|(index, test)| test.matches(&group(*index))),
            Self::Words(wanted) => {
                let all = (0..3).map(group).collect::<Vec<_>>().join("=");
                wanted.iter().all(|word| words(&all).any(|found| found.starts_with(word.as_str())))
            }
        }
    }
}

#[derive(Clone)]
enum Test {
    Any,
    Texts(Vec<TextTest>),
    Names(Vec<NameTest>),
    Uids(BTreeSet<String>),
    Numbers(Vec<f64>),
    Spans(Vec<Range>, fn(&str) -> Option<Span>),
    Items(Vec<Node>),
}

#[derive(Clone)]
struct Node {
    tag: Tag,
    test: Test,
    /// The text of a key without a path, for the planner.
    alternatives: Vec<String>,
}

/// A query's keys, read and ready to match.
#[derive(Clone)]
pub struct Matching {
    nodes: Vec<Node>,
    moments: Option<Range>,
    fuzzy: bool,
}

impl std::fmt::Debug for Matching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Matching({} keys)", self.nodes.len())
    }
}

impl Matching {
    /// Reads the keys of a query.
    ///
    /// # Errors
    /// [`QueryError::Key`] and [`QueryError::NotSearchable`].
    pub fn compile(query: &Query) -> Result<Self, QueryError> {
        let mut nodes = Vec::new();
        for key in &query.keys {
            let Some((&root, below)) = key.path.split_first() else { continue };
            if !is_searchable(root, query.level) {
                return Err(QueryError::NotSearchable { tag: root });
            }
            insert(&mut nodes, root, below, key, query.fuzzy)?;
        }
        let moments = combine(&mut nodes);
        Ok(Self { nodes, moments, fuzzy: query.fuzzy })
    }

    /// Whether the keys of one level match.
    #[must_use]
    pub fn matches(&self, level: QueryLevel, values: &dyn Values) -> bool {
        let at_level = self.nodes.iter().filter(|node| level_of(node.tag) == level);
        at_level.into_iter().all(|node| node_matches(node, &values.distinct(node.tag)))
            && (level != QueryLevel::Study || self.moments.is_none_or(|range| moment_matches(&range, values)))
    }

    /// Whether a level has keys that restrict anything.
    #[must_use]
    pub fn restricts(&self, level: QueryLevel) -> bool {
        let moments = level == QueryLevel::Study && self.moments.is_some();
        moments || self.nodes.iter().any(|node| level_of(node.tag) == level && !matches!(node.test, Test::Any))
    }

    /// The root tags of all keys: a record holds them.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.nodes.iter().map(|node| node.tag)
    }

    /// The only values that an attribute may have, if the key has no wildcard.
    #[must_use]
    pub fn exact(&self, tag: Tag) -> Option<Vec<String>> {
        match &self.node(tag)?.test {
            Test::Uids(uids) => Some(uids.iter().cloned().collect()),
            Test::Texts(tests) => tests
                .iter()
                .map(|test| if let TextTest::Exact(text) = test { Some(text.clone()) } else { None })
                .collect(),
            _ => None,
        }
    }

    /// Literal text that every match begins with, one for each alternative; folded for person names. `None` where an
    /// alternative begins with a wildcard.
    #[must_use]
    pub fn prefixes(&self, tag: Tag) -> Option<Vec<String>> {
        let node = self.node(tag)?;
        let prefix = |test: &TextTest| match test {
            TextTest::Exact(text) => text.clone(),
            TextTest::Like(pattern) => pattern.literal_prefix(),
        };
        let found: Vec<String> = match &node.test {
            Test::Texts(tests) => tests.iter().map(prefix).collect(),
            Test::Names(tests) => tests
                .iter()
                .map(|test| match test {
                    NameTest::AnyGroup(test) => prefix(test),
                    NameTest::Groups(tests) => tests.first().map(|(_, test)| prefix(test)).unwrap_or_default(),
                    NameTest::Words(_) => String::new(),
                })
                .collect(),
            _ => return None,
        };
        found.iter().all(|text| !text.is_empty()).then_some(found)
    }

    /// Folded literal text that every match holds somewhere, one for each alternative.
    #[must_use]
    pub fn literals(&self, tag: Tag) -> Option<Vec<String>> {
        let node = self.node(tag)?;
        let longest = |alternative: &String| -> String {
            if self.fuzzy && matches!(node.test, Test::Names(_)) {
                return words(&fold(alternative)).max_by_key(|word| word.len()).unwrap_or_default().to_owned();
            }
            let name = matches!(node.test, Test::Names(_));
            let groups: Vec<String> = alternative
                .split(|c| name && c == '=')
                .map(|group| if name { fold_name(group) } else { group.to_owned() })
                .map(|group| fold(&Wildcard::parse(&group).longest_literal()))
                .collect();
            groups.into_iter().max_by_key(String::len).unwrap_or_default()
        };
        if !matches!(node.test, Test::Names(_) | Test::Texts(_)) {
            return None;
        }
        let found: Vec<String> = node.alternatives.iter().map(longest).collect();
        (!found.is_empty() && found.iter().all(|text| text.chars().count() >= 2)).then_some(found)
    }

    /// First and last day of the study date that the keys allow.
    #[must_use]
    pub fn study_days(&self) -> (Option<i64>, Option<i64>) {
        if let Some(moments) = &self.moments {
            return moments.day_numbers();
        }
        match self.node(tags::STUDY_DATE).map(|node| &node.test) {
            Some(Test::Spans(ranges, _)) if ranges.len() == 1 => {
                ranges.first().map_or((None, None), Range::day_numbers)
            }
            _ => (None, None),
        }
    }

    fn node(&self, tag: Tag) -> Option<&Node> {
        self.nodes.iter().find(|node| node.tag == tag && !matches!(node.test, Test::Any))
    }
}

/// Puts a key into the tree: keys of one sequence must match within one item, so they share a node.
fn insert(nodes: &mut Vec<Node>, tag: Tag, below: &[Tag], key: &MatchKey, fuzzy: bool) -> Result<(), QueryError> {
    let Some((&next, rest)) = below.split_first() else {
        let alternatives = alternatives(tag, key.value.expose())?;
        let test = test_of(tag, &alternatives, fuzzy)?;
        nodes.push(Node { tag, test, alternatives });
        return Ok(());
    };
    let shared = nodes.iter_mut().find(|node| node.tag == tag && matches!(node.test, Test::Items(_)));
    if let Some(Node { test: Test::Items(items), .. }) = shared {
        return insert(items, next, rest, key, fuzzy);
    }
    let mut items = Vec::new();
    insert(&mut items, next, rest, key, fuzzy)?;
    nodes.push(Node { tag, test: Test::Items(items), alternatives: Vec::new() });
    Ok(())
}

fn wrong(tag: Tag, vr: VR, what: &'static str) -> QueryError {
    QueryError::Key { tag, vr: vr.to_string(), what }
}

/// The alternatives of a key, trimmed; none at all for universal matching.
fn alternatives(tag: Tag, text: &str) -> Result<Vec<String>, QueryError> {
    let vr = vr_of(tag);
    if text.len() > KEY_LENGTH_MAX {
        return Err(wrong(tag, vr, "it is longer than 256 KiB"));
    }
    // A backslash is a character like any other in the texts that have one value (PS3.5 §6.2: ST, LT, UT, UR).
    let single = matches!(vr, VR::ST | VR::LT | VR::UT | VR::UR);
    let divides = |c: char| (c == '\\' && !single) || (c == ',' && vr == VR::UI);
    let values: Vec<String> = text
        .split(divides)
        .map(|part| part.trim_matches([' ', '\0']))
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    if values.len() > KEY_VALUES_MAX {
        return Err(wrong(tag, vr, "it lists more than 4096 values"));
    }
    let everything = |value: &String| value.bytes().all(|byte| byte == b'*');
    Ok(if values.iter().any(everything) { Vec::new() } else { values })
}

fn test_of(tag: Tag, alternatives: &[String], fuzzy: bool) -> Result<Test, QueryError> {
    let vr = vr_of(tag);
    if alternatives.is_empty() || ASKS_ONLY.contains(&tag) || vr == VR::SQ {
        return Ok(Test::Any);
    }
    let spans = |read: fn(&str) -> Option<Span>| {
        let ranges: Result<Vec<Range>, _> = alternatives.iter().map(|text| Range::parse(text, read)).collect();
        ranges.map(|ranges| Test::Spans(ranges, read)).map_err(|what| wrong(tag, vr, what))
    };
    match vr {
        VR::UI => Ok(Test::Uids(alternatives.iter().cloned().collect())),
        VR::PN => Ok(Test::Names(alternatives.iter().map(|text| NameTest::of(text, fuzzy)).collect())),
        VR::DA => spans(times::date),
        VR::TM => spans(times::time),
        VR::DT => spans(times::date_time),
        VR::IS | VR::DS | VR::US | VR::SS | VR::UL | VR::SL | VR::UV | VR::SV | VR::FL | VR::FD => {
            let numbers: Option<Vec<f64>> = alternatives.iter().map(|text| text.parse().ok()).collect();
            numbers.map(Test::Numbers).ok_or_else(|| wrong(tag, vr, "it is not a number"))
        }
        VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN => Err(QueryError::NotSearchable { tag }),
        _ => Ok(Test::Texts(alternatives.iter().map(|text| TextTest::of(text)).collect())),
    }
}

/// Takes Study Date and Study Time out of the keys where both are given and they make one range.
fn combine(nodes: &mut [Node]) -> Option<Range> {
    let single = |tag: Tag| {
        let node = nodes.iter().find(|node| node.tag == tag)?;
        match &node.test {
            Test::Spans(ranges, _) if ranges.len() == 1 => ranges.first().copied(),
            _ => None,
        }
    };
    let (dates, times) = (single(tags::STUDY_DATE)?, single(tags::STUDY_TIME)?);
    for node in nodes.iter_mut().filter(|node| [tags::STUDY_DATE, tags::STUDY_TIME].contains(&node.tag)) {
        node.test = Test::Any;
    }
    Some(Range::combined(&dates, &times))
}

fn node_matches(node: &Node, elements: &[ElementText]) -> bool {
    if matches!(node.test, Test::Any) {
        return true;
    }
    elements.iter().any(|element| element_matches(node, &parse(element)))
}

fn element_matches(node: &Node, element: &Value) -> bool {
    let values = element.get("Value").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    match &node.test {
        Test::Any => true,
        Test::Items(below) => values.iter().any(|item| item_matches(below, item)),
        test => values.iter().any(|value| value_matches(test, value)),
    }
}

fn item_matches(below: &[Node], item: &Value) -> bool {
    below.iter().all(|node| {
        matches!(node.test, Test::Any)
            || item.get(tag_key(node.tag)).is_some_and(|element| element_matches(node, element))
    })
}

fn value_matches(test: &Test, value: &Value) -> bool {
    if let Test::Names(tests) = test {
        return tests.iter().any(|test| test.matches(value));
    }
    let text = match value {
        Value::String(text) => text.trim_matches([' ', '\0']).to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return false,
    };
    match test {
        Test::Texts(tests) => tests.iter().any(|test| test.matches(&text)),
        Test::Uids(uids) => uids.contains(&text),
        // The same decimal text gives the same number.
        Test::Numbers(numbers) => text.parse::<f64>().is_ok_and(|value| numbers.contains(&value)),
        Test::Spans(ranges, read) => read(&text).is_some_and(|span| ranges.iter().any(|range| range.holds(&span))),
        Test::Any | Test::Names(_) | Test::Items(_) => false,
    }
}

fn moment_matches(range: &Range, values: &dyn Values) -> bool {
    let spans = |tag: Tag, read: fn(&str) -> Option<Span>| -> Vec<Span> {
        let texts = values.distinct(tag);
        texts
            .iter()
            .filter_map(|text| crate::catalog::elements::first_text(text))
            .filter_map(|text| read(&text))
            .collect()
    };
    let times = spans(tags::STUDY_TIME, times::time);
    spans(tags::STUDY_DATE, times::date).iter().any(|date| {
        if times.is_empty() {
            return range.holds(&times::moment(date, None));
        }
        times.iter().any(|time| range.holds(&times::moment(date, Some(time))))
    })
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
