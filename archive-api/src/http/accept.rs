//! What a client accepts, against what can be given (RFC 9110 §12.5.1, PS3.18 §8.7.5).
//!
//! Vellum gives pixels and data sets as they are stored: no `transfer-syntax`, or `*`, means "as stored"; another one
//! than the stored is not acceptable, and the answer says what there is. (PS3.18 §8.7.3.2 would have Explicit VR Little
//! Endian as default; an archive that transcodes by default would hand out other bytes than it was given.)

use http::HeaderMap;
use http::header::ACCEPT;

use super::media::{MediaType, split_outside_quotes};
use super::problem::Problem;

/// Ranges that are looked at; what comes after is ignored.
const RANGES_MAX: usize = 64;

/// How a body is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// One body.
    Single,
    /// multipart/related, one part a thing.
    Multipart,
}

/// Whether bytes may be asked for without naming the syntax that they are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyntaxNeed {
    /// No `transfer-syntax`, `*`, or this one.
    Optional,
    /// `*` or this one must be said: `application/octet-stream` alone means plain pixels, and these are not.
    Explicit,
}

/// Something that can be given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// How it is packed.
    pub packing: Packing,
    /// Its media type, or that of its parts.
    pub essence: &'static str,
    /// The syntax it is in.
    pub transfer_syntax: Option<String>,
    /// Whether that has to be named.
    pub need: SyntaxNeed,
}

impl Offer {
    /// An offer that is the same in every transfer syntax.
    #[must_use]
    pub const fn plain(packing: Packing, essence: &'static str) -> Self {
        Self { packing, essence, transfer_syntax: None, need: SyntaxNeed::Optional }
    }

    /// An offer in this transfer syntax.
    #[must_use]
    pub fn in_syntax(packing: Packing, essence: &'static str, transfer_syntax: &str) -> Self {
        Self { transfer_syntax: Some(transfer_syntax.to_owned()), ..Self::plain(packing, essence) }
    }

    /// The same, where the syntax must be named.
    #[must_use]
    pub fn said_explicitly(mut self) -> Self {
        self.need = SyntaxNeed::Explicit;
        self
    }

    fn describe(&self) -> String {
        let inner = match self.packing {
            Packing::Single => self.essence.to_owned(),
            Packing::Multipart => format!("multipart/related; type=\"{}\"", self.essence),
        };
        match &self.transfer_syntax {
            Some(uid) => super::media::with_transfer_syntax(&inner, uid),
            None => inner,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Range {
    media: MediaType,
    /// Thousandths.
    quality: u16,
}

/// The acceptable media types of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accept {
    ranges: Vec<Range>,
}

impl Accept {
    /// Of the `accept` query parameters if there are any (PS3.18 §8.3.3.1), else of the header; neither: anything.
    #[must_use]
    pub fn of(headers: &HeaderMap, query: Option<&str>) -> Self {
        let from_query = query.map(query_values).unwrap_or_default();
        let from_header = || headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok().map(str::to_owned));
        let texts: Vec<String> = if from_query.is_empty() { from_header().collect() } else { from_query };
        Self::parse(texts.iter().map(String::as_str))
    }

    fn parse<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let pieces = texts.flat_map(|text| split_outside_quotes(text, ','));
        let ranges: Vec<Range> = pieces.filter_map(parse_range).take(RANGES_MAX).collect();
        if ranges.is_empty() {
            return Self { ranges: parse_range("*/*").into_iter().collect() };
        }
        Self { ranges }
    }

    /// The offer that the client likes best; where it likes several the same, the one it named first; where a range
    /// covers several, the first offered.
    ///
    /// # Errors
    /// 406 with what can be given.
    pub fn choose<'a>(&self, offers: &'a [Offer]) -> Result<&'a Offer, Problem> {
        let mut best: Option<(u16, usize, &Offer)> = None;
        for offer in offers {
            let Some((quality, position)) = self.rate(offer) else { continue };
            let better = best.is_none_or(|(q, p, _)| quality > q || (quality == q && position < p));
            if better {
                best = Some((quality, position, offer));
            }
        }
        best.map(|(_, _, offer)| offer)
            .ok_or_else(|| Problem::not_acceptable(offers.iter().map(Offer::describe).collect()))
    }

    /// Quality and position of the most specific range that covers the offer; `None` when none does or it is refused.
    fn rate(&self, offer: &Offer) -> Option<(u16, usize)> {
        let covering =
            self.ranges.iter().enumerate().filter_map(|(at, range)| Some((covers(&range.media, offer)?, at, range)));
        let (_, position, range) =
            covering.min_by_key(|(specificity, at, _)| (std::cmp::Reverse(*specificity), *at))?;
        (range.quality > 0).then_some((range.quality, position))
    }

    /// The transfer syntaxes that are named for several data sets in one response; empty when any will do.
    #[must_use]
    pub fn named_syntaxes(&self) -> Vec<&str> {
        let mut named = Vec::new();
        for range in self.ranges.iter().filter(|range| range.quality > 0) {
            if covers_form(&range.media, &Offer::plain(Packing::Multipart, super::media::DICOM)).is_none() {
                continue;
            }
            match range.media.parameter("transfer-syntax") {
                None | Some("*") => return Vec::new(),
                Some(uid) => named.push(uid),
            }
        }
        named
    }
}

/// How specifically a range covers an offer, form and syntax.
fn covers(range: &MediaType, offer: &Offer) -> Option<u8> {
    let form = covers_form(range, offer)?;
    let named = range.parameter("transfer-syntax");
    let syntax = match (named, &offer.transfer_syntax) {
        (None, _) if offer.need == SyntaxNeed::Explicit => return None,
        (None, _) => 0,
        (Some("*"), _) => 1,
        (Some(uid), Some(stored)) if uid == stored => 2,
        (Some(_), None) => 0,
        (Some(_), Some(_)) => return None,
    };
    Some(form * 3 + syntax)
}

fn covers_form(range: &MediaType, offer: &Offer) -> Option<u8> {
    match offer.packing {
        Packing::Single => covers_essence(&range.essence, offer.essence),
        Packing::Multipart => match range.essence.as_str() {
            "*/*" => Some(0),
            "multipart/*" => Some(1),
            "multipart/related" => match range.parameter("type") {
                None => Some(1),
                Some(inner) => covers_essence(&inner.to_ascii_lowercase(), offer.essence).map(|rank| rank + 1),
            },
            _ => None,
        },
    }
}

fn covers_essence(range: &str, essence: &str) -> Option<u8> {
    if range == "*/*" {
        return Some(0);
    }
    if range.eq_ignore_ascii_case(essence) || (range == "application/json" && essence == super::media::DICOM_JSON) {
        return Some(2);
    }
    let (kind, _) = essence.split_once('/')?;
    (range.strip_suffix("/*") == Some(kind)).then_some(1)
}

fn parse_range(text: &str) -> Option<Range> {
    let media = MediaType::parse(text)?;
    let quality = media.parameter("q").map_or(Some(1000), parse_quality)?;
    Some(Range { media, quality })
}

/// `0.5` as 500 (RFC 9110 §12.4.2).
fn parse_quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{fraction:0<3}").parse::<u16>().ok()?;
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

fn query_values(query: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let values = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    values.map(|(_, value)| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()).collect()
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
