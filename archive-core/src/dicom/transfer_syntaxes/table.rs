//! The transfer syntaxes of PS3.6 Table A-1, in the order of their UIDs as text.

use super::Encoding::{ExplicitBig, ExplicitLittle, ImplicitLittle};
use super::FragmentRule::{NoFragments, OneEach, OneOrMore, OneStream};
use super::PixelForm::{Encapsulated, Native, Referenced};
use super::{Encoding, FragmentRule, PixelForm, TransferSyntax};

type Form = (Encoding, bool, PixelForm, FragmentRule);

const IMPLICIT: Form = (ImplicitLittle, false, Native, NoFragments);
const EXPLICIT: Form = (ExplicitLittle, false, Native, NoFragments);
const BIG_ENDIAN: Form = (ExplicitBig, false, Native, NoFragments);
const DEFLATED: Form = (ExplicitLittle, true, Native, NoFragments);
const REFERENCED: Form = (ExplicitLittle, false, Referenced, NoFragments);
const REFERENCED_DEFLATED: Form = (ExplicitLittle, true, Referenced, NoFragments);
const FRAMES: Form = (ExplicitLittle, false, Encapsulated, OneOrMore);
const ONE_EACH: Form = (ExplicitLittle, false, Encapsulated, OneEach);
const STREAM: Form = (ExplicitLittle, false, Encapsulated, OneStream);

const fn current(uid: &'static str, name: &'static str, form: Form) -> TransferSyntax {
    let (encoding, deflated, pixels, fragments) = form;
    TransferSyntax { uid, name, encoding, deflated, pixels, fragments, retired: false }
}

const fn retired(uid: &'static str, name: &'static str, form: Form) -> TransferSyntax {
    TransferSyntax { retired: true, ..current(uid, name, form) }
}

pub(super) const SYNTAXES: [TransferSyntax; 63] = [
    current("1.2.840.10008.1.2", "Implicit VR Little Endian", IMPLICIT),
    current("1.2.840.10008.1.2.1", "Explicit VR Little Endian", EXPLICIT),
    current("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed Explicit VR Little Endian", ONE_EACH),
    current("1.2.840.10008.1.2.1.99", "Deflated Explicit VR Little Endian", DEFLATED),
    retired("1.2.840.10008.1.2.2", "Explicit VR Big Endian", BIG_ENDIAN),
    current("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level", STREAM),
    current("1.2.840.10008.1.2.4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", STREAM),
    current("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level", STREAM),
    current("1.2.840.10008.1.2.4.101.1", "Fragmentable MPEG2 Main Profile / High Level", STREAM),
    current("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", STREAM),
    current("1.2.840.10008.1.2.4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1", STREAM),
    current("1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", STREAM),
    current(
        "1.2.840.10008.1.2.4.103.1",
        "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
        STREAM,
    ),
    current("1.2.840.10008.1.2.4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", STREAM),
    current("1.2.840.10008.1.2.4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", STREAM),
    current("1.2.840.10008.1.2.4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", STREAM),
    current("1.2.840.10008.1.2.4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", STREAM),
    current("1.2.840.10008.1.2.4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", STREAM),
    current("1.2.840.10008.1.2.4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", STREAM),
    current("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile / Level 5.1", STREAM),
    current("1.2.840.10008.1.2.4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", STREAM),
    current("1.2.840.10008.1.2.4.110", "JPEG XL Lossless", FRAMES),
    current("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", FRAMES),
    current("1.2.840.10008.1.2.4.112", "JPEG XL", FRAMES),
    current("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Image Compression (Lossless Only)", FRAMES),
    current(
        "1.2.840.10008.1.2.4.202",
        "High-Throughput JPEG 2000 with RPCL Options Image Compression (Lossless Only)",
        FRAMES,
    ),
    current("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000 Image Compression", FRAMES),
    current("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced", REFERENCED),
    current("1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", REFERENCED_DEFLATED),
    current("1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)", FRAMES),
    current("1.2.840.10008.1.2.4.51", "JPEG Extended (Process 2 & 4)", FRAMES),
    retired("1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 & 5)", FRAMES),
    retired("1.2.840.10008.1.2.4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8)", FRAMES),
    retired("1.2.840.10008.1.2.4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9)", FRAMES),
    retired("1.2.840.10008.1.2.4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 & 12)", FRAMES),
    retired("1.2.840.10008.1.2.4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 & 13)", FRAMES),
    current("1.2.840.10008.1.2.4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", FRAMES),
    retired("1.2.840.10008.1.2.4.58", "JPEG Lossless, Non-Hierarchical (Process 15)", FRAMES),
    retired("1.2.840.10008.1.2.4.59", "JPEG Extended, Hierarchical (Process 16 & 18)", FRAMES),
    retired("1.2.840.10008.1.2.4.60", "JPEG Extended, Hierarchical (Process 17 & 19)", FRAMES),
    retired("1.2.840.10008.1.2.4.61", "JPEG Spectral Selection, Hierarchical (Process 20 & 22)", FRAMES),
    retired("1.2.840.10008.1.2.4.62", "JPEG Spectral Selection, Hierarchical (Process 21 & 23)", FRAMES),
    retired("1.2.840.10008.1.2.4.63", "JPEG Full Progression, Hierarchical (Process 24 & 26)", FRAMES),
    retired("1.2.840.10008.1.2.4.64", "JPEG Full Progression, Hierarchical (Process 25 & 27)", FRAMES),
    retired("1.2.840.10008.1.2.4.65", "JPEG Lossless, Hierarchical (Process 28)", FRAMES),
    retired("1.2.840.10008.1.2.4.66", "JPEG Lossless, Hierarchical (Process 29)", FRAMES),
    current(
        "1.2.840.10008.1.2.4.70",
        "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        FRAMES,
    ),
    current("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless Image Compression", FRAMES),
    current("1.2.840.10008.1.2.4.81", "JPEG-LS Lossy (Near-Lossless) Image Compression", FRAMES),
    current("1.2.840.10008.1.2.4.90", "JPEG 2000 Image Compression (Lossless Only)", FRAMES),
    current("1.2.840.10008.1.2.4.91", "JPEG 2000 Image Compression", FRAMES),
    current("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Multi-component Image Compression (Lossless Only)", FRAMES),
    current("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component Image Compression", FRAMES),
    current("1.2.840.10008.1.2.4.94", "JPIP Referenced", REFERENCED),
    current("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", REFERENCED_DEFLATED),
    current("1.2.840.10008.1.2.5", "RLE Lossless", ONE_EACH),
    retired("1.2.840.10008.1.2.6.1", "RFC 2557 MIME encapsulation", EXPLICIT),
    retired("1.2.840.10008.1.2.6.2", "XML Encoding", EXPLICIT),
    current("1.2.840.10008.1.2.7.1", "SMPTE ST 2110-20 Uncompressed Progressive Active Video", STREAM),
    current("1.2.840.10008.1.2.7.2", "SMPTE ST 2110-20 Uncompressed Interlaced Active Video", STREAM),
    current("1.2.840.10008.1.2.7.3", "SMPTE ST 2110-30 PCM Digital Audio", STREAM),
    current("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", ONE_EACH),
    retired("1.2.840.10008.1.20", "Papyrus 3 Implicit VR Little Endian", IMPLICIT),
];
