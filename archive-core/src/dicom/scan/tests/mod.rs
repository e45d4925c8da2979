//! Tests of the scanner: small data sets made on the spot, and the corpus.

mod builder;
mod corpus;
mod deflated;
mod frames;
mod header_json;
mod index;
mod keys;
mod prefixes;
mod splits;
mod structure;
mod threats;
mod units;

use std::path::Path;

use super::{Input, Scan, ScanError, ScanLimits, ScanOptions, Scanner};
use crate::dicom::transfer_syntaxes::Encoding;
use crate::identifiers::TransferSyntaxUid;

/// Options for a file, with the header.
fn file_options(scratch: &Path) -> ScanOptions {
    ScanOptions {
        input: Input::File,
        scratch: scratch.to_owned(),
        limits: ScanLimits::default(),
        assumed_charset: None,
        header_json: true,
    }
}

/// Options for a bare data set, with the header.
fn data_set_options(scratch: &Path, syntax: &str) -> ScanOptions {
    let input = Input::DataSet(TransferSyntaxUid::parse(syntax).expect("a UID"));
    ScanOptions { input, ..file_options(scratch) }
}

fn uid_of(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::ImplicitLittle => "1.2.840.10008.1.2",
        Encoding::ExplicitLittle => "1.2.840.10008.1.2.1",
        Encoding::ExplicitBig => "1.2.840.10008.1.2.2",
    }
}

/// Scans bytes that come in pieces of this size.
fn scan_in_pieces(bytes: &[u8], piece: usize, options: ScanOptions) -> Result<Scan, ScanError> {
    let mut scanner = Scanner::new(options)?;
    for piece in bytes.chunks(piece) {
        scanner.push(piece)?;
    }
    scanner.finish()
}

/// Scans a bare data set.
fn scan_data_set(bytes: &[u8], encoding: Encoding) -> Result<Scan, ScanError> {
    scan_as(bytes, uid_of(encoding))
}

/// Scans a bare data set in a transfer syntax.
fn scan_as(bytes: &[u8], syntax: &str) -> Result<Scan, ScanError> {
    let scratch = std::env::temp_dir();
    scan_in_pieces(bytes, usize::MAX, data_set_options(&scratch, syntax))
}

/// The codes of all warnings.
fn codes(scan: &Scan) -> Vec<&str> {
    scan.warnings.iter().map(|warning| &*warning.code).collect()
}

/// The header as a value.
fn header_of(scan: &Scan) -> serde_json::Value {
    serde_json::from_slice(scan.header_json.as_deref().expect("asked for")).expect("JSON")
}
