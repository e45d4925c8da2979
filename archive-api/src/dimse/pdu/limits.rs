//! Every bound of the PDU codec, with its unit and reason.

/// Bytes of an A-ASSOCIATE PDU after its length field: 128 contexts with every syntax of the standard need a tenth.
pub const ASSOCIATE_BYTES_MAX: u32 = 1 << 20;
/// Bytes of an A-ASSOCIATE PDU before its first item: version, reserved, titles, reserved (PS3.8 Table 9-11).
pub const ASSOCIATE_BYTES_MIN: u32 = 68;
/// Presentation contexts in one request: the odd numbers from 1 to 255 (PS3.8 §9.3.2.2).
pub const CONTEXTS_MAX: usize = 128;
/// Transfer syntaxes proposed in one context: the standard has about 70.
pub const SYNTAXES_PER_CONTEXT_MAX: usize = 256;
/// Bytes of the four short PDUs (reject, release request and reply, abort) after their length field.
pub const SHORT_BYTES: u32 = 4;
/// Bytes before the value of a presentation data value: length, context, control header (PS3.8 §9.3.5.1).
pub const VALUE_HEADER_BYTES: u32 = 6;
/// Bytes before the body of any PDU: type, reserved, length.
pub const PDU_HEADER_BYTES: usize = 6;
/// Least P-DATA-TF length that may be offered to peers: less and every image pays for headers (PS3.8 D.1 names none).
pub const OFFERED_DATA_BYTES_MIN: u32 = 4 * 1024;
/// Largest P-DATA-TF length that may be offered to peers.
pub const OFFERED_DATA_BYTES_MAX: u32 = 1 << 20;
/// P-DATA-TF length offered when nothing else is configured (`dimse.max_pdu`).
pub const OFFERED_DATA_BYTES_DEFAULT: u32 = 128 * 1024;

const _: () = assert!(OFFERED_DATA_BYTES_MIN <= OFFERED_DATA_BYTES_DEFAULT);
const _: () = assert!(OFFERED_DATA_BYTES_DEFAULT <= OFFERED_DATA_BYTES_MAX);
