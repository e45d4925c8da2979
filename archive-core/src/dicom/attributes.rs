//! The attributes that queries need, as elements of the DICOM JSON model (PS3.18 Annex F).
//!
//! One form everywhere: the scanner makes it, the journal's record and a pack's index keep it, the catalog holds it, QIDO-RS
//! answers with it. Each element stays the text that it was written as: most hands only pass it on, and text is
//! compared, copied and written without being taken apart.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use dicom_core::Tag;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Attributes of one instance, of a series, of a study or of a patient: tag to DICOM JSON element
/// (`{"vr": …, "Value": […]}`), by ascending tag. It is patient data: `Debug` prints the count only.
#[derive(Clone, Default)]
pub struct Attributes {
    /// Shared: what is known of an instance goes through many hands, and few of them change it.
    texts: Arc<Texts>,
}

#[derive(Clone, Default)]
struct Texts {
    /// The elements' texts, in the order in which they were set.
    text: String,
    /// Where each lies, by ascending tag.
    places: Vec<(Tag, Range<usize>)>,
}

impl Texts {
    fn set(&mut self, tag: Tag, element: &str) {
        let start = self.text.len();
        self.text.push_str(element);
        let place = start..self.text.len();
        match self.places.last() {
            Some((last, _)) if *last >= tag => match self.places.binary_search_by_key(&tag, |(tag, _)| *tag) {
                Ok(at) => drop(self.places.get_mut(at).map(|(_, known)| std::mem::replace(known, place))),
                Err(at) => self.places.insert(at, (tag, place)),
            },
            _ => self.places.push((tag, place)),
        }
    }
}

impl Attributes {
    /// Sets an element.
    pub fn insert(&mut self, tag: Tag, element: &Value) {
        self.insert_text(tag, &element.to_string());
    }

    /// Sets an element that is DICOM JSON text already.
    pub fn insert_text(&mut self, tag: Tag, element: &str) {
        Arc::make_mut(&mut self.texts).set(tag, element);
    }

    /// The element as DICOM JSON text.
    #[must_use]
    pub fn element_text(&self, tag: Tag) -> Option<&str> {
        let at = self.texts.places.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        self.texts.places.get(at).and_then(|(_, place)| self.texts.text.get(place.clone()))
    }

    /// The element as a tree.
    #[must_use]
    pub fn element(&self, tag: Tag) -> Option<Value> {
        serde_json::from_str(self.element_text(tag)?).ok()
    }

    /// The values of an element; empty where it is absent or has none.
    #[must_use]
    pub fn values(&self, tag: Tag) -> Vec<Value> {
        match self.element(tag).as_mut().and_then(|element| element.get_mut("Value")).map(Value::take) {
            Some(Value::Array(values)) => values,
            _ => Vec::new(),
        }
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

    /// All elements as DICOM JSON text, in the order of their tags.
    pub fn iter(&self) -> impl Iterator<Item = (Tag, &str)> {
        let texts = &self.texts;
        texts.places.iter().map(|(tag, place)| (*tag, texts.text.get(place.clone()).unwrap_or_default()))
    }

    /// The DICOM JSON object, keys in the order of their tags.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let tree = |text| serde_json::from_str(text).unwrap_or_default();
        Value::Object(self.iter().map(|(tag, text)| (tag_key(tag), tree(text))).collect())
    }

    /// Reads a DICOM JSON object; keys that are no tags are left out.
    #[must_use]
    pub fn from_json(json: &Value) -> Self {
        let mut attributes = Self::default();
        for (key, element) in json.as_object().into_iter().flatten() {
            if let Some(tag) = parse_tag_key(key) {
                attributes.insert(tag, element);
            }
        }
        attributes
    }
}

/// The same elements, in whatever order they were set.
impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = |text| serde_json::from_str::<&RawValue>(text).map_err(serde::ser::Error::custom);
        let elements: Result<Vec<_>, S::Error> =
            self.iter().map(|(tag, text)| Ok((TagKey::of(tag), raw(text)?))).collect();
        serializer.collect_map(elements?.iter().map(|(key, element)| (key.as_str(), element)))
    }
}

/// From text in memory only; keys that are no tags are left out.
impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = Attributes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of DICOM JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
                let mut texts = Texts::default();
                while let Some((key, element)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let key: &str = key.get();
                    if let Some(tag) = key.strip_prefix('"').and_then(|key| parse_tag_key(key.strip_suffix('"')?)) {
                        texts.set(tag, element.get());
                    }
                }
                Ok(Attributes { texts: Arc::new(texts) })
            }
        }
        deserializer.deserialize_map(Elements)
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
        write!(f, "Attributes({} elements)", self.texts.places.len())
    }
}

/// The key of a tag in DICOM JSON: eight hexadecimal digits, upper case.
#[must_use]
pub fn tag_key(tag: Tag) -> String {
    TagKey::of(tag).as_str().to_owned()
}

/// The key of a tag, made without memory of its own.
#[derive(Clone, Copy)]
pub(crate) struct TagKey([u8; 8]);

impl TagKey {
    /// The key of a tag.
    pub(crate) fn of(tag: Tag) -> Self {
        let ([a, b], [c, d]) = (tag.group().to_be_bytes(), tag.element().to_be_bytes());
        let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
        let [e, f, g, h] = [a, b, c, d].map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        Self([e[0], e[1], f[0], f[1], g[0], g[1], h[0], h[1]])
    }

    /// As text.
    pub(crate) const fn as_str(&self) -> &str {
        // Hexadecimal digits are ASCII.
        match std::str::from_utf8(&self.0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
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
