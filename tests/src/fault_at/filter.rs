//! The filter (seccomp(2)) that stops a program at the calls of [`CALLS`] and at no others.

use std::collections::BTreeMap;
use std::io;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::calls::CALLS;

/// From now on this thread, and what it becomes, stops at these calls for its tracer.
pub(super) fn apply() -> io::Result<()> {
    let mut rules = BTreeMap::new();
    for (number, _, _) in CALLS {
        let conditions = match *number {
            libc::SYS_open => vec![creating(1)?],
            libc::SYS_openat => vec![creating(2)?],
            _ => Vec::new(),
        };
        rules.insert(*number, conditions);
    }
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(io::Error::other)?;
    apply_filter(&program).map_err(io::Error::other)
}

/// The flags in this argument allow that a file is created.
fn creating(argument: u8) -> io::Result<SeccompRule> {
    let create = u64::try_from(libc::O_CREAT).map_err(io::Error::other)?;
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(create), create);
    condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(io::Error::other)
}
