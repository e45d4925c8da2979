//! Transfer syntaxes: how the bytes of a data set are to be read (PS3.5 Annex A, PS3.6 Table A-1).
//!
//! All of the standard are here, retired ones included, for archives hold them. What the scanner needs of one is how
//! elements are encoded; whether Pixel Data is really encapsulated is seen from its length, never taken from the
//! name. UIDs are compared exactly.

mod table;

use crate::identifiers::TransferSyntaxUid;

/// How the elements of a data set are encoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Encoding {
    /// Implicit VR Little Endian (PS3.5 §A.1).
    ImplicitLittle,
    /// Explicit VR Little Endian (PS3.5 §A.2, and all of §A.4).
    ExplicitLittle,
    /// Explicit VR Big Endian (PS3.5 2016b §A.3, retired).
    ExplicitBig,
}

/// In which form Pixel Data is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PixelForm {
    /// Samples as they are.
    Native,
    /// Items of a compressed bit stream (PS3.5 §A.4).
    Encapsulated,
    /// Elsewhere, behind a URL in the data set (JPIP, PS3.5 §A.6).
    Referenced,
}

/// Which fragments make a frame, as far as the syntax says so.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FragmentRule {
    /// There are no fragments.
    NoFragments,
    /// Each frame is one fragment (RLE, PS3.5 §A.4.2; encapsulated uncompressed, §A.4.11; deflated frames, §A.4.13).
    OneEach,
    /// A frame is one fragment or more.
    OneOrMore,
    /// All fragments are one stream of video or audio; frames begin nowhere in particular (PS3.5 §A.4.5 to §A.4.9).
    OneStream,
}

/// A transfer syntax of the standard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferSyntax {
    uid: &'static str,
    name: &'static str,
    encoding: Encoding,
    deflated: bool,
    pixels: PixelForm,
    fragments: FragmentRule,
    retired: bool,
}

impl TransferSyntax {
    /// The UID.
    #[must_use]
    pub const fn uid(&self) -> &'static str {
        self.uid
    }

    /// The name as PS3.6 Table A-1 has it, up to its first colon and without "(Retired)".
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How elements are encoded; of a deflated data set, once inflated.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The whole data set is deflated (PS3.5 §A.5). Deflated Image Frame Compression is not: only its frames are.
    #[must_use]
    pub const fn is_deflated(&self) -> bool {
        self.deflated
    }

    /// In which form Pixel Data is.
    #[must_use]
    pub const fn pixels(&self) -> PixelForm {
        self.pixels
    }

    /// Which fragments make a frame.
    #[must_use]
    pub const fn fragments(&self) -> FragmentRule {
        self.fragments
    }

    /// All fragments are one stream of video or audio.
    #[must_use]
    pub fn is_video(&self) -> bool {
        self.fragments == FragmentRule::OneStream
    }

    /// The standard no longer has it; instances from before are kept as any other.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        self.retired
    }
}

/// All transfer syntaxes of the standard, by UID.
pub fn all() -> impl ExactSizeIterator<Item = &'static TransferSyntax> {
    table::SYNTAXES.iter()
}

/// The transfer syntax with this UID.
#[must_use]
pub fn find(uid: &TransferSyntaxUid) -> Option<&'static TransferSyntax> {
    let at = table::SYNTAXES.binary_search_by(|syntax| syntax.uid.cmp(uid.as_str())).ok()?;
    table::SYNTAXES.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> &'static TransferSyntax {
        find(&TransferSyntaxUid::parse(text).expect("a UID")).expect("in the table")
    }

    #[test]
    fn the_table_is_sorted_and_names_each_syntax_once() {
        assert!(all().zip(all().skip(1)).all(|(one, next)| one.uid < next.uid));
        let mut names: Vec<_> = all().map(TransferSyntax::name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn every_syntax_that_another_dictionary_names_is_in_the_table() {
        use dicom_dictionary_std::uids;
        let known = [
            uids::IMPLICIT_VR_LITTLE_ENDIAN,
            uids::EXPLICIT_VR_LITTLE_ENDIAN,
            uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN,
            uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
            uids::MPEG2MPML,
            uids::MPEG2MPMLF,
            uids::MPEG2MPHL,
            uids::MPEG2MPHLF,
            uids::MPEG4HP41,
            uids::MPEG4HP41F,
            uids::MPEG4HP41BD,
            uids::MPEG4HP41BDF,
            uids::MPEG4HP422D,
            uids::MPEG4HP422DF,
            uids::MPEG4HP423D,
            uids::MPEG4HP423DF,
            uids::MPEG4HP42STEREO,
            uids::MPEG4HP42STEREOF,
            uids::HEVCMP51,
            uids::HEVCM10P51,
            uids::JPEGXL_LOSSLESS,
            uids::JPEGXLJPEG_RECOMPRESSION,
            uids::JPEGXL,
            uids::HTJ2K_LOSSLESS,
            uids::HTJ2K_LOSSLESS_RPCL,
            uids::HTJ2K,
            uids::JPIPHTJ2K_REFERENCED,
            uids::JPIPHTJ2K_REFERENCED_DEFLATE,
            uids::JPEG_BASELINE8_BIT,
            uids::JPEG_EXTENDED12_BIT,
            uids::JPEG_LOSSLESS,
            uids::JPEG_LOSSLESS_SV1,
            uids::JPEGLS_LOSSLESS,
            uids::JPEGLS_NEAR_LOSSLESS,
            uids::JPEG2000_LOSSLESS,
            uids::JPEG2000,
            uids::JPEG2000MC_LOSSLESS,
            uids::JPEG2000MC,
            uids::JPIP_REFERENCED,
            uids::JPIP_REFERENCED_DEFLATE,
            uids::RLE_LOSSLESS,
            uids::SMPTEST211020_UNCOMPRESSED_PROGRESSIVE_ACTIVE_VIDEO,
            uids::SMPTEST211020_UNCOMPRESSED_INTERLACED_ACTIVE_VIDEO,
            uids::SMPTEST211030PCM_DIGITAL_AUDIO,
            uids::DEFLATED_IMAGE_FRAME_COMPRESSION,
        ];
        assert!(known.iter().all(|uid| !of(uid).is_retired()));
        assert_eq!(all().filter(|syntax| !syntax.is_retired()).count(), known.len());
        assert_eq!(all().len(), 63);
    }

    #[test]
    fn what_is_deflated_encapsulated_or_video_is_known() {
        assert!(of("1.2.840.10008.1.2.1.99").is_deflated());
        assert!(of("1.2.840.10008.1.2.4.95").is_deflated());
        assert!(!of("1.2.840.10008.1.2.8.1").is_deflated());
        assert_eq!(of("1.2.840.10008.1.2.8.1").pixels(), PixelForm::Encapsulated);
        assert_eq!(of("1.2.840.10008.1.2.2").encoding(), Encoding::ExplicitBig);
        assert!(of("1.2.840.10008.1.2.4.102").is_video());
        assert!(!of("1.2.840.10008.1.2.4.50").is_video());
    }
}
