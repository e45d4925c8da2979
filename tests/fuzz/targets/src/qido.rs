//! The query string of a search: bounded, no value in an error, and whatever is understood can be matched without end.

use std::sync::Arc;

use archive_api::http::qido::parameters::{INCLUDED_MAX, KEYS_MAX, PATH_TAGS_MAX, parse};
use archive_core::catalog::elements::ElementText;
use archive_core::query::matching::{Matching, Values};
use archive_core::query::wildcard::Wildcard;
use archive_core::query::{Query, QueryLevel};
use dicom_core::Tag;

use crate::pieces::steer;

const LEVELS: [QueryLevel; 4] = [QueryLevel::Patient, QueryLevel::Study, QueryLevel::Series, QueryLevel::Instance];
/// No keyword and no tag; a value that an error must not show.
const SECRET: &str = "Zq7wSecretx^Jane";

/// One byte steers: the level, and whether a value is put at the end that must not come out.
pub fn run(data: &[u8]) {
    let Some(([form], rest)) = steer(data) else { return };
    let level = LEVELS[usize::from(form % 4)];
    let text = String::from_utf8_lossy(rest);
    let text = if form & 4 == 0 { text.into_owned() } else { format!("{text}={SECRET}") };
    let parameters = match parse(&text) {
        Ok(parameters) => parameters,
        Err(problem) => {
            assert_eq!(problem.status(), 400);
            assert!(!problem.detail().contains(SECRET), "a value is shown: {}", problem.detail());
            assert!(problem.detail().len() < 200 && problem.detail().chars().all(|c| !c.is_control()));
            return;
        }
    };
    assert!(parameters.keys.len() <= KEYS_MAX && parameters.include.tags.len() <= INCLUDED_MAX);
    for key in &parameters.keys {
        assert!(!key.path.is_empty() && key.path.len() <= PATH_TAGS_MAX);
        let value = key.value.expose();
        check_wildcard(value);
    }
    let printed = format!("{parameters:?}");
    assert!(!printed.contains(SECRET), "a value is printed");
    let query =
        Query { keys: parameters.keys, fuzzy: parameters.fuzzy, include: parameters.include, ..Query::all(level) };
    match Matching::compile(&query) {
        Ok(matching) => {
            let matched = matching.matches(level, &Record);
            assert!(matched || matching.restricts(level), "what does not match must restrict");
            for tag in matching.tags() {
                let _ = (matching.exact(tag), matching.prefixes(tag), matching.literals(tag));
            }
            let (first, last) = matching.study_days();
            assert!(first.zip(last).is_none_or(|(first, last)| first <= last || !matched));
            let nothing = matching.matches(level, &Nothing);
            assert!(nothing || matching.restricts(level));
        }
        Err(error) => assert!(!error.to_string().contains(SECRET), "a value is shown: {error}"),
    }
}

/// A pattern matches itself with its wildcards taken out or put in, and ends soon on what it almost matches.
fn check_wildcard(pattern: &str) {
    let compiled = Wildcard::parse(pattern);
    let plain: String = pattern.chars().filter(|&c| c != '*').map(|c| if c == '?' { 'q' } else { c }).collect();
    assert!(compiled.matches(&plain));
    assert!(pattern.starts_with(&compiled.literal_prefix()));
    assert!(compiled.longest_literal().is_empty() || plain.contains(&compiled.longest_literal()));
    let _ = compiled.matches(&"ab".repeat(64));
}

/// A study of which something is known of every kind.
struct Record;

impl Values for Record {
    fn distinct(&self, tag: Tag) -> Vec<ElementText> {
        let text = match (tag.group(), tag.element()) {
            (0x0008, 0x0020) => r#"{"vr":"DA","Value":["20240229"]}"#,
            (0x0008, 0x0030) => r#"{"vr":"TM","Value":["235959.5"]}"#,
            (0x0008, 0x0050) => r#"{"vr":"SH","Value":["A-1",null,""]}"#,
            (0x0010, 0x0010) => r#"{"vr":"PN","Value":[{"Alphabetic":"Doe^Jane","Ideographic":"山田"}]}"#,
            (0x0010, 0x0020) => r#"{"vr":"LO","Value":["4711"]}"#,
            (0x0020, 0x000D) => r#"{"vr":"UI","Value":["1.2.3"]}"#,
            (0x0020, 0x0011 | 0x0013) => r#"{"vr":"IS","Value":[7]}"#,
            (0x0040, 0x0275) => r#"{"vr":"SQ","Value":[{"00400009":{"vr":"SH","Value":["7"]}},{}]}"#,
            (_, 0x0061) => r#"{"vr":"CS"}"#,
            _ => return Vec::new(),
        };
        vec![Arc::from(text)]
    }
}

/// A study of which nothing is known.
struct Nothing;

impl Values for Nothing {
    fn distinct(&self, _tag: Tag) -> Vec<ElementText> {
        Vec::new()
    }
}
