//! One node's process: started, signalled, and found again by a later call.
//!
//! Its number stands in a file, and counts only while the process with that
//! number is a server started from the same configuration: numbers are reused.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::util;

/// How long a node may take to stop when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The process of one node, running or not.
pub(super) struct Process {
    folder: PathBuf,
    /// There if we started it.
    child: Option<Child>,
}

impl Process {
    /// The process of the node whose files are in `folder`.
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            child: None,
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.join("node.toml")
    }

    /// Starts it. A process that is not detached ends with us, however we end.
    pub(super) fn start(&mut self, server: &Path, detached: bool) -> Result<()> {
        if self.is_running() {
            bail!("{} is in use by a running node", self.folder.display());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))?;
        let mut command = Command::new(server);
        command.arg("server").arg("--config").arg(self.config());
        command.stdout(Stdio::null()).stderr(log);
        if detached {
            command.stdin(Stdio::null());
            #[cfg(unix)]
            std::os::unix::process::CommandExt::process_group(&mut command, 0);
        } else {
            command.stdin(Stdio::piped()).arg("--stop-with-stdin");
        }
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", server.display()))?;
        fs::write(self.folder.join("pid"), child.id().to_string())?;
        self.child = Some(child);
        Ok(())
    }

    /// Whether it runs, whoever started it.
    pub(super) fn is_running(&mut self) -> bool {
        match &mut self.child {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => self.pid().is_some(),
        }
    }

    /// The number of the running process.
    fn pid(&self) -> Option<u32> {
        if let Some(child) = &self.child {
            return Some(child.id());
        }
        let text = fs::read_to_string(self.folder.join("pid")).ok()?;
        let pid = text.trim().parse().ok()?;
        let config = self.config();
        command_line(pid)?
            .contains(&*config.to_string_lossy())
            .then_some(pid)
    }

    /// Fails if a process that we started ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else {
            return Ok(());
        };
        let Some(status) = child.try_wait()? else {
            return Ok(());
        };
        let log = self.folder.join("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let last = text.lines().last().unwrap_or("(empty)");
        bail!(
            "a node ended with {status}; its log {} ends: {last}",
            log.display()
        );
    }

    /// Sends it a signal.
    pub(super) fn signal(&mut self, signal: &str) -> Result<()> {
        let Some(pid) = self.pid() else {
            bail!("the node of {} does not run", self.folder.display());
        };
        // The shell's own `kill`: a small system has no other.
        let mut command = Command::new("sh");
        util::run(command.args(["-c", &format!("kill -{signal} {pid}")]))
    }

    /// Kills it, and returns when it is dead.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.signal("KILL")?;
        self.wait_for_end()
    }

    /// Asks it to stop, and returns when it has; nothing happens if it does not run.
    pub(super) fn terminate(&mut self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        // A frozen process would not hear the request.
        self.signal("CONT")?;
        self.signal("TERM")?;
        if self.wait_for_end().is_err() {
            println!(
                "the node of {} does not stop, it is killed",
                self.folder.display()
            );
            self.kill()?;
        }
        Ok(())
    }

    /// Waits until it has ended by itself; answers the end of its log.
    pub(super) fn ended_by_itself(&mut self, limit: Duration) -> Result<String> {
        util::wait_for("the node to end by itself", limit, || {
            Ok((!self.is_running()).then_some(()))
        })?;
        self.child = None;
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Ok(text.lines().last().unwrap_or("(empty)").to_owned())
    }

    fn wait_for_end(&mut self) -> Result<()> {
        util::wait_for("the node to end", STOP_LIMIT, || {
            Ok((!self.is_running()).then_some(()))
        })?;
        self.child = None;
        // Gone already, when a node is told to end twice.
        let _ = fs::remove_file(self.folder.join("pid"));
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is not detached holds the other end of this pipe and stops with it.
        let is_ours = self
            .child
            .as_ref()
            .is_some_and(|child| child.stdin.is_some());
        if is_ours {
            // Nothing can be done about a failure any more.
            let _ = self.terminate();
        }
    }
}

/// The arguments of a process; nothing if there is none with that number.
fn command_line(pid: u32) -> Option<String> {
    if let Ok(bytes) = fs::read(format!("/proc/{pid}/cmdline")) {
        // A dead child that nobody has waited for has no arguments.
        return (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let mut command = Command::new("ps");
    let output = command
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::TestDir;

    /// A stand-in that takes the server's arguments and waits to be ended.
    const PATIENT: &str = "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.01; done\n";

    fn server(dir: &TestDir) -> PathBuf {
        let path = dir.path().join("server");
        let mut command = Command::new("chmod");
        util::run(command.arg("+x").arg(&path)).unwrap();
        path
    }

    #[test]
    fn a_process_is_found_again_by_its_file_and_killed() {
        let dir = TestDir::with(&[("server", PATIENT), ("node/node.toml", "")]);
        let folder = dir.path().join("node");
        let mut started = Process::new(folder.clone());
        started.start(&server(&dir), true).unwrap();

        let mut found = Process::new(folder);
        // A process shows its arguments a moment after it has been started.
        util::wait_for("the process", STOP_LIMIT, || {
            Ok(found.is_running().then_some(()))
        })
        .unwrap();
        let again = found.start(&server(&dir), true).unwrap_err();
        assert!(again.to_string().contains("in use by a running node"));

        started.kill().unwrap();
        assert!(!found.is_running());
        assert!(
            found
                .signal("CONT")
                .unwrap_err()
                .to_string()
                .contains("does not run")
        );
    }

    #[test]
    fn a_number_that_another_process_has_does_not_count() {
        let own = std::process::id().to_string();
        let dir = TestDir::with(&[("node/pid", &own), ("node/node.toml", "")]);

        assert!(!Process::new(dir.path().join("node")).is_running());
    }

    #[test]
    fn a_node_that_ended_by_itself_is_reported_with_the_end_of_its_log() {
        let script = "#!/bin/sh\necho the disk is gone >&2\nexit 3\n";
        let dir = TestDir::with(&[("server", script), ("node/node.toml", "")]);
        let mut process = Process::new(dir.path().join("node"));
        process.start(&server(&dir), false).unwrap();

        let error = util::wait_for("the end", Duration::from_secs(10), || {
            Ok(process.check_alive().err())
        });

        assert!(error.unwrap().to_string().ends_with("the disk is gone"));
    }
}
