//! What the operating system (Linux, `proc(5)`) says that a process used.

use serde_json::{Value, json};

/// Clock ticks a second in `/proc/*/stat`; Linux shows 100 to every program.
const TICKS: f64 = 100.0;

/// What a process used until now.
#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    cpu_ticks: u64,
    written: u64,
    read: u64,
}

impl Usage {
    /// Of a process, by its id; nothing where there is none, or where it may not be looked at.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let file = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = file("stat");
        // The name of the program stands in parentheses and may hold anything; user and system time are fields 14, 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let io = file("io");
        Self { cpu_ticks: ticks(14) + ticks(15), written: field(&io, "write_bytes"), read: field(&io, "read_bytes") }
    }

    /// What was used since an earlier look, and the highest resident memory since [`forget_peak`].
    #[must_use]
    pub fn since(self, earlier: Self, pid: u32) -> Value {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "seconds of processor time")]
        let cpu = (self.cpu_ticks - earlier.cpu_ticks) as f64 / TICKS;
        json!({
            "cpu_s": cpu,
            "peak_rss_mib": field(&status, "VmHWM") / 1024,
            "disk_written": self.written - earlier.written,
            "disk_read": self.read - earlier.read,
        })
    }
}

/// Lets the highest resident memory of a process begin anew (`proc_pid_clear_refs(5)`), where that is allowed.
pub fn forget_peak(pid: u32) {
    let _not_allowed = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
