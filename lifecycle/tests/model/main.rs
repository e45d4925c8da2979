//! The archive against a model of it: whatever happens to the machine, its disk and its stores, what was acknowledged comes
//! back byte for byte, and nothing else does (docs/FAULTS.md says what is compared and how to replay a seed).
//!
//! | file | answers |
//! |---|---|
//! | `model` | What was sent, acknowledged, lost to damage, and what must an answer be? |
//! | `world` | Data folder, disk, stores, clock; they outlive the processes that use them |
//! | `operation` | What may happen, and how likely is it? |
//! | `life` | The life of one process: operations one after the other, or several at once, until it ends or is killed |
//! | `damage` | A byte flipped at rest: what may be missing then? |
//! | `looking` | What does the archive answer, and is that what the model says? |
//! | `properties` | Random sequences; regressions that they found |
//! | `simulation` | The worker's jobs and many senders at once, repeatable from a seed |

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that goes wrong here should end")]

mod damage;
mod life;
mod looking;
mod model;
mod operation;
mod properties;
mod regressions;
mod simulation;
mod world;
