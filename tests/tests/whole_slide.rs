//! A whole-slide image goes in by both doors and comes out by every way there is, byte for byte (promise I2) and in bounded
//! memory (promise I12). `VELLUM_LONG=1` makes it larger than 4 GiB, where 32 bits do not suffice for any length or offset.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};
use system_tests::association::Association;
use system_tests::dicom_web;
use system_tests::generate::{Generator, Numbers};
use system_tests::oracle::{files_below, rounds, seal_now};
use system_tests::peers;
use system_tests::vellum::{DataFolder, Server};
use system_tests::whole_slide::{CLASS, JPEG, WholeSlide};

const FRAME_BYTES: usize = 60_000;
/// More than 8 MiB: with a file of its own beside the journal's segments.
const FRAMES_SHORT: usize = 400;
/// More than 4 GiB, and more than 65,536 frames.
const FRAMES_LONG: usize = 76_000;
/// What the server may hold in memory at most, whatever comes.
const MEMORY_BYTES_MAX: u64 = 200 * 1024 * 1024;

/// A slide that went in, and whether as a file or as a bare data set.
struct Sent {
    slide: WholeSlide,
    as_file: bool,
    data_set: [u8; 32],
}

impl Sent {
    fn new(slide: WholeSlide, as_file: bool) -> Self {
        let mut data_set = slide.data_set();
        let sha256 = digest_of(&mut data_set, slide.data_set_bytes());
        drop(data_set);
        Self { slide, as_file, data_set: sha256 }
    }

    /// Asserts that a file comes as it went in, or as the archive makes it around the data set that went in; gives what
    /// follows it.
    fn comes_back(&self, mut file: impl Read, way: &str) -> String {
        let mut prefix = vec![0; 144];
        file.read_exact(&mut prefix).unwrap();
        assert_eq!(&prefix[128..132], b"DICM", "{way}");
        let length = u32::from_le_bytes(*prefix[140..].first_chunk().unwrap());
        prefix.resize(144 + usize::try_from(length).unwrap(), 0);
        file.read_exact(&mut prefix[144..]).unwrap();
        assert!(!self.as_file || prefix == self.slide.prefix(), "{way}: not the prefix that was sent");
        let data_set = digest_of(&mut file, self.slide.data_set_bytes());
        assert!(data_set == self.data_set, "{way}: not the data set that was sent");
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        rest
    }

    fn comes_back_alone(&self, file: impl Read, way: &str) {
        assert_eq!(self.comes_back(BufReader::new(file), way), "", "{way}: it goes on after its end");
    }

    /// Asserts that WADO-RS gives the whole, and frames from begin, middle and end.
    fn is_retrieved(&self, server: &Server, when: &str) {
        let slide = &self.slide;
        let path = format!("studies/{}/series/{}/instances/{}", slide.study, slide.series, slide.sop);
        let whole = dicom_web::retrieve(server.http, &path, "application/dicom").unwrap();
        let rest = self.comes_back(whole, &format!("by WADO-RS, {when}"));
        assert!(rest.starts_with("\r\n--") && rest.trim_end().ends_with("--"), "{rest:?}");
        for number in [0, slide.frames() / 2, slide.frames() - 1] {
            let frame = format!("{path}/frames/{}", number + 1);
            let mut answer = dicom_web::retrieve(server.http, &frame, "image/jpeg").unwrap();
            let mut came = vec![0; FRAME_BYTES];
            answer.read_exact(&mut came).unwrap();
            assert!(came == slide.frame(number), "{when}: frame {} is another", number + 1);
        }
    }

    /// The one pack of its study.
    fn pack(&self, store: &Path) -> PathBuf {
        let packs = files_below(&store.join("studies"));
        let of_study: Vec<&PathBuf> =
            packs.iter().filter(|pack| pack.parent().unwrap().ends_with(&self.slide.study)).collect();
        let [pack] = of_study[..] else { panic!("{} packs of {}", of_study.len(), self.slide.study) };
        pack.clone()
    }
}

/// SHA-256 of the next bytes.
fn digest_of(from: &mut impl Read, length: u64) -> [u8; 32] {
    let (mut digest, mut piece, mut left) = (Sha256::new(), vec![0; 1024 * 1024], length);
    while left > 0 {
        let here = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = from.read(&mut piece[..here]).unwrap();
        assert!(read > 0, "it ends {left} bytes too early");
        digest.update(&piece[..read]);
        left -= read as u64;
    }
    digest.finalize().into()
}

/// Exports a study, and gives back the room on the disk.
fn is_exported(data: &DataFolder, sent: &Sent) {
    let to = data.path().with_extension("exported");
    let arguments = ["export", "--study", &sent.slide.study, "--to", &to.display().to_string()];
    let _exported = data.run(arguments).expect_code(0);
    comes_back_in(&to, sent, "by export");
}

/// `extract.py` of the store gives a study without the archive.
fn is_extracted(store: &Path, sent: &Sent) {
    let to = store.with_extension("extracted");
    let mut extract = Command::new("python3");
    extract.arg(store.join("extract.py")).arg("extract").arg(&to).args(["--study", &sent.slide.study]);
    let ran = extract.output().expect("python3");
    assert!(ran.status.success(), "extract.py: {}", String::from_utf8_lossy(&ran.stderr));
    comes_back_in(&to, sent, "by extract.py");
}

/// Asserts that a folder holds the one file, and takes it away.
fn comes_back_in(folder: &Path, sent: &Sent, way: &str) {
    let mut files = files_below(folder);
    files.retain(|file| file.extension().is_some_and(|extension| extension == "dcm"));
    let [file] = &files[..] else { panic!("{way}: {files:?}") };
    sent.comes_back_alone(File::open(file).unwrap(), way);
    std::fs::remove_dir_all(folder).unwrap();
}

/// 7-Zip gives the member of a pack without the archive.
fn is_unzipped(seven_zip: &Path, store: &Path, sent: &Sent) {
    let mut command = Command::new(seven_zip);
    command.args(["e", "-so", "--"]).arg(sent.pack(store)).arg(format!("{}.dcm", sent.slide.sop));
    let mut unzipping = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    sent.comes_back_alone(unzipping.stdout.take().unwrap(), "by 7-Zip");
    assert!(unzipping.wait().unwrap().success(), "7-Zip");
}

#[test]
fn i12_a_whole_slide_over_4_gib_goes_in_and_out_in_bounded_memory() {
    let mut make = Generator::new(Numbers::announced("whole slide"));
    let frames = rounds(FRAMES_SHORT, FRAMES_LONG);
    let mut slide = || WholeSlide::new(&make.study(), frames, FRAME_BYTES, make.numbers());
    let (by_stow, by_c_store) = (Sent::new(slide(), true), Sent::new(slide(), false));
    let data = DataFolder::fresh().with("VELLUM_SEAL__QUIET", "24h").with("VELLUM_SEAL__MAX_AGE", "24h");
    let server = data.serve();

    let answer = dicom_web::send(server.http, by_stow.slide.file_bytes(), by_stow.slide.file()).unwrap();
    assert_eq!(dicom_web::first_line(answer).as_deref(), Some("HTTP/1.1 200 OK"));
    let mut association = Association::open(server.dimse, CLASS, JPEG).unwrap();
    association.send(&by_c_store.slide.sop, by_c_store.slide.data_set()).unwrap();
    assert_eq!(association.status().unwrap(), 0);
    association.release().unwrap();

    let both = [&by_stow, &by_c_store];
    both.iter().for_each(|sent| sent.is_retrieved(&server, "from the journal"));
    seal_now(&data);
    both.iter().for_each(|sent| sent.is_retrieved(&server, "from the pack"));
    both.iter().for_each(|sent| is_exported(&data, sent));
    let _verified = data.run(["verify"]).expect_code(0);

    let peak = server.peak_memory();
    let bytes = by_stow.slide.file_bytes();
    eprintln!("{} MiB of memory at most, for images of {} MiB", peak >> 20, bytes >> 20);
    assert!(peak <= MEMORY_BYTES_MAX, "{} MiB of memory for images of {} MiB", peak >> 20, bytes >> 20);
    assert_eq!(server.stop(), 0);

    let store = data.path().join("store");
    both.iter().for_each(|sent| is_extracted(&store, sent));
    let Some(seven_zip) = peers::program("7zz") else { return };
    both.iter().for_each(|sent| is_unzipped(&seven_zip, &store, sent));
}
