//! What went wrong with the worker's jobs, for `status`: a job that fails is tried again, and whoever looks should see that
//! it does.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Why the last run of each job ended badly, as long as none of it has ended well since. As many rows as there are jobs.
#[derive(Debug, Default)]
pub struct JobTrouble(Mutex<BTreeMap<&'static str, String>>);

impl JobTrouble {
    /// A run of a job ended: well, or with a reason that holds no patient data.
    pub fn ended(&self, job: &'static str, trouble: Option<String>) {
        let mut jobs = self.0.lock();
        match trouble {
            Some(why) => jobs.insert(job, why),
            None => jobs.remove(job),
        };
    }

    /// The jobs in trouble, with the reasons.
    #[must_use]
    pub fn now(&self) -> BTreeMap<&'static str, String> {
        self.0.lock().clone()
    }
}
