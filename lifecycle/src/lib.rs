//! Jobs of the archive: what goes on by itself, slowly, resumably, and leaves a ledger entry.
