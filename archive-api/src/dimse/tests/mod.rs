//! The door against peers: ours that misbehave on purpose, and foreign ones that do not.

mod fake;
mod hostile;
mod peer;
mod promises;
mod real_peers;
mod server;
mod timing;
