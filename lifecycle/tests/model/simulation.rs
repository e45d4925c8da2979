//! The whole core on one thread: the worker's jobs, several senders, a reader, and somebody who breaks things, all at once.
//! Time is virtual, all chance comes from the seed, so that the same seed gives the same run, to the last call.

use std::time::Duration;

use archive_core::entropy::SeededEntropy;
use archive_core::identifiers::Sha256Digest;
use archive_core::ledger::entry::StoreRole;
use archive_core::testing::{DiskFault, Effect, in_place};
use futures::future::join_all;
use lifecycle::{Schedule, Worker};
use rustix::io::Errno;

use crate::life::Run;
use crate::looking::Looking;
use crate::model::{Counts, STUDIES, Sending};
use crate::properties::{ALONE, seeds};
use crate::world::Setup;

/// Seeds of simulations.
const KIND: u64 = 6;
/// Those who send at once.
const SENDERS: usize = 4;
/// Processes, one after the other, before the last one, in which all is well.
const LIVES: usize = 2;

/// What a simulation gave.
struct Simulated {
    trace: Sha256Digest,
    lines: Vec<String>,
    counts: Counts,
}

fn setup_of(seed: u64) -> Setup {
    match seed % 3 {
        0 => ALONE,
        1 => Setup { second: Some(StoreRole::Required), ..ALONE },
        _ => Setup { second: Some(StoreRole::Lagging), mirror: true, ..ALONE },
    }
}

fn schedule() -> Schedule {
    let seconds = Duration::from_secs;
    Schedule { seal: seconds(5), merge: seconds(120), orphans: seconds(900), ..Schedule::default() }
}

fn simulate(seed: u64) -> Simulated {
    let _in_place = in_place::begin(seed);
    let run = Run::new(setup_of(seed), seed, &[]);
    run.world.machine.keep_lines();
    let mut left = LIVES;
    loop {
        let runtime = crate::world::runtime();
        let killed = runtime.block_on(run.live_with_worker(left > 0));
        drop(runtime);
        if killed {
            run.after_death();
        } else if left == 0 {
            break;
        }
        run.disk_may_fail.set(false);
        left = left.saturating_sub(1);
    }
    let (trace, lines) = (run.world.machine.trace(), run.world.machine.take_lines());
    Simulated { trace, lines, counts: run.model.into_inner().counts }
}

impl Run<'_> {
    /// One process with its worker; in the last one all is well. Gives whether it was killed.
    async fn live_with_worker(&self, stormy: bool) -> bool {
        let (world, machine) = (&self.world, &self.world.machine);
        if !stormy {
            world.all_well();
        }
        let life = async {
            let archive = self.start().await;
            let looking = Looking { world, archive: &archive, model: &self.model, damage: &self.damage };
            looking.check_leftovers();
            looking.check_ledger().await;
            looking.check().await;
            let worker = Worker::start(archive.clone(), &schedule());
            if stormy {
                if world.draw(4) > 0 {
                    let effect = if world.draw(2) == 0 { Effect::Before } else { Effect::After };
                    self.cut.set(Some(world.draw(u64::MAX)).filter(|pattern| pattern % 2 == 0));
                    machine.dies_at(1 + world.draw(1000), effect);
                }
                let storm = async {
                    let senders = join_all((0..SENDERS).map(|_| self.keep_sending(&looking)));
                    futures::join!(senders, self.keep_breaking(), self.keep_reading(&looking));
                };
                let lasts = Duration::from_secs(300 + world.draw(900));
                tokio::select! {
                    biased;
                    _ = archive.stopped() => {}
                    _ = tokio::time::timeout(lasts, storm) => {}
                }
                worker.stop().await;
                archive.close().await;
            } else {
                tokio::time::sleep(Duration::from_secs(1200)).await;
                worker.stop().await;
                self.finish(&looking).await;
            }
        };
        tokio::select! {
            biased;
            () = machine.died() => true,
            () = life => false,
        }
    }

    async fn keep_sending(&self, looking: &Looking<'_>) {
        let draw = |below| u8::try_from(self.world.draw(below)).unwrap();
        loop {
            tokio::time::sleep(Duration::from_millis(self.world.draw(90_000))).await;
            for _ in 0..=draw(4) {
                let sending = Sending {
                    study: draw(STUDIES.into()),
                    n: 1 + draw(3),
                    text: draw(3),
                    source: draw(2),
                    file: Some(draw(2)).filter(|_| draw(4) == 0),
                    large: draw(8) == 0,
                };
                self.model.borrow_mut().counts.operations += 1;
                let waits = Duration::from_millis(if draw(8) == 0 { self.world.draw(10) } else { u64::MAX >> 24 });
                drop(tokio::time::timeout(waits, self.send(looking.archive, &sending)).await);
            }
        }
    }

    async fn keep_reading(&self, looking: &Looking<'_>) {
        loop {
            tokio::time::sleep(Duration::from_millis(self.world.draw(90_000))).await;
            self.model.borrow_mut().counts.operations += 1;
            looking.read(u8::try_from(self.world.draw(STUDIES.into())).unwrap()).await;
        }
    }

    async fn keep_breaking(&self) {
        let world = &self.world;
        loop {
            tokio::time::sleep(Duration::from_millis(world.draw(100_000))).await;
            self.model.borrow_mut().counts.faults += 1;
            let store = world.store(world.draw(2) == 0);
            match world.draw(12) {
                0..3 => store.set_away(true),
                3..6 => store.fail_at_random(SeededEntropy::from_seed(world.draw(u64::MAX)), 30),
                6 => store.land().await,
                7 if world.draw(4) == 0 => {
                    self.disk_may_fail.set(true);
                    let errno = if world.draw(2) == 0 { Errno::NOSPC } else { Errno::IO };
                    world.disk.fail(Some(DiskFault { at: 1 + world.draw(20), errno, stays: false }));
                }
                _ => world.all_well(),
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_last_call() {
    let mut traces = Vec::new();
    for seed in 0..6 {
        let (first, second) = (simulate(seed), simulate(seed));
        if first.trace != second.trace {
            let at = first.lines.iter().zip(&second.lines).position(|(a, b)| a != b);
            let at = at.unwrap_or(first.lines.len().min(second.lines.len()));
            let around =
                |lines: &[String]| lines.get(at.saturating_sub(3)..(at + 3).min(lines.len())).map(<[_]>::to_vec);
            panic!("seed {seed}, call {at}:\n{:#?}\n{:#?}", around(&first.lines), around(&second.lines));
        }
        traces.push(first.trace);
    }
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), 6, "other seeds give other runs");
}

#[test]
fn i1_i2_i5_i10_with_all_jobs_and_senders_at_once_nothing_acknowledged_is_lost() {
    let mut counts = Counts::default();
    let seeds = seeds(KIND);
    for seed in &seeds {
        println!("VELLUM_SEED={seed} cargo test -p lifecycle --test model");
        counts += simulate(*seed).counts;
    }
    println!("{} simulations from seed {:?} on: {counts:?}", seeds.len(), seeds.first());
}
