//! Tests of the archive as a whole: what was acknowledged stays and reads as it came, whatever fails in between.

mod catalog;
mod house;
mod lacking;
mod orphans;
mod restarts;
mod round_trip;
pub(super) mod samples;
mod sealing;
