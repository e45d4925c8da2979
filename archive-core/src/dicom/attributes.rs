//! The attributes that queries need, as values of the DICOM JSON model (PS3.18 Annex F).
//!
//! One form everywhere: the scanner makes it, a pack's index keeps it, the catalog holds it, QIDO-RS answers with it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dicom_core::Tag;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Attributes of one instance, of a series, of a study or of a patient: tag to DICOM JSON element
/// (`{"vr": …, "Value": […]}`). It is patient data: `Debug` prints the count only.
#[derive(Clone, PartialEq, Default)]
pub struct Attributes {
    /// Shared: what is known of an instance goes through many hands, and few of them change it.
    elements: Arc<BTreeMap<Tag, Value>>,
}

impl Attributes {
    /// Sets an element.
    pub fn insert(&mut self, tag: Tag, element: Value) {
        Arc::make_mut(&mut self.elements).insert(tag, element);
    }

    /// The element as DICOM JSON.
    #[must_use]
    pub fn element(&self, tag: Tag) -> Option<&Value> {
        self.elements.get(&tag)
    }

    /// The values of an element; empty where it is absent or has none.
    #[must_use]
    pub fn values(&self, tag: Tag) -> &[Value] {
        self.element(tag).and_then(|element| element.get("Value")).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The first value as text. Person names give their alphabetic group; numbers their decimal form.
    #[must_use]
    pub fn text(&self, tag: Tag) -> Option<String> {
        self.texts(tag).into_iter().next()
    }

    /// All values as text, as [`Attributes::text`]; values that are null or sequences are left out.
    #[must_use]
    pub fn texts(&self, tag: Tag) -> Vec<String> {
        self.values(tag).iter().filter_map(value_text).collect()
    }

    /// All elements in the order of their tags.
    pub fn iter(&self) -> impl Iterator<Item = (Tag, &Value)> {
        self.elements.iter().map(|(&tag, element)| (tag, element))
    }

    /// The DICOM JSON object, keys in the order of their tags.
    #[must_use]
    pub fn to_json(&self) -> Value {
        Value::Object(self.elements.iter().map(|(tag, element)| (tag_key(*tag), element.clone())).collect())
    }

    /// Reads a DICOM JSON object; keys that are no tags are left out.
    #[must_use]
    pub fn from_json(json: Value) -> Self {
        let Value::Object(object) = json else { return Self::default() };
        let elements = object.into_iter().filter_map(|(key, element)| Some((parse_tag_key(&key)?, element))).collect();
        Self { elements: Arc::new(elements) }
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.elements.iter().map(|(tag, element)| (tag_key(*tag), element)))
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_json(Value::deserialize(deserializer)?))
    }
}

/// A tag that may be absent, in its DICOM JSON form.
pub(crate) mod optional_tag {
    use super::{Deserialize, Deserializer, Serializer, Tag, parse_tag_key, tag_key};

    pub(crate) fn serialize<S: Serializer>(tag: &Option<Tag>, serializer: S) -> Result<S::Ok, S::Error> {
        match tag {
            Some(tag) => serializer.serialize_some(&tag_key(*tag)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tag>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.and_then(|key| parse_tag_key(&key)))
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attributes({} elements)", self.elements.len())
    }
}

/// The key of a tag in DICOM JSON: eight hexadecimal digits, upper case.
#[must_use]
pub fn tag_key(tag: Tag) -> String {
    format!("{:04X}{:04X}", tag.group(), tag.element())
}

/// Reads a key of DICOM JSON: exactly eight hexadecimal digits.
#[must_use]
pub fn parse_tag_key(key: &str) -> Option<Tag> {
    if key.len() != 8 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let group = u16::from_str_radix(key.get(..4)?, 16).ok()?;
    let element = u16::from_str_radix(key.get(4..)?, 16).ok()?;
    Some(Tag(group, element))
}

fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(groups) => groups.get("Alphabetic").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    }
}
