//! `kill -9` at every call that a start, an append and a catch-up make to any store, before and after it takes effect.

use parking_lot::Mutex;

use super::*;

/// Runs a start, two appends and a catch-up, and dies in the middle of the given call. Gives what was acknowledged, and
/// whether the call was reached.
fn run_until_killed(world: &mut World, call: u64, effect: Effect) -> (Vec<(u64, u64)>, bool) {
    world.machine.dies_at(call, effect);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let acknowledged = Mutex::new(Vec::new());
    let machine = world.machine.clone();
    let killed = runtime.block_on(async {
        let work = async {
            let ledger = world.open().await.unwrap();
            for number in [call * 10, call * 10 + 1] {
                let appended = ledger.append(vec![job(number)]).await.unwrap();
                assert!(appended.is_in_all_required());
                world.remembered = Some(appended.standing.head);
                acknowledged.lock().push((appended.first, number));
            }
            let _ = ledger.catch_up().await.unwrap();
        };
        tokio::select! {
            () = work => false,
            () = machine.died() => true,
        }
    });
    drop(runtime); // The process is gone: its tasks end where they wait.
    world.machine.start();
    (acknowledged.into_inner(), killed)
}

fn check_after(world: &mut World, acknowledged: &[(u64, u64)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ledger = world.open().await.unwrap();
        let _ = ledger.append(vec![job(999_999)]).await.unwrap();
        let _ = ledger.catch_up().await.unwrap();
        let home = lines(&world.home).await.unwrap();
        for (n, number) in acknowledged {
            let id = Sha256Digest::of(&number.to_be_bytes()).to_hex();
            assert!(home[usize::try_from(*n).unwrap()].contains(&id), "acknowledged {number} is not entry {n}");
        }
        for store in [&world.home, &world.required, &world.lagging] {
            let report = verify_store(store, ledger.head()).await;
            assert!(report.is_good(), "{}: {report}", store.name());
            assert_eq!(lines(store).await.unwrap(), home);
        }
    });
}

#[test]
fn i1_i10_a_kill_at_any_call_to_a_store_leaves_a_ledger_that_goes_on() {
    for effect in [Effect::Before, Effect::After] {
        for begun in [false, true] {
            let mut call = 1;
            loop {
                let mut world = World::new();
                if begun {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async { drop(world.open().await.unwrap()) });
                }
                let (acknowledged, killed) = run_until_killed(&mut world, call, effect);
                check_after(&mut world, &acknowledged);
                if !killed {
                    break;
                }
                call += 1;
            }
            assert!(call > 20, "only {call} calls were made");
        }
    }
}
