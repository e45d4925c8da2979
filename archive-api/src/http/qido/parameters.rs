//! The query string of a search (PS3.18 §8.3.4): keys, `includefield`, `fuzzymatching`, `limit`, `offset`.
//!
//! An attribute is named by keyword or by eight hexadecimal digits, one inside sequences by a path with dots. What is
//! not understood is refused with 400: an ignored key would widen the answer, and nobody would see that it did.
//! Values are patient data: no error shows one.

use archive_core::dicom::attributes::parse_tag_key;
use archive_core::phi::Phi;
use archive_core::query::{Include, MatchKey};
use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

use crate::http::problem::Problem;

/// Keys of one query, at most.
pub const KEYS_MAX: usize = 128;
/// Included attributes of one query, at most.
pub const INCLUDED_MAX: usize = 512;
/// Tags of one path, at most.
pub const PATH_TAGS_MAX: usize = 8;

/// What a query string says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parameters {
    /// What must match.
    pub keys: Vec<MatchKey>,
    /// What records should hold.
    pub include: Include,
    /// `fuzzymatching`.
    pub fuzzy: bool,
    /// `limit`.
    pub limit: Option<u64>,
    /// `offset`.
    pub offset: u64,
}

/// Reads a query string.
///
/// # Errors
/// 400 that names the parameter.
pub fn parse(query: &str) -> Result<Parameters, Problem> {
    let mut parameters = Parameters::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        match name.to_ascii_lowercase().as_str() {
            "limit" => parameters.limit = Some(number("limit", &value)?),
            "offset" => parameters.offset = number("offset", &value)?,
            "fuzzymatching" => parameters.fuzzy = boolean(&value)?,
            "includefield" => include(&mut parameters.include, &value)?,
            "accept" => {}
            _ => add_key(&mut parameters.keys, &name, value)?,
        }
    }
    Ok(parameters)
}

fn add_key(keys: &mut Vec<MatchKey>, name: &str, value: String) -> Result<(), Problem> {
    let Some(path) = attribute_path(name) else {
        return Err(Problem::bad_request(format!(
            "{} is not a parameter of a search, nor a DICOM attribute's keyword or tag",
            shown(name)
        )));
    };
    let is_uid = path.last().is_some_and(|&tag| is_uid(tag));
    // A list of UIDs comes with commas (PS3.18 §8.3.4.1); in DICOM the separator is the backslash.
    let value = if is_uid { value.replace(',', "\\") } else { value };
    if let Some(known) = keys.iter_mut().find(|key| key.path == path) {
        if !is_uid {
            return Err(Problem::bad_request(format!("{} is given twice", shown(name))));
        }
        known.value = Phi::new(format!("{}\\{value}", known.value.expose()));
        return Ok(());
    }
    if keys.len() == KEYS_MAX {
        return Err(Problem::bad_request(format!("more than {KEYS_MAX} attributes to match")));
    }
    keys.push(MatchKey { path, value: Phi::new(value) });
    Ok(())
}

fn include(include: &mut Include, value: &str) -> Result<(), Problem> {
    for name in value.split(',').filter(|name| !name.is_empty()) {
        if name.eq_ignore_ascii_case("all") {
            include.all = true;
            continue;
        }
        let path = attribute_path(name);
        let Some(&tag) = path.as_ref().and_then(|path| path.first()) else {
            return Err(Problem::bad_request(format!("includefield {} is not a DICOM attribute", shown(name))));
        };
        if include.tags.len() == INCLUDED_MAX {
            return Err(Problem::bad_request(format!("more than {INCLUDED_MAX} attributes to include")));
        }
        if !include.tags.contains(&tag) {
            include.tags.push(tag);
        }
    }
    Ok(())
}

/// `PatientName`, `00100010`, `RequestAttributesSequence.ScheduledProcedureStepID`.
pub fn attribute_path(name: &str) -> Option<Vec<Tag>> {
    let path: Vec<Tag> = name.split('.').take(PATH_TAGS_MAX + 1).map(attribute).collect::<Option<_>>()?;
    (path.len() <= PATH_TAGS_MAX).then_some(path)
}

fn attribute(name: &str) -> Option<Tag> {
    parse_tag_key(name).or_else(|| StandardDataDictionary.by_name(name).map(|entry| entry.tag()))
}

fn is_uid(tag: Tag) -> bool {
    StandardDataDictionary.by_tag(tag).is_some_and(|entry| entry.vr() == VirtualVr::Exact(VR::UI))
}

/// Percent and plus decoded, as HTML forms and every HTTP library encode a query. A plus sign itself is `%2B`.
fn decode(text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| Problem::bad_request("the query string is not UTF-8"))
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = digits.then(|| value.parse().ok()).flatten();
    parsed.ok_or_else(|| Problem::bad_request(format!("{name} must be a whole number from 0 on")))
}

fn boolean(value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        _ => Err(Problem::bad_request("fuzzymatching must be true or false")),
    }
}

/// The name of a parameter as an error may show it. A value may have slipped into the name's place, so only what could
/// be a keyword or a tag is shown.
fn shown(name: &str) -> &str {
    let word = name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    if word && !name.is_empty() { name } else { "a parameter" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(query: &str) -> Vec<(Vec<Tag>, String)> {
        let parsed = parse(query).unwrap();
        parsed.keys.into_iter().map(|key| (key.path, key.value.into_exposed())).collect()
    }

    fn refused(query: &str) -> String {
        let problem = parse(query).unwrap_err();
        assert_eq!(problem.status(), 400);
        problem.detail().to_owned()
    }

    #[test]
    fn attributes_go_by_keyword_by_tag_and_by_path() {
        let name = Tag(0x0010, 0x0010);
        assert_eq!(keys("PatientName=DOE*"), [(vec![name], "DOE*".into())]);
        assert_eq!(keys("00100010=D%C3%96E%5EJ+A"), [(vec![name], "DÖE^J A".into())]);
        let path = vec![Tag(0x0040, 0x0275), Tag(0x0040, 0x0009)];
        assert_eq!(keys("RequestAttributesSequence.ScheduledProcedureStepID=7"), [(path.clone(), "7".into())]);
        assert_eq!(keys("00400275.00400009=7"), [(path, "7".into())]);
    }

    #[test]
    fn a_list_of_uids_is_one_key() {
        let study = vec![Tag(0x0020, 0x000D)];
        assert_eq!(keys("StudyInstanceUID=1.2,1.3"), [(study.clone(), "1.2\\1.3".into())]);
        assert_eq!(keys("StudyInstanceUID=1.2&0020000D=1.3"), [(study, "1.2\\1.3".into())]);
        assert_eq!(keys("PatientName=DOE,J")[0].1, "DOE,J");
    }

    #[test]
    fn what_is_not_understood_is_refused_and_named() {
        assert!(refused("PatientNam=x").contains("PatientNam "));
        refused("limit=-1");
        refused("limit=");
        refused("limit=99999999999999999999");
        refused("offset=x");
        refused("fuzzymatching=maybe");
        refused("includefield=Nonsense");
        refused("PatientID=%FF");
        refused("PatientID=1&00100020=2");
        refused(&["00100010"; 9].join("."));
    }

    #[test]
    fn no_value_reaches_an_error() {
        for query in
            ["PatientNam=SECRET", "PatientID=SECRET&PatientID=SECRET", "limit=SECRET", "SECRET^NAME", "=SECRET"]
        {
            assert!(!refused(query).contains("SECRET"), "{query}");
        }
    }

    #[test]
    fn included_fields_add_up() {
        let parsed = parse(
            "includefield=PatientName,00081030&includefield=00081030&includefield=all&fuzzymatching=true&limit=5&offset=2",
        );
        let parsed = parsed.unwrap();
        assert_eq!(parsed.include.tags, [Tag(0x0010, 0x0010), Tag(0x0008, 0x1030)]);
        assert!(parsed.include.all && parsed.fuzzy);
        assert_eq!((parsed.limit, parsed.offset), (Some(5), 2));
    }

    #[test]
    fn endless_lists_are_refused() {
        let many: Vec<String> = (0..=KEYS_MAX).map(|n| format!("{n:08X}=1")).collect();
        refused(&many.join("&"));
        let many: Vec<String> = (0..=INCLUDED_MAX).map(|n| format!("{n:08X}")).collect();
        refused(&format!("includefield={}", many.join(",")));
    }

    proptest! {
        #[test]
        fn no_query_string_makes_the_parser_panic(query in "\\PC{0,120}") {
            let _ = parse(&query);
        }

        #[test]
        fn no_near_miss_makes_the_parser_panic(query in "(limit|offset|includefield|PatientName|0020000D|\\.|%|=|&|,|\\+|[0-9A-F]{1,9}){0,20}") {
            let _ = parse(&query);
        }
    }
}
