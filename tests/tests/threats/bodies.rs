//! What comes packed, and what is said in the logs of it.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use system_tests::vellum::DataFolder;

use crate::attacker::{ask, associate, c_store, data_set, element, exchange, file, pdu, status, stow};

fn uid(number: usize) -> String {
    format!("1.2.826.0.1.3680043.10.9999.20.{number}")
}

fn good(number: usize) -> Vec<u8> {
    let uid = uid(number);
    file(&[], &data_set(uid.as_bytes(), uid.as_bytes(), uid.as_bytes(), &[]))
}

fn instances(data: &DataFolder) -> Vec<String> {
    let found = data.run(["find", "--level", "instance", "--limit", "1000", "--json"]);
    // 3 says that nothing was found.
    assert!(found.code == 0 || found.code == 3, "{}{}", found.out, found.err);
    let mut uids: Vec<String> = found
        .json_lines()
        .iter()
        .map(|line| line.pointer("/00080018/Value/0").and_then(|uid| uid.as_str()).expect("a UID").to_owned())
        .collect();
    uids.sort();
    uids
}

/// Class 19: what is to be unpacked is unpacked by the archive's rules or not at all.
#[test]
fn inflate_budget() {
    let data = DataFolder::fresh();
    let server = data.serve();
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity", "x"] {
        let more = format!("Content-Encoding: {coding}\r\n");
        assert_eq!(status(&exchange(server.http, &stow(server.http, &more, &good(1)))), 415, "{coding}");
    }
    assert_eq!(instances(&data), [""; 0]);
}

/// CRC-32 as ZIP has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

/// An entry of a ZIP file, stored, as it says of itself.
struct Entry<'a> {
    name: &'a [u8],
    bytes: &'a [u8],
    /// What both headers say of its size, where that is not the truth.
    claimed: Option<u32>,
    mode: u32,
}

impl<'a> Entry<'a> {
    fn new(name: &'a [u8], bytes: &'a [u8]) -> Self {
        Self { name, bytes, claimed: None, mode: 0o100_644 }
    }

    fn common(&self) -> Vec<u8> {
        let size = u32::try_from(self.bytes.len()).unwrap();
        let mut out = vec![20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0];
        for number in [crc32(self.bytes), size, self.claimed.unwrap_or(size)] {
            out.extend(number.to_le_bytes());
        }
        out.extend(u16::try_from(self.name.len()).unwrap().to_le_bytes());
        out.extend([0, 0]);
        out
    }
}

fn zip(entries: &[Entry<'_>]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = u32::try_from(out.len()).unwrap();
        out.extend([b"PK\x03\x04", entry.common().as_slice(), entry.name, entry.bytes].concat());
        let rest = [vec![0; 6], (entry.mode << 16).to_le_bytes().to_vec(), offset.to_le_bytes().to_vec()].concat();
        directory.extend([b"PK\x01\x02\x3F\x03", entry.common().as_slice(), &rest, entry.name].concat());
    }
    let (at, length) = (u32::try_from(out.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    out.extend(&directory);
    out.extend(
        [b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count, &length.to_le_bytes(), &at.to_le_bytes(), &[0, 0]].concat(),
    );
    out
}

/// Class 20: a ZIP file is a way to send files, and nothing else in it counts.
#[test]
fn zip_import_hostile() {
    let data = DataFolder::fresh();
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<Vec<u8>> = (0..6).map(good).collect();
    let inner = zip(&[Entry::new(b"inner.dcm", &files[5])]);
    let mut entries = vec![
        Entry::new(b"../../../../tmp/zz-escape-zz", &files[0]),
        Entry::new(b"/tmp/zz-escape-zz", &files[1]),
        Entry::new(b"C:\\zz-escape-zz", &files[2]),
        Entry::new(b"\xff\xfe\r\n\x1b[31mzz-escape-zz", &files[3]),
        Entry::new(b"nested.zip", &inner),
        Entry::new(b"empty", b""),
    ];
    entries.push(Entry { mode: 0o120_777, ..Entry::new(b"link", b"/etc/passwd") });
    entries.push(Entry { claimed: Some(u32::MAX - 1), ..Entry::new(b"forged-size", &files[4]) });
    let path = folder.path().join("hostile.zip");
    std::fs::write(&path, zip(&entries)).unwrap();
    let ran = data.run(["import", &path.display().to_string()]);
    assert!((0..=4).contains(&ran.code), "{}: {}{}", ran.code, ran.out, ran.err);
    assert!(
        !ran.out.contains('\x1b') && !ran.err.contains('\x1b'),
        "names are printed as they are: {}{}",
        ran.out,
        ran.err
    );
    let found = instances(&data);
    for number in 0..4 {
        assert!(found.contains(&uid(number)), "{number}: {}{}", ran.out, ran.err);
    }
    assert!(!found.contains(&uid(5)), "a zip file inside is no folder");
    assert!(!Path::new("/tmp/zz-escape-zz").exists());

    // One content, many times over, by entries that overlap; and a directory that promises more than there is.
    let mut bytes = zip(&[Entry::new(b"one", &files[0]), Entry::new(b"two", &files[1])]);
    let end = bytes.len();
    bytes[end - 12..end - 10].copy_from_slice(&u16::MAX.to_le_bytes());
    bytes[end - 14..end - 12].copy_from_slice(&u16::MAX.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let ran = data.run(["import", &path.display().to_string()]);
    assert!((0..=4).contains(&ran.code), "{}: {}{}", ran.code, ran.out, ran.err);
    for cut in [4, 30, end / 2, end - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let ran = data.run(["import", &path.display().to_string()]);
        assert!((0..=4).contains(&ran.code), "cut at {cut}: {}: {}{}", ran.code, ran.out, ran.err);
    }
}

/// Class 3: a medium that names files outside of itself, by its directory and by links.
#[test]
fn import_dicomdir_contained() {
    let data = DataFolder::fresh();
    let around = tempfile::tempdir().unwrap();
    let medium = around.path().join("medium");
    std::fs::create_dir_all(medium.join("IMAGES")).unwrap();
    std::fs::write(medium.join("IMAGES/ONE"), good(1)).unwrap();
    let secret = around.path().join("zz-secret-zz");
    std::fs::write(&secret, good(2)).unwrap();
    std::fs::create_dir(around.path().join("zz-folder-zz")).unwrap();
    std::fs::write(around.path().join("zz-folder-zz/THREE"), good(3)).unwrap();
    std::os::unix::fs::symlink(&secret, medium.join("IMAGES/LINK")).unwrap();
    std::os::unix::fs::symlink(around.path().join("zz-folder-zz"), medium.join("LINKED")).unwrap();
    let absolute = secret.display().to_string().replace('/', "\\");
    let named = [
        "..\\zz-secret-zz",
        "IMAGES\\..\\..\\zz-secret-zz",
        &absolute,
        "IMAGES/../../zz-secret-zz",
        "IMAGES\\ONE",
        ".",
    ];
    let records: Vec<u8> = named
        .iter()
        .flat_map(|name| {
            let record =
                [element(0x0004, 0x1430, "CS", b"IMAGE"), element(0x0004, 0x1500, "CS", name.as_bytes())].concat();
            [b"\xFE\xFF\x00\xE0", u32::try_from(record.len()).unwrap().to_le_bytes().as_slice(), &record].concat()
        })
        .collect();
    let meta =
        [element(0x0002, 0x0002, "UI", b"1.2.840.10008.1.3.10"), element(0x0002, 0x0010, "UI", b"1.2.840.10008.1.2.1")]
            .concat();
    let length = element(0x0002, 0x0000, "UL", &u32::try_from(meta.len()).unwrap().to_le_bytes());
    let directory = [vec![0; 128], b"DICM".to_vec(), length, meta, element(0x0004, 0x1220, "SQ", &records)].concat();
    std::fs::write(medium.join("DICOMDIR"), directory).unwrap();
    let ran = data.run(["import", &medium.display().to_string()]);
    assert_eq!(instances(&data), [uid(1)], "{}{}", ran.out, ran.err);
    for word in ["zz-secret-zz", "zz-folder-zz"] {
        assert!(!ran.out.contains(word) && !ran.err.contains(word), "{word} was looked at: {}{}", ran.out, ran.err);
    }
}

/// Everything that can forge or break a line, in every word that a peer may say.
fn provoke(http: SocketAddr, dimse: SocketAddr) {
    let forged = "x\r\n{\"level\":\"ERROR\",\"forged\":1}\n\x1b[31m\x1b]0;forged\x07\u{202E}forged";
    for (number, text) in [forged, "\r\nforged", "forged\0forged", "\x1b[2Jforged"].into_iter().enumerate() {
        let besides = element(0x0008, 0x0060, "CS", text.as_bytes());
        let bytes =
            file(&[], &data_set(text.as_bytes(), text.as_bytes(), format!("{text}{number}").as_bytes(), &besides));
        let _any = exchange(http, &stow(http, "", &bytes));
        let refused = file(&[], &data_set(b"", text.as_bytes(), text.as_bytes(), &besides));
        let _any = exchange(http, &stow(http, "", &refused));
        let _any = exchange(http, &stow(http, "", text.as_bytes()));
    }
    for title in [b"A\x1b[31mforged".as_slice(), b"A\r\nforged", b"A\nforged\n", b"forged\xE2\x80\xAE"] {
        let mut stream = TcpStream::connect(dimse).unwrap();
        let request = [associate("VELLUM", title), pdu(5, &[0; 4])].concat();
        let _refused = std::io::Write::write_all(&mut stream, &request);
        let _ended = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
        let mut stream = TcpStream::connect(dimse).unwrap();
        let called = String::from_utf8_lossy(title).chars().take(12).collect::<String>();
        let _refused = std::io::Write::write_all(&mut stream, &associate(&called, b"SENDER"));
        let _ended = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    }
    let uid = uid(37);
    assert_eq!(
        c_store(dimse, b"forged|$(forged)", &uid, &data_set(uid.as_bytes(), uid.as_bytes(), uid.as_bytes(), &[])),
        0
    );
    for path in [
        "/dicom-web/studies?PatientName=Secretname%0d%0aforged",
        "/%0d%0aforged/Secretname",
        "/dicom-web/studies/%1b%5b31mforged",
    ] {
        let _any = ask(http, "GET", path, "User-Agent: forged\x1b[31m\r\nReferer: forged\r\n");
    }
}

/// Class 37: one event is one line, no terminal obeys it, and no patient is in it.
#[test]
fn log_lines_are_escaped_and_phi_free() {
    let told = "VELLUM_LOG__LEVEL";
    let data = DataFolder::fresh().with(told, "debug,hyper=info,hyper_util=info,sled=info,h2=info");
    let mut server = data.serve();
    provoke(server.http, server.dimse);
    let _sealed = data.run(["seal", "--now"]).expect_code(0);
    let lines = server.kill_and_log();
    assert!(lines.len() > 10, "{lines:#?}");
    for line in lines {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(event.get("forged").is_none(), "{line}");
        assert!(!line.chars().any(|c| c.is_control() || ('\u{202A}'..='\u{202E}').contains(&c)), "{line:?}");
        assert!(!line.contains("Secretname") && !line.contains("THREAT"), "{line}");
    }
    assert_text_log_is_plain(&data.with("VELLUM_LOG__FORMAT", "text"));
}

/// The same with the log for people; where it listens is told to it, for what it says is not read here.
fn assert_text_log_is_plain(data: &DataFolder) {
    let free = || std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let (http, dimse) = (free(), free());
    let log = data.path().with_extension("log");
    let mut command = data.command(["serve"]);
    command.env("VELLUM_HTTP__LISTEN", http.to_string()).env("VELLUM_DIMSE__LISTEN", dimse.to_string());
    command.stdin(std::process::Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let is_ready = || TcpStream::connect(http).is_ok() && status(&ask(http, "GET", "/readyz", "")) == 200;
    while child.try_wait().unwrap().is_none() && !is_ready() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let provoked = std::panic::catch_unwind(|| provoke(http, dimse));
    let _gone = child.kill();
    let _status = child.wait();
    assert!(provoked.is_ok(), "{}", std::fs::read_to_string(&log).unwrap());
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.lines().count() > 5, "{text}");
    assert!(!text.contains(['\x1b', '\x07', '\r', '\u{202E}']), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("forged") || line.starts_with("{\"level\"")), "{text}");
    assert!(!text.contains("Secretname"), "{text}");
}
