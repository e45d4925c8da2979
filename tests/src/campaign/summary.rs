//! What was done, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::crashes::{Verdict, Yard};
use crate::fault_at::Site;

/// Counts of a part, or of all.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Crashes by what the archive was doing.
    pub crashes: BTreeMap<String, u64>,
    /// Faults by their class.
    pub faults: BTreeMap<String, u64>,
    /// The different calls at which something happened, by what the archive was doing.
    pub sites: BTreeSet<(String, Site)>,
    /// Flipped bytes by the kind of file.
    pub flips: BTreeMap<String, u64>,
    /// Instances that were acknowledged, and later looked for.
    pub acknowledged: u64,
    /// Of these, those that were not there.
    pub lost: u64,
    /// Files or answers that were other than what was sent.
    pub wrong: u64,
    /// What else did not hold, in words.
    pub broken: Vec<String>,
}

impl Summary {
    /// One crash.
    pub fn crash(&mut self, phase: &str, class: &str, site: Option<Site>) {
        *self.crashes.entry(phase.to_owned()).or_default() += 1;
        *self.faults.entry(class.to_owned()).or_default() += 1;
        self.sites.extend(site.map(|site| (phase.to_owned(), site)));
    }

    /// One flip.
    pub fn flip(&mut self, kind: &str) {
        *self.flips.entry(kind.to_owned()).or_default() += 1;
    }

    /// What came back of an archive.
    pub fn found(&mut self, verdict: &Verdict) {
        self.lost += verdict.lost.len() as u64;
        self.wrong += verdict.wrong.len() as u64;
        if verdict.doubled > 0 {
            self.broken.push(format!("{} came back more than once", verdict.doubled));
        }
    }

    /// What was acknowledged by an archive that is left.
    pub fn left(&mut self, yard: &Yard) {
        self.acknowledged += yard.tally().acknowledged.len() as u64;
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        for (to, from) in
            [(&mut self.crashes, other.crashes), (&mut self.faults, other.faults), (&mut self.flips, other.flips)]
        {
            for (name, count) in from {
                *to.entry(name).or_default() += count;
            }
        }
        self.sites.extend(other.sites);
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.broken.extend(other.broken);
    }

    /// All crashes.
    #[must_use]
    pub fn crash_count(&self) -> u64 {
        self.crashes.values().sum()
    }

    /// All flips.
    #[must_use]
    pub fn flip_count(&self) -> u64 {
        self.flips.values().sum()
    }

    /// Nothing was lost, nothing was wrong, and everything else held.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.wrong == 0 && self.broken.is_empty()
    }

    /// In one line.
    #[must_use]
    pub fn in_short(&self) -> String {
        let mut words = Vec::new();
        if !self.crashes.is_empty() {
            words.push(format!("{} crashes at {} different calls", self.crash_count(), self.sites.len()));
        }
        if self.flip_count() > 0 {
            words.push(format!("{} flips", self.flip_count()));
        }
        if self.crashes.is_empty() {
            words.push(format!("{} wrong", self.wrong));
        } else {
            words.push(format!("{} acknowledged, {} lost, {} wrong", self.acknowledged, self.lost, self.wrong));
        }
        words.join("; ")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |counts: &BTreeMap<String, u64>| {
            let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
            counts.collect::<Vec<_>>().join(", ")
        };
        writeln!(to, "crashes                 {}", self.crash_count())?;
        writeln!(to, "  while                 {}", counts(&self.crashes))?;
        writeln!(to, "  at different calls    {}", self.sites.len())?;
        writeln!(to, "faults                  {}", counts(&self.faults))?;
        writeln!(to, "flips                   {}", self.flip_count())?;
        writeln!(to, "  in                    {}", counts(&self.flips))?;
        writeln!(to, "instances acknowledged  {}", self.acknowledged)?;
        writeln!(to, "lost                    {}", self.lost)?;
        writeln!(to, "wrong bytes served      {}", self.wrong)?;
        write!(to, "anything else broken    {}", self.broken.len())?;
        for broken in &self.broken {
            write!(to, "\n  {broken}")?;
        }
        Ok(())
    }
}
