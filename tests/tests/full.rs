//! No room: the journal at its cap, and the disk full. Both doors say so (C-STORE A700H, STOW-RS 507; DESIGN §11), nothing of
//! what was refused is seen, everything acknowledged is there, and when there is room both doors take instances again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use system_tests::generate::{Generator, Numbers};
use system_tests::image::Image;
use system_tests::oracle::{seal_now, wait_for_status};
use system_tests::peers;
use system_tests::sender::{Digest, digest};
use system_tests::vellum::{DataFolder, Server};

/// Bytes of pixels, from large to small: where no large one fits any more, a small one still may. The last is smaller than
/// the disk's blocks.
const SIZES: [usize; 5] = [2 << 20, 300_000, 40_000, 5_000, 128];
/// Rounds of one size before it must be refused; a round is [`PER_ROUND`] files by each door.
const ROUNDS_MAX: usize = 100;
const PER_ROUND: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    CStore,
    Stow,
}

/// Sends to one archive by both doors, and keeps a list.
struct Filling<'a> {
    python: &'a Path,
    folder: PathBuf,
    make: Generator,
    sent: usize,
    /// Data sets that were acknowledged. By C-STORE the meta group is the archive's own, so that whole files differ.
    acknowledged: BTreeSet<Digest>,
}

/// Digest of the data set of a Part 10 file: what follows the meta group, whose length is its first element (PS3.10 §7.1).
fn data_set(file: &[u8]) -> Digest {
    let length = u32::from_le_bytes(file[140..144].try_into().unwrap());
    digest(&file[144 + usize::try_from(length).unwrap()..])
}

impl<'a> Filling<'a> {
    fn of(python: &'a Path, folder: PathBuf, test: &str) -> Self {
        std::fs::create_dir_all(&folder).unwrap();
        let make = Generator::new(Numbers::announced(test));
        Self { python, folder, make, sent: 0, acknowledged: BTreeSet::new() }
    }

    /// Sends so many files of one size; gives how many were taken. Every other answer is that there is no room.
    fn send(&mut self, server: &Server, door: Door, count: usize, pixel_bytes: usize) -> usize {
        let study = self.make.study();
        let files = self.make.files(&study, 0, count, pixel_bytes);
        let paths: Vec<PathBuf> = (0..count).map(|at| self.folder.join(format!("{}.dcm", self.sent + at))).collect();
        self.sent += count;
        for (path, file) in paths.iter().zip(&files) {
            std::fs::write(path, file).unwrap();
        }
        let arguments = match door {
            Door::CStore => {
                vec!["c-store".into(), "127.0.0.1".into(), server.dimse.port().to_string(), "VELLUM".into()]
            }
            Door::Stow => vec!["stow".into(), server.dicom_web()],
        };
        let answers =
            peers::lines_by_path(self.python, "send_files.py", &arguments, paths.iter().map(PathBuf::as_path));
        assert_eq!(answers.len(), count, "an answer each: the association goes on after a refusal");
        let (taken, no_room) = match door {
            Door::CStore => ("0000", "A700"),
            Door::Stow => ("200", "507"),
        };
        let mut count = 0;
        for (path, file) in paths.iter().zip(&files) {
            let status = answers[path]["status"].as_str().expect("a status");
            assert!(status == taken || status == no_room, "{door:?}: {}", answers[path]);
            if status == taken {
                count += 1;
                self.acknowledged.insert(data_set(file));
            }
            std::fs::remove_file(path).unwrap();
        }
        count
    }

    /// Sends by both doors, large and then ever smaller, until neither takes anything of any size.
    fn fill(&mut self, server: &Server) {
        for size in SIZES {
            let refused_by_both = (0..ROUNDS_MAX).any(|_| {
                let by_c_store = self.send(server, Door::CStore, PER_ROUND, size);
                let by_stow = self.send(server, Door::Stow, PER_ROUND, size);
                by_c_store + by_stow == 0
            });
            assert!(refused_by_both, "{} were taken, and there is still room", self.acknowledged.len());
        }
    }

    /// Both doors take one again, of a size that was refused.
    fn both_doors_accept(&mut self, server: &Server) {
        for door in [Door::CStore, Door::Stow] {
            assert_eq!(self.send(server, door, 1, SIZES[1]), 1, "{door:?} takes nothing, though there is room");
        }
    }

    /// What comes back is what was acknowledged: nothing of it is lost, and nothing that was refused is there.
    fn comes_back(&self, data: &DataFolder, name: &str) {
        let to = self.folder.with_file_name(name);
        let _exported = data.run(["export", "--all", "--to", &to.display().to_string()]).expect_code(0);
        let mut there = BTreeSet::new();
        let mut folders = vec![to.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    there.insert(data_set(&std::fs::read(path).unwrap()));
                }
            }
        }
        assert_eq!(self.acknowledged.difference(&there).count(), 0, "{name}: acknowledged, and lost");
        assert_eq!(there.difference(&self.acknowledged).count(), 0, "{name}: refused, and there");
        std::fs::remove_dir_all(to).unwrap();
    }
}

#[test]
fn i14_at_its_cap_the_journal_refuses_by_both_doors_and_takes_again_after_sealing() {
    let Some(python) = peers::python() else { return };
    // Sealing makes room as soon as half of the cap is reached: it is held up by a required store that is away.
    let data = DataFolder::fresh()
        .with("VELLUM_STORES__MAIN__PATH", "store")
        .with("VELLUM_STORES__SECOND__PATH", "second-store")
        .with("VELLUM_JOURNAL__CAP", "8MiB")
        .with("VELLUM_JOURNAL__SEGMENT", "1MiB")
        .with("VELLUM_JOURNAL__INLINE", "256KiB");
    let server = data.serve();
    let (second, aside) = (data.path().join("second-store"), data.path().join("elsewhere"));
    std::fs::rename(&second, &aside).unwrap();
    let mut filling = Filling::of(&python, data.path().with_file_name("sent"), "journal at its cap");
    filling.fill(&server);
    assert!(!filling.acknowledged.is_empty());
    filling.comes_back(&data, "while-full");
    std::fs::rename(&aside, &second).unwrap();
    seal_now(&data);
    filling.both_doors_accept(&server);
    seal_now(&data);
    filling.comes_back(&data, "after-sealing");
    assert_eq!(server.stop(), 0);
    filling.comes_back(&data, "stopped");
    let _whole = data.run(["verify"]).expect_code(0);
}

#[test]
fn i14_a_full_disk_is_refused_by_both_doors_and_taken_again_when_there_is_room() {
    const IMAGE_BYTES: u64 = 96 << 20;
    const BALLAST_BYTES: usize = 24 << 20;
    let Some(python) = peers::python() else { return };
    let Some(image) = Image::fresh(IMAGE_BYTES, "no disk is filled here") else { return };
    let data = DataFolder::at(&image.mount_point().join("data"))
        .with("VELLUM_SEAL__QUIET", "24h")
        .with("VELLUM_SEAL__MAX_AGE", "24h")
        .with("VELLUM_JOURNAL__SEGMENT", "1MiB")
        .with("VELLUM_JOURNAL__INLINE", "256KiB")
        // Next to nothing is kept in reserve: it is the file system that says no.
        .with("VELLUM_JOURNAL__RESERVE", "4KiB");
    let server = data.serve();
    let ballast = image.mount_point().join("ballast");
    std::fs::write(&ballast, vec![1; BALLAST_BYTES]).unwrap();
    let mut filling = Filling::of(&python, image.mount_point().with_file_name("sent"), "disk full");
    filling.fill(&server);
    assert!(!filling.acknowledged.is_empty());
    filling.comes_back(&data, "while-full");
    std::fs::remove_file(&ballast).unwrap();
    // Free disk is asked for from time to time, not with every instance.
    wait_for_status(&data, "room", |status: &Value| status["not_receiving"].is_null());
    let again = (0..ROUNDS_MAX).any(|_| {
        filling.send(&server, Door::CStore, 1, SIZES[1]) + filling.send(&server, Door::Stow, 1, SIZES[1]) == 2
    });
    assert!(again, "there is room, and nothing is taken");
    filling.both_doors_accept(&server);
    filling.comes_back(&data, "with-room");
    server.kill();
    filling.comes_back(&data, "after-a-kill");
}
