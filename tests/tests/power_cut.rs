//! The power goes while the archive receives and seals, and nothing acknowledged is lost (promise I1). The data folder
//! lies on an ext4 of its own in an image file; the file system is shut down under the running process (ioctl
//! FS_IOC_SHUTDOWN), so that everything that was not synced is gone. It needs root, loop devices and mkfs.ext4; where one
//! is missing, the test says so and is skipped. `VELLUM_LONG=1` is the long form; `VELLUM_SEED` repeats a run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use system_tests::generate::{Generator, Numbers};
use system_tests::image::Image;
use system_tests::oracle::{holds, rounds};
use system_tests::peers;
use system_tests::sender::{Sending, Tally};
use system_tests::vellum::DataFolder;

/// Size of the image; most of it is a hole.
const IMAGE_BYTES: u64 = 1 << 30;
/// An archive lives through so many cuts; then a fresh one begins.
const CUTS_PER_ARCHIVE: usize = 10;
/// The longest time from the first acknowledgement to the cut.
const LONGEST: Duration = Duration::from_millis(1200);

/// A switch that waits to be thrown.
struct Switch(Child);

impl Switch {
    fn ready(mount_point: &Path, flag: u64) -> Self {
        let mut child = Command::new("python3")
            .arg(peers::script("shut_down_file_system.py"))
            .arg(mount_point)
            .arg(flag.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn throw(mut self) {
        self.0.stdin.take().expect("a pipe").write_all(b"now\n").expect("the switch listens");
        assert!(self.0.wait().expect("the switch").success(), "the file system was not shut down");
    }
}

#[test]
fn i1_a_power_cut_while_receiving_and_sealing_loses_nothing_acknowledged() {
    let mut make = Generator::new(Numbers::announced("power cut"));
    let mut disk: Option<(Image, DataFolder, Tally)> = None;
    let mut with_acknowledgements = 0;
    let wanted = rounds(4, 100);
    for round in 0..wanted {
        if round % CUTS_PER_ARCHIVE == 0 {
            drop(disk.take());
            let Some(image) = Image::fresh(IMAGE_BYTES, "no power is cut here") else { return };
            let data = DataFolder::at(&image.mount_point().join("data"))
                .with("VELLUM_SEAL__QUIET", "1ms")
                .with("VELLUM_JOURNAL__SEGMENT", "16MiB")
                .with("VELLUM_JOURNAL__INLINE", "64KiB");
            // The archive exists before the first cut.
            assert_eq!(data.serve().stop(), 0);
            disk = Some((image, data, Tally::default()));
        }
        let Some((image, data, tally)) = disk.as_mut() else { return };
        let flag = 1 + make.numbers().below(2);
        let server = data.serve();
        let mut files = Vec::new();
        for part in 0..8 {
            let study = make.study();
            // Some have a file of their own beside the journal's segments.
            files.extend(make.files(&study, 0, 24, if part % 4 == 3 { 80_000 } else { 6000 }));
        }
        let switch = Switch::ready(&image.mount_point(), flag);
        let sending = Sending::start(server.http, files);
        sending.wait_for_acknowledgements(1);
        let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
        std::thread::sleep(Duration::from_micros(make.numbers().below(longest)));
        // A power cut lets no answer out. This switch does: a sync that is under way while the file system is shut down may
        // be told that all is well, and then so is the sender. What was acknowledged before counts.
        let before = sending.acknowledged_so_far();
        switch.throw();
        let mut sent = sending.finish();
        sent.acknowledged.retain(|file| before.contains(file));
        server.kill();
        with_acknowledgements += usize::from(!sent.acknowledged.is_empty());
        tally.add(sent);
        image.unmount().expect("the file system is free");
        image.mount().expect("the file system comes back");
        holds(data, tally, &format!("round {round}, shutdown flag {flag}"));
    }
    eprintln!("{with_acknowledgements} of {wanted} power cuts came after acknowledgements");
    assert!(with_acknowledgements * 2 >= wanted, "most cuts came before anything was acknowledged");
}
