use proptest::prelude::*;

use super::*;
use crate::http::media::{DICOM, DICOM_JSON, OCTET_STREAM};

fn accept(text: &str) -> Accept {
    Accept::parse([text].into_iter())
}

fn file_offers() -> Vec<Offer> {
    vec![
        Offer::in_syntax(Packing::Multipart, DICOM, "1.2.840.10008.1.2.4.80"),
        Offer::in_syntax(Packing::Single, DICOM, "1.2.840.10008.1.2.4.80"),
    ]
}

fn packing(text: &str) -> Option<Packing> {
    accept(text).choose(&file_offers()).ok().map(|offer| offer.packing)
}

#[test]
fn as_stored_is_given_without_a_syntax_with_a_star_and_by_its_name() {
    for syntax in ["", "; transfer-syntax=*", "; transfer-syntax=1.2.840.10008.1.2.4.80"] {
        let text = format!("multipart/related; type=\"application/dicom\"{syntax}");
        assert_eq!(packing(&text), Some(Packing::Multipart), "{text}");
        assert_eq!(packing(&format!("application/dicom{syntax}")), Some(Packing::Single));
    }
}

#[test]
fn another_syntax_is_not_acceptable_and_the_answer_says_what_there_is() {
    let problem = accept("application/dicom; transfer-syntax=1.2.840.10008.1.2.1").choose(&file_offers()).unwrap_err();
    assert_eq!(problem.status(), 406);
    assert!(format!("{problem:?}").contains("1.2.840.10008.1.2.4.80"));
}

#[test]
fn quality_decides_then_the_order_in_which_they_were_named() {
    assert_eq!(
        packing("application/dicom;q=0.5, multipart/related;type=application/dicom;q=0.9"),
        Some(Packing::Multipart)
    );
    assert_eq!(packing("application/dicom, multipart/related;type=application/dicom"), Some(Packing::Single));
    assert_eq!(packing("*/*"), Some(Packing::Multipart));
    assert_eq!(packing("application/*"), Some(Packing::Single));
    assert_eq!(packing("*/*, application/dicom;q=0"), Some(Packing::Multipart));
    assert_eq!(packing("application/dicom;q=0"), None);
}

#[test]
fn nothing_said_means_anything() {
    assert_eq!(packing(""), Some(Packing::Multipart));
}

#[test]
fn json_is_dicom_json_and_xml_is_not() {
    let offers = [Offer::plain(Packing::Single, DICOM_JSON)];
    assert!(accept("application/json").choose(&offers).is_ok());
    assert!(accept("application/dicom+json, application/json").choose(&offers).is_ok());
    assert_eq!(accept("multipart/related; type=\"application/dicom+xml\"").choose(&offers).unwrap_err().status(), 406);
}

#[test]
fn compressed_pixels_never_pass_for_plain_ones() {
    let offers = [Offer::in_syntax(Packing::Multipart, OCTET_STREAM, "1.2.840.10008.1.2.4.80").said_explicitly()];
    assert!(accept("multipart/related; type=\"application/octet-stream\"").choose(&offers).is_err());
    assert!(accept("multipart/related; type=\"application/octet-stream\"; transfer-syntax=*").choose(&offers).is_ok());
}

#[test]
fn the_query_parameter_goes_before_the_header() {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, "application/dicom".parse().unwrap());
    let accept = Accept::of(&headers, Some("x=1&accept=multipart%2Frelated%3B%20type%3Dapplication%2Fdicom"));
    assert_eq!(accept.choose(&file_offers()).unwrap().packing, Packing::Multipart);
}

#[test]
fn named_syntaxes_are_those_of_data_sets_in_parts() {
    let files = "multipart/related; type=application/dicom";
    assert!(accept("*/*").named_syntaxes().is_empty());
    assert!(accept(&format!("{files}; transfer-syntax=1.2, {files}")).named_syntaxes().is_empty());
    let mixed = format!("application/dicom, {files}; transfer-syntax=1.2, image/jpeg; transfer-syntax=3");
    assert_eq!(accept(&mixed).named_syntaxes(), ["1.2"]);
}

#[test]
fn a_quality_is_read_to_the_thousandth() {
    for (text, quality) in [
        ("1", Some(1000)),
        ("0.5", Some(500)),
        ("0.123", Some(123)),
        ("1.000", Some(1000)),
        ("0", Some(0)),
        ("1.1", None),
        ("2", None),
        ("0.1234", None),
        ("-1", None),
        ("", None),
    ] {
        assert_eq!(parse_quality(text), quality, "{text}");
    }
}

proptest! {
    #[test]
    fn no_accept_header_makes_the_choice_panic(text in "[ -~]{0,200}") {
        let _ = accept(&text).choose(&file_offers());
    }
}
