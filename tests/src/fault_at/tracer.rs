//! The loop that stops the program at calls and lets it go on.
//!
//! It talks in lines of JSON. It reads plans; for each it answers `{"armed": null}` when it is in force. It says
//! `{"hit": {"n": …, "call": …, "place": …}}` when a plan's call is reached, and `{"ended": {…}}` when the program has ended.
//! The line `"list"` is answered with the calls since the last plan; when its input ends, the program is killed.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::calls::{self, site};
use super::filter;
use super::plan::{Plan, Site, What};

/// No list is longer than this.
const LISTED_MAX: usize = 100_000;

/// What both sides look at.
struct Orders {
    plan: Plan,
    counted: u64,
    list: Vec<Site>,
    is_held: bool,
}

struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(&self, plan: Plan) {
        let mut orders = self.lock();
        *orders = Orders { plan, counted: 0, list: Vec::new(), is_held: false };
        drop(orders);
        self.changed.notify_all();
    }
}

fn say(line: &Value) {
    let mut out = io::stdout().lock();
    // Whoever started this may be gone: then its input ends as well.
    let _nobody = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// What the tracer starts in its own child: waits to be traced, then becomes the program.
///
/// # Errors
/// What the system says; it does not come back otherwise.
pub fn traced(program: &[OsString]) -> io::Result<()> {
    let (name, arguments) = program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    ptrace::traceme()?;
    raise(Signal::SIGSTOP)?;
    filter::apply()?;
    Err(Command::new(name).args(arguments).exec())
}

/// Runs a program until it ends; `below` is the folder that places are named from.
///
/// # Errors
/// What the system says.
pub fn run(program: &[OsString], below: PathBuf, plan: Plan) -> io::Result<()> {
    let mut child = Command::new(std::env::current_exe()?);
    let child = child.arg("traced").arg("--").args(program).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let main = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    waitpid(main, Some(WaitPidFlag::__WALL))?;
    let options = Options::PTRACE_O_EXITKILL
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACESECCOMP;
    ptrace::setoptions(main, options)?;
    let orders = Orders { plan, counted: 0, list: Vec::new(), is_held: false };
    let shared = Arc::new(Shared { orders: Mutex::new(orders), changed: Condvar::new() });
    let listening = Arc::clone(&shared);
    std::thread::spawn(move || listen(&listening, main));
    ptrace::cont(main, None)?;
    let mut tracer = Tracer { shared, main, below, known: HashSet::from([main]) };
    let how = tracer.until_it_ends()?;
    let counted = tracer.shared.lock().counted;
    say(&json!({"ended": {"counted": counted, "how": how}}));
    Ok(())
}

/// Takes orders, and kills the program when there will be no more.
fn listen(shared: &Shared, main: Pid) {
    for line in io::stdin().lines().map_while(Result::ok) {
        if line == "\"list\"" {
            let list = shared.lock().list.clone();
            say(&json!({ "list": list }));
        } else if line == "\"end\"" {
            // May have ended already.
            let _ended = kill(main, Signal::SIGTERM);
            say(&json!({"armed": null}));
        } else {
            match serde_json::from_str(&line) {
                Ok(plan) => {
                    shared.arm(plan);
                    say(&json!({"armed": null}));
                }
                Err(error) => say(&json!({"error": error.to_string()})),
            }
        }
    }
    let _ended = kill(main, Signal::SIGKILL);
    shared.arm(Plan::list());
}

struct Tracer {
    shared: Arc<Shared>,
    main: Pid,
    below: PathBuf,
    known: HashSet<Pid>,
}

impl Tracer {
    fn until_it_ends(&mut self) -> io::Result<String> {
        loop {
            let status = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::__WALL)) {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            match status {
                WaitStatus::Exited(thread, code) if thread == self.main => return Ok(format!("exit code {code}")),
                WaitStatus::Signaled(thread, signal, _) if thread == self.main => return Ok(signal.to_string()),
                WaitStatus::PtraceEvent(thread, _, event) => self.event(thread, event),
                WaitStatus::PtraceSyscall(_) => self.kill(),
                WaitStatus::Stopped(thread, Signal::SIGSTOP) if self.known.insert(thread) => go_on(thread, None),
                WaitStatus::Stopped(thread, Signal::SIGTRAP) => go_on(thread, None),
                WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal)),
                _ => {}
            }
        }
    }

    fn event(&self, thread: Pid, event: i32) {
        if event == nix::libc::PTRACE_EVENT_SECCOMP {
            // The thread may be killed at any moment, and then nothing of it can be read.
            if self.at_call(thread).is_err() {
                go_on(thread, None);
            }
        } else {
            go_on(thread, None);
        }
    }

    fn kill(&self) {
        let _ended = kill(self.main, Signal::SIGKILL);
    }

    fn at_call(&self, thread: Pid) -> nix::Result<()> {
        let mut registers = ptrace::getregs(thread)?;
        let number = i64::try_from(registers.orig_rax).map_err(|_| Errno::EINVAL)?;
        let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
        let Some(site) = site(thread, number, arguments, &self.below) else {
            go_on(thread, None);
            return Ok(());
        };
        let mut what = self.count(&site);
        while what == What::Hold {
            self.wait_for_orders();
            // The plan that ends a hold is for this very call too.
            let orders = self.shared.lock();
            what = if orders.plan.what == What::Kill { What::Kill } else { What::List };
        }
        match what {
            What::Kill => self.kill(),
            What::Tear if calls::writes_length(number) && registers.rdx > 1 => {
                registers.rdx /= 2;
                ptrace::setregs(thread, registers)?;
                // Stops again when the call has been made.
                ptrace::syscall(thread, None)?;
            }
            What::Tear => self.kill(),
            What::Fail(error) => {
                // seccomp(2): a call that the tracer gives the number -1 is not made.
                registers.orig_rax = u64::MAX;
                registers.rax = i64::from(-error).cast_unsigned();
                ptrace::setregs(thread, registers)?;
                go_on(thread, None);
            }
            What::List | What::Hold => go_on(thread, None),
        }
        Ok(())
    }

    /// Counts a call; gives what is to happen at it.
    fn count(&self, site: &Site) -> What {
        let mut orders = self.shared.lock();
        if orders.plan.what == What::List && orders.list.len() < LISTED_MAX {
            orders.list.push(site.clone());
        }
        if !orders.plan.matches(site) {
            return What::List;
        }
        orders.counted += 1;
        if orders.counted < orders.plan.first || orders.counted > orders.plan.last {
            return What::List;
        }
        let (what, n) = (orders.plan.what, orders.counted);
        orders.is_held = what == What::Hold;
        drop(orders);
        say(&json!({"hit": {"n": n, "call": site.call, "place": site.place}}));
        what
    }

    fn wait_for_orders(&self) {
        let mut orders = self.shared.lock();
        while orders.is_held {
            orders = self.shared.changed.wait(orders).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A thread that is gone needs nothing more.
fn go_on(thread: Pid, signal: Option<Signal>) {
    let _gone = ptrace::cont(thread, signal);
}
