//! Indexed attributes in the form that catalog and overlay hold: each element as one shared piece of DICOM JSON.
//!
//! Most instances of a series say the same thing; holding each distinct element once and comparing text instead of
//! trees keeps rows small and folds cheap. The text is made by one serializer, so that equal elements are equal text.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use dicom_core::Tag;
use serde_json::Value;

use crate::dicom::attributes::Attributes;

/// One element as DICOM JSON text (`{"vr":…,"Value":…}`).
pub type ElementText = Arc<str>;

/// Elements by ascending tag. Patient data: `Debug` prints the count only.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Elements {
    items: Vec<(Tag, ElementText)>,
}

impl Elements {
    /// The elements of a set of attributes; equal text is shared through `interner`.
    #[must_use]
    pub fn of(attributes: &Attributes, interner: &mut Interner) -> Self {
        Self { items: attributes.iter().map(|(tag, text)| (tag, interner.intern(text))).collect() }
    }

    /// Elements in any order of tags; of two with one tag the last counts.
    #[must_use]
    pub fn from_items(mut items: Vec<(Tag, ElementText)>) -> Self {
        items.reverse();
        items.sort_by_key(|(tag, _)| *tag);
        items.dedup_by_key(|(tag, _)| *tag);
        Self { items }
    }

    /// The text of an element.
    #[must_use]
    pub fn get(&self, tag: Tag) -> Option<&ElementText> {
        let at = self.items.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.items.get(at).map(|(_, text)| text)
    }

    /// All elements by ascending tag.
    pub fn iter(&self) -> impl Iterator<Item = (Tag, &ElementText)> {
        self.items.iter().map(|(tag, text)| (*tag, text))
    }

    /// The first value of an element as text, trimmed; `None` where there is none.
    #[must_use]
    pub fn text(&self, tag: Tag) -> Option<String> {
        first_text(self.get(tag)?)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes that the texts take, shared or not.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items.iter().map(|(_, text)| text.len() + 24).sum()
    }
}

impl fmt::Debug for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Elements({})", self.items.len())
    }
}

/// Shares equal texts.
#[derive(Clone, Default)]
pub struct Interner {
    known: HashSet<ElementText>,
}

impl Interner {
    /// The one copy of this text.
    pub fn intern(&mut self, text: &str) -> ElementText {
        if let Some(known) = self.known.get(text) {
            return Arc::clone(known);
        }
        let shared: ElementText = Arc::from(text);
        self.known.insert(Arc::clone(&shared));
        shared
    }
}

impl fmt::Debug for Interner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interner({} texts)", self.known.len())
    }
}

/// An element's text as a tree; `Null` if it is not JSON, which only damage makes it.
#[must_use]
pub fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// Whether an element has a value that is not empty.
#[must_use]
pub fn has_value(text: &str) -> bool {
    let element = parse(text);
    element.get("Value").and_then(Value::as_array).is_some_and(|values| values.iter().any(is_filled))
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// The first value of an element as trimmed text; names give their alphabetic group.
#[must_use]
pub fn first_text(text: &str) -> Option<String> {
    let element = parse(text);
    let value = element.get("Value")?.as_array()?.first()?;
    let found = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Object(groups) => groups.get("Alphabetic")?.as_str()?.to_owned(),
        _ => return None,
    };
    let trimmed = found.trim_matches([' ', '\0']);
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// The text of an element with these text values.
#[must_use]
pub fn of_texts(vr: &str, values: &[String]) -> ElementText {
    let element = if values.is_empty() {
        serde_json::json!({ "vr": vr })
    } else {
        serde_json::json!({ "vr": vr, "Value": values })
    };
    Arc::from(element.to_string())
}

/// The text of an IS element with one number.
#[must_use]
pub fn of_count(value: u64) -> ElementText {
    Arc::from(serde_json::json!({ "vr": "IS", "Value": [value] }).to_string())
}
