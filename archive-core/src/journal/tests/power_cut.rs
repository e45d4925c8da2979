//! Random histories with power cuts: of what was not synced, any sector and any name may be lost.

use super::*;
use crate::testing::{DiskFault, FaultDisk};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Act {
    Put {
        length: usize,
    },
    PutMany {
        count: u64,
    },
    Duplicate {
        of: usize,
    },
    Release {
        of: usize,
    },
    Compact,
    /// The power goes at the n-th call from here on; each unsynced sector survives where the pattern has a one.
    Cut {
        after: u64,
        pattern: u64,
    },
    /// The process is killed at the n-th call: everything stays in the page cache, synced or not.
    Kill {
        after: u64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1_usize..30_000).prop_map(|length| Act::Put { length }),
        2 => (2_u64..6).prop_map(|count| Act::PutMany { count }),
        2 => any::<usize>().prop_map(|of| Act::Duplicate { of }),
        2 => any::<usize>().prop_map(|of| Act::Release { of }),
        1 => Just(Act::Compact),
        1 => (1_u64..30).prop_map(|after| Act::Kill { after }),
        3 => (1_u64..30, any::<u64>()).prop_map(|(after, pattern)| Act::Cut { after, pattern }),
    ]
}

/// What the sender knows: what was acknowledged, and not released.
#[derive(Default)]
struct Sender {
    acknowledged: BTreeMap<ReceiptNumber, JournalEntry>,
    released: BTreeMap<ReceiptNumber, JournalEntry>,
    seed: u64,
}

impl Sender {
    fn pick(&self, of: usize) -> Option<JournalEntry> {
        self.acknowledged.values().nth(of.checked_rem(self.acknowledged.len())?).cloned()
    }

    fn took(&mut self, entry: JournalEntry) {
        let number = entry.number();
        assert!(!self.released.contains_key(&number), "{number} was given twice");
        assert!(self.acknowledged.insert(number, entry).is_none(), "{number} was given twice");
    }

    async fn act(&mut self, journal: &Journal, act: &Act) {
        match act {
            Act::Put { length } => {
                self.seed += 1;
                if let Ok(entry) = put(journal, &content(self.seed, *length)).await {
                    self.took(entry);
                }
            }
            Act::PutMany { count } => {
                let contents: Vec<Vec<u8>> = (0..*count).map(|index| content(self.seed + index, 700)).collect();
                self.seed += count;
                for entry in futures::future::join_all(contents.iter().map(|bytes| put(journal, bytes))).await {
                    entry.into_iter().for_each(|entry| self.took(entry));
                }
            }
            Act::Duplicate { of } => {
                let Some(owner) = self.pick(*of) else { return };
                let Ok(bytes) = read_back(journal, owner.number()).await else { return };
                let leaning = PendingReceipt { shares: Some(owner.number()), ..pending(&bytes) };
                if let Ok(entry) = put_with(journal, &bytes, leaning).await {
                    self.took(entry);
                }
            }
            Act::Release { of } => {
                let Some(entry) = self.pick(*of) else { return };
                journal.release(&[entry.number()]).await;
                self.acknowledged.remove(&entry.number());
                self.released.insert(entry.number(), entry);
            }
            Act::Compact => drop(journal.compact().await),
            Act::Cut { .. } | Act::Kill { .. } => {}
        }
    }

    fn check(&self, recovered: &Recovered) {
        for entry in self.acknowledged.values() {
            // Whose content it leans on may have been released: then it has the content itself.
            let same = |found: &&JournalEntry| found.held == entry.held && found.facts == entry.facts;
            let found = recovered.entries.iter().find(same);
            assert!(found.is_some(), "{entry:?} was acknowledged: {recovered:?}");
        }
        assert!(recovered.lost.iter().all(|number| !self.acknowledged.contains_key(number)));
        let highest = self.acknowledged.keys().chain(self.released.keys()).max();
        assert!(highest.is_none_or(|highest| recovered.next_receipt > *highest));
    }
}

async fn history(mirrored: bool, acts: &[Act]) {
    let mut world = if mirrored { World::mirrored() } else { World::new() };
    world.options.compact_after = std::time::Duration::ZERO;
    let disk = FaultDisk::new();
    world.disk = disk.clone();
    let mut sender = Sender { seed: 1, ..Sender::default() };
    let (mut journal, _) = world.open();
    let mut cut = None;
    for (index, act) in acts.iter().chain([&Act::Cut { after: 1, pattern: 0x5A5A }]).enumerate() {
        if let Act::Cut { after, .. } | Act::Kill { after } = act {
            disk.fail(Some(DiskFault { at: *after, errno: rustix::io::Errno::IO, stays: true }));
            cut = match act {
                Act::Cut { pattern, .. } => Some(Some(*pattern)),
                _ => Some(None),
            };
        }
        sender.act(&journal, act).await;
        let over = cut.is_some() && (disk.fault_hit() || index == acts.len());
        if !over {
            continue;
        }
        journal.shut_down().await;
        if let Some(mut pattern) = cut.take().flatten() {
            disk.power_cut(|| {
                pattern = pattern.rotate_left(1);
                pattern & 1 == 1
            });
        }
        disk.fail(None);
        let (opened, recovered) = world.open();
        check_entries(&opened, &recovered).await;
        sender.check(&recovered);
        // What nobody was told of may have become durable; the sender learns of it as the archive does.
        for entry in recovered.entries {
            if !sender.released.contains_key(&entry.number()) {
                sender.acknowledged.insert(entry.number(), entry);
            }
        }
        let again: Vec<ReceiptNumber> = sender.released.keys().copied().collect();
        opened.release(&again).await;
        journal = opened;
    }
    journal.shut_down().await;
    disk.power_cut(|| false);
    sender.check(&world.look().await);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn i1_what_was_acknowledged_survives_every_power_cut(acts in proptest::collection::vec(act(), 1..24)) {
        tokio::runtime::Runtime::new().unwrap().block_on(history(false, &acts));
    }

    #[test]
    fn i1_what_was_acknowledged_survives_every_power_cut_with_a_mirror(acts in proptest::collection::vec(act(), 1..16)) {
        tokio::runtime::Runtime::new().unwrap().block_on(history(true, &acts));
    }
}
