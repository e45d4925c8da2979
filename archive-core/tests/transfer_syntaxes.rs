//! Our table of transfer syntaxes against another implementation's: where both know a syntax, they agree on how its
//! data sets are encoded and where its pixels are.

use archive_core::dicom::transfer_syntaxes::{Encoding, PixelForm, find};
use archive_core::identifiers::TransferSyntaxUid;
use dicom_encoding::transfer_syntax::Endianness;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

/// Syntaxes that the other side takes for encapsulated, for it has no word for pixels that lie elsewhere.
fn is_elsewhere(form: PixelForm) -> bool {
    form == PixelForm::Referenced
}

#[test]
fn another_implementation_agrees_on_every_syntax_that_both_know() {
    let mut compared = 0;
    for theirs in TransferSyntaxRegistry.iter() {
        let uid = TransferSyntaxUid::parse(theirs.uid()).expect("a UID");
        let Some(ours) = find(&uid) else { panic!("{} ({}) is not in our table", theirs.uid(), theirs.name()) };
        let big = theirs.endianness() == Endianness::Big;
        assert_eq!(big, ours.encoding() == Encoding::ExplicitBig, "{}", theirs.uid());
        if !is_elsewhere(ours.pixels()) {
            let encapsulated = ours.pixels() == PixelForm::Encapsulated;
            assert_eq!(theirs.is_encapsulated_pixel_data(), encapsulated, "{}", theirs.uid());
        }
        compared += 1;
    }
    assert!(compared > 30, "only {compared} were compared");
}
