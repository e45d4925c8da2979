//! The disk says no: calls of the real program fail, once or for as long as it lasts (see `system_tests::fault_at`). Whatever
//! fails, nothing that was acknowledged is lost and nothing refused is seen; where it may go on it does so without a restart,
//! and where it may not it ends, with a reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use nix::errno::Errno;
use system_tests::crashes::{Phase, Yard};
use system_tests::fault_at::{Plan, Site, What};
use system_tests::generate::{Generator, Numbers};
use system_tests::image::Image;
use system_tests::oracle::{gives_back, holds, is_long, seal_now};
use system_tests::sender::{Door, Sending, Tally, send_by};
use system_tests::traced::{Traced, can_trace};
use system_tests::vellum::{DataFolder, Server, in_memory};

const SEGMENTS: &str = "journal/segment-*";

fn data() -> DataFolder {
    DataFolder::fresh_in(&in_memory())
        .with("VELLUM_SEAL__QUIET", "24h")
        .with("VELLUM_SEAL__MAX_AGE", "24h")
        .with("VELLUM_JOURNAL__SEGMENT", "256KiB")
        .with("VELLUM_JOURNAL__INLINE", "16KiB")
        .with("VELLUM_JOURNAL__RESERVE", "4KiB")
}

/// Sends by both doors, one after the other; what was refused is in the list.
fn send_by_both(server: &Server, make: &mut Generator, pixel_bytes: usize) -> Tally {
    let mut tally = Tally::default();
    for door in [Door::Stow(server.http), Door::CStore(server.dimse)] {
        let study = make.study();
        tally.add(Sending::start_by(1, door, make.files(&study, 0, 2, pixel_bytes)).finish());
    }
    tally
}

#[test]
fn i1_after_a_failed_sync_or_write_nothing_is_acknowledged_or_synced_again_and_the_process_ends() {
    if !can_trace() {
        return;
    }
    let mut make = Generator::new(Numbers::announced("journal errors"));
    for (call, error) in [("fdatasync", Errno::EIO), ("pwrite64", Errno::EIO), ("fdatasync", Errno::ENOSPC)] {
        for plan in [Plan::fail_once(error, 1, call, SEGMENTS), Plan::fail_from(error, 1, call, SEGMENTS)] {
            let data = data();
            let mut traced = Traced::start(&data, &Plan::list());
            assert!(traced.becomes_ready());
            let study = make.study();
            let mut tally = send_by(Door::Stow(traced.server.http), make.files(&study, 0, 3, 700));
            assert!(traced.arm(&plan));
            let study = make.study();
            let refused = Sending::start_by(3, Door::Stow(traced.server.http), make.files(&study, 0, 6, 700)).finish();
            let what = format!("{call} {error}, {:?}", plan.last);
            assert!(refused.acknowledged.is_empty(), "{what}: acknowledged after it failed");
            tally.add(refused);
            let end = traced.end();
            let log = end.log.join("\n");
            assert!(end.how.starts_with("exit code ") && end.how != "exit code 0", "{what}: {}", end.how);
            assert!(log.contains("the archive cannot go on"), "{what}: no reason: {log}");
            assert_eq!(end.hits.len(), 1, "{what}: tried again");
            holds(&data, &tally, &what);
        }
    }
}

#[test]
fn i14_no_room_is_refused_by_both_doors_whichever_call_says_so_and_taken_when_there_is_room() {
    const SPILL: &str = "journal/spill/*";
    if !can_trace() {
        return;
    }
    let mut make = Generator::new(Numbers::announced("no room"));
    let data = data();
    let mut traced = Traced::start(&data, &Plan::list());
    assert!(traced.becomes_ready());
    let mut tally = send_by_both(&traced.server, &mut make, 700);
    let calls = [("pwrite64", SEGMENTS, 700), ("pwrite64", SPILL, 20_000), ("openat", SPILL, 20_000)];
    for error in [Errno::ENOSPC, Errno::EDQUOT, Errno::EFBIG] {
        for (call, place, pixel_bytes) in calls {
            let what = format!("{call} {place}: {error}");
            assert!(traced.arm(&Plan::fail_from(error, 1, call, place)), "{what}: it ended");
            let refused = send_by_both(&traced.server, &mut make, pixel_bytes);
            assert!(refused.acknowledged.is_empty() && refused.unanswered.is_empty(), "{what}: {refused:?}");
            let is_no_room = |answer: &&String| answer.starts_with("A700") || answer.contains("507");
            let answers: Vec<_> = refused.refused.values().collect();
            assert_eq!(answers.iter().filter(|answer| is_no_room(answer)).count(), 4, "{what}: {answers:?}");
            tally.add(refused);
            assert!(traced.arm(&Plan::list()), "{what}: it ended");
            let taken = send_by_both(&traced.server, &mut make, pixel_bytes);
            assert_eq!(taken.acknowledged.len(), 4, "{what}: not taken again: {:?}", taken.refused);
            tally.add(taken);
        }
    }
    gives_back(&data, &tally, "with room");
    let _end = traced.kill();
    holds(&data, &tally, "after a kill");
}

/// Every different call of a phase fails, once, and for as long as the phase lasts.
fn each_call_fails(phase: Phase, errors: &[Errno]) {
    if !can_trace() {
        return;
    }
    let mut make = Generator::new(Numbers::announced(phase.name()));
    let mut yard = Yard::of(DataFolder::fresh_in(&in_memory()), phase);
    let mut sites: BTreeMap<Site, u64> = BTreeMap::new();
    for site in yard.round(&mut make, &Plan::list(), || {}).calls {
        *sites.entry(site).or_default() += 1;
    }
    // A connection that breaks is the network's fault, not the disk's; and the catalog has a test of its own.
    sites.retain(|site, _| site.place != "socket" && !site.place.starts_with("catalog/"));
    let (mut failed, mut ended) = (0, 0);
    for (number, (site, count)) in sites.iter().enumerate() {
        let error = errors[number % errors.len()];
        let n = 1 + make.numbers().below(*count);
        let once = Plan::fail_once(error, n, &site.call, &site.place);
        for plan in [once, Plan::fail_from(error, 1, &site.call, &site.place)] {
            let round = yard.round_of_errors(&mut make, &plan);
            assert!(round.verdict.is_good(), "{site} {error}: {:?}", round.verdict);
            failed += round.at.len();
            ended += usize::from(round.has_ended);
        }
    }
    assert!(yard.end(&mut make).is_good());
    eprintln!(
        "{phase}: {failed} calls of {} kinds failed; {ended} times it ended by itself; {} acknowledged",
        sites.len(),
        yard.tally().acknowledged.len()
    );
    assert!(failed >= sites.len(), "most calls were never made");
}

#[test]
fn i1_whichever_call_fails_while_receiving_nothing_acknowledged_is_lost() {
    each_call_fails(Phase::Receive, &[Errno::EIO, Errno::ENOSPC]);
}

#[test]
fn i1_whichever_call_fails_while_sealing_nothing_is_lost_and_it_seals_when_the_disk_works_again() {
    each_call_fails(Phase::Seal, &[Errno::EIO, Errno::ENOSPC, Errno::EROFS, Errno::EDQUOT]);
}

#[test]
fn i8_whichever_call_fails_while_sealing_in_two_stores_nothing_is_lost() {
    each_call_fails(Phase::SealInTwo, &[Errno::EIO, Errno::ENOSPC]);
}

#[test]
fn i3_a_catalog_that_cannot_be_written_loses_nothing_and_follows_when_it_can() {
    if !can_trace() {
        return;
    }
    // Seen once in seven runs, on a busy machine: the call that failed was sled's own, and nobody ever heard of it; sealing
    // then waited for ever. Until that is bounded, this runs in the long form only.
    if !is_long() {
        eprintln!("SKIPPED: VELLUM_LONG=1 lets the catalog's writes fail");
        return;
    }
    let mut make = Generator::new(Numbers::announced("catalog errors"));
    for error in [Errno::EIO, Errno::ENOSPC] {
        let mut yard = Yard::of(DataFolder::fresh_in(&in_memory()), Phase::Seal);
        assert!(yard.round(&mut make, &Plan::list(), || {}).verdict.is_good());
        let plan =
            Plan { what: What::Fail(error as i32), first: 1, last: 1, call: None, place: Some("catalog/*".into()) };
        let round = yard.round_of_errors(&mut make, &plan);
        assert!(round.verdict.is_good() && !round.at.is_empty(), "{error}: {round:?}");
        assert!(yard.end(&mut make).is_good(), "{error}");
    }
}

#[test]
fn a_read_only_disk_refuses_receiving_serves_reads_and_takes_again_after_a_restart() {
    const IMAGE_BYTES: u64 = 128 << 20;
    let Some(mut image) = Image::fresh(IMAGE_BYTES, "no disk becomes read-only here") else { return };
    let mut make = Generator::new(Numbers::announced("read-only"));
    let data = DataFolder::at(&image.mount_point().join("data"))
        .with("VELLUM_SEAL__QUIET", "24h")
        .with("VELLUM_SEAL__MAX_AGE", "24h")
        .with("VELLUM_JOURNAL__SEGMENT", "1MiB")
        .with("VELLUM_JOURNAL__RESERVE", "4KiB");
    let server = data.serve();
    let study = make.study();
    let mut tally = send_by(Door::Stow(server.http), make.files(&study, 0, 4, 2000));
    seal_now(&data);
    let study = make.study();
    tally.add(send_by(Door::CStore(server.dimse), make.files(&study, 0, 4, 2000)));
    // As ext4 does to itself when its own log fails (mount option of ext4(5)).
    let aborted = Command::new("mount").args(["-o", "remount,abort"]).arg(image.mount_point()).output().unwrap();
    let is_read_only = std::fs::write(image.mount_point().join("probe"), b"x").is_err();
    if !is_read_only {
        eprintln!("SKIPPED: this kernel does not abort an ext4: {}", String::from_utf8_lossy(&aborted.stderr));
        return;
    }
    for file in system_tests::dicom_web::study(server.http, &study).expect("reads are served") {
        assert!(tally.acknowledged.contains(&system_tests::sender::digest(system_tests::generate::data_set(&file))));
    }
    let refused = send_by_both(&server, &mut make, 700);
    assert!(refused.acknowledged.is_empty(), "acknowledged on a read-only disk");
    tally.add(refused);
    server.kill();
    image.unmount().expect("the file system is free");
    image.mount().expect("the file system comes back");
    holds(&data, &tally, "writable again");
}

#[test]
fn without_file_descriptors_nothing_partial_is_acknowledged_and_it_goes_on_without_a_restart() {
    const DESCRIPTORS: usize = 96;
    let mut make = Generator::new(Numbers::announced("descriptors"));
    let data = data();
    let script = data.path().with_file_name("limited.sh");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec \"$@\"\n")).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let serve = data.command(["serve"]);
    let mut limited = Command::new(&script);
    limited.arg(serve.get_program()).args(serve.get_args());
    limited.envs(serve.get_envs().map(|(key, value)| (key, value.unwrap_or_default())));
    let server = Server::start(limited);
    let study = make.study();
    let mut tally = send_by(Door::Stow(server.http), make.files(&study, 0, 4, 20_000));
    let pid = server.pid();
    // Associations that are never negotiated, and requests that never come.
    let idle: Vec<TcpStream> = (0..DESCRIPTORS).filter_map(|_| TcpStream::connect(server.dimse).ok()).collect();
    assert!(!idle.is_empty());
    let study = make.study();
    let files = make.files(&study, 0, 4, 20_000);
    let waiting = Sending::start_by(2, Door::Stow(server.http), files);
    // They wait in the queue of the listener, or are refused: then the descriptors come back.
    std::thread::sleep(std::time::Duration::from_millis(300));
    drop(idle);
    tally.add(waiting.finish());
    let study = make.study();
    let again = (0..50).any(|round| {
        let sent = Sending::start_by(1, Door::Stow(server.http), make.files(&study, round * 2, 2, 20_000)).finish();
        let is_taken = sent.acknowledged.len() == 2;
        tally.add(sent);
        is_taken
    });
    assert!(again, "it has descriptors again, and takes nothing");
    assert_eq!(server.pid(), pid);
    gives_back(&data, &tally, "with descriptors");
    seal_now(&data);
    assert_eq!(server.stop(), 0);
    holds(&data, &tally, "stopped");
}
