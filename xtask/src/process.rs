//! Children that end with us: every process we start is in a guard, and SIGINT and SIGTERM end the guards in order.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

static STOP: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
const BEAT: Duration = Duration::from_millis(20);

/// From here on SIGINT, SIGTERM and SIGHUP set a flag instead of ending us; whoever waits looks at it and unwinds through its guards.
pub(crate) fn catch_signals() -> Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&STOP)).context("could not register a signal handler")?;
    }
    Ok(())
}

/// Whether somebody asked us to stop.
pub(crate) fn interrupted() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Sleeps, but not longer than until somebody asks us to stop.
pub(crate) fn pause(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while !interrupted() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(BEAT));
    }
    bail!("interrupted")
}

/// A child and everything it starts. Dropping it stops them: first politely, after five seconds with SIGKILL.
#[derive(Debug)]
pub(crate) struct Guarded {
    child: Child,
    pid: Pid,
    /// The child leads a process group of its own, so its own children can be reached too.
    leads: bool,
    polite: Signal,
    done: bool,
}

impl Guarded {
    /// Starts a command in a process group of its own.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        command.process_group(0);
        Self::start(command, true)
    }

    /// Starts a command in our own process group, so that it may read from the terminal.
    pub(crate) fn spawn_on_terminal(command: &mut Command) -> Result<Self> {
        Self::start(command, false)
    }

    fn start(command: &mut Command, leads: bool) -> Result<Self> {
        if interrupted() {
            bail!("interrupted");
        }
        let child = command.spawn().with_context(|| format!("could not start `{}`", shown(command)))?;
        let pid = Pid::from_child(&child);
        Ok(Self { child, pid, leads, polite: Signal::TERM, done: false })
    }

    /// The signal that asks this program to end; SIGTERM unless said otherwise.
    pub(crate) fn stopped_by(mut self, signal: Signal) -> Self {
        self.polite = signal;
        self
    }

    /// Waits for the end, or stops the child if somebody asks us to stop.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        loop {
            if interrupted() {
                self.stop();
                bail!("interrupted");
            }
            if self.ended()? {
                return self.reap();
            }
            sleep(BEAT);
        }
    }

    /// Waits at most this long; `None` when it still runs.
    pub(crate) fn wait_for(&mut self, time: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + time;
        loop {
            if self.ended()? {
                return self.reap().map(Some);
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            sleep(BEAT);
        }
    }

    /// Whether it has ended. Does not reap it, so its process id cannot be given to a stranger meanwhile.
    pub(crate) fn ended(&self) -> Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(self.done || waitid(WaitId::Pid(self.pid), options)?.is_some())
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the child alone.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        if !self.done {
            kill_process(self.pid, signal)?;
        }
        Ok(())
    }

    /// Ends the child with SIGKILL, at once.
    pub(crate) fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.reap()
    }

    fn stop(&mut self) {
        if self.done {
            return;
        }
        // A failure to signal means that it is gone already.
        let _ =
            if self.leads { kill_process_group(self.pid, self.polite) } else { kill_process(self.pid, self.polite) };
        if !matches!(self.wait_for(Duration::from_secs(5)), Ok(Some(_))) {
            let _ = kill_process(self.pid, Signal::KILL);
            let _ = self.reap();
        }
    }

    /// INVARIANT: the only place that reaps. What the child left behind in its group ends before its process id is free again.
    fn reap(&mut self) -> Result<ExitStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        if !self.done {
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(self.pid), options) {}
            if self.leads {
                let _ = kill_process_group(self.pid, Signal::KILL);
            }
        }
        self.done = true;
        Ok(self.child.wait()?)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a command to its end; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = Guarded::spawn(command.stdin(Stdio::null()))?.wait()?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a short command and returns what it printed; an exit code other than 0 is an error that carries its stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("could not start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}: {}", shown(command), String::from_utf8_lossy(&stderr).trim());
    }
    String::from_utf8(stdout).with_context(|| format!("`{}` printed something that is not UTF-8", shown(command)))
}

/// Whether a short command succeeds; its output goes nowhere.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one would type it, without its environment.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    command.get_args().fold(program, |line, arg| line + " " + &arg.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn lives(pid: &str) -> bool {
        // A zombie that nobody reaps is dead for us.
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn first_line(guarded: &mut Guarded) -> String {
        use std::io::BufRead as _;
        let mut line = String::new();
        std::io::BufReader::new(guarded.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    #[test]
    fn dropping_a_guard_ends_grandchildren() {
        let mut guarded = Guarded::spawn(&mut sh("sleep 300 & echo $!; wait")).unwrap();
        let grandchild = first_line(&mut guarded);
        assert!(lives(&grandchild));
        drop(guarded);
        sleep(Duration::from_millis(100));
        assert!(!lives(&grandchild));
    }

    #[test]
    fn what_a_finished_child_left_behind_ends_too() {
        let mut guarded = Guarded::spawn(&mut sh("sleep 300 >/dev/null & echo $!")).unwrap();
        let grandchild = first_line(&mut guarded);
        assert!(guarded.wait().unwrap().success());
        sleep(Duration::from_millis(100));
        assert!(!lives(&grandchild));
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed() {
        let mut guarded = Guarded::spawn(&mut sh("trap '' TERM; echo $$; while :; do sleep 0.1; done")).unwrap();
        let child = first_line(&mut guarded);
        drop(guarded);
        assert!(!lives(&child));
    }

    #[test]
    fn a_failing_command_is_an_error_with_its_stderr() {
        let error = output(&mut sh("echo oops >&2; exit 3")).unwrap_err().to_string();
        assert!(error.contains("oops") && error.contains('3'), "{error}");
    }
}
