//! The real program is killed at every step, and nothing acknowledged is lost (promise I1): see `system_tests::crashes`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use system_tests::crashes::{Phase, Yard};
use system_tests::fault_at::{Plan, Site, What};
use system_tests::generate::{Generator, Numbers};
use system_tests::traced::can_trace;
use system_tests::vellum::DataFolder;

#[test]
fn list() {
    if !can_trace() {
        return;
    }
    let mut make = Generator::new(Numbers::announced("list"));
    for phase in Phase::ALL {
        let mut yard = Yard::of(DataFolder::fresh(), phase);
        let crash = yard.round(&mut make, &Plan::list(), || {});
        let mut sites: BTreeMap<Site, usize> = BTreeMap::new();
        for site in &crash.calls {
            *sites.entry(site.clone()).or_default() += 1;
        }
        eprintln!("{phase}: {} calls, {} sites", crash.calls.len(), sites.len());
        for (site, count) in sites {
            eprintln!("    {count} {site}");
        }
        assert!(yard.end(&mut make).is_good());
    }
    let _ = What::Kill;
}
