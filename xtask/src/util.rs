//! What every verb needs: running programs, finding the workspace, printing tables.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};

/// A program that was started ended with this status, has said why, and ours is the same.
#[derive(Debug)]
pub(crate) struct Exit(pub(crate) i32);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ended with status {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// The error of a verb that ends with 1 for a finding only: whatever did not say how to
/// end says that the run itself is not valid, with 2.
pub(crate) fn or_invalid(error: Error) -> Error {
    match error.is::<Exit>() {
        true => error,
        false => Error::new(Exit(2)).context(format!("{error:#}")),
    }
}

/// The status to end with after `error`.
pub(crate) fn status_of(error: &Error) -> u8 {
    let status = error.downcast_ref::<Exit>();
    let status = status.and_then(|exit| u8::try_from(exit.0).ok());
    status.unwrap_or(1)
}

/// The folder of the workspace, wherever cargo was called.
pub(crate) fn workspace_root() -> PathBuf {
    // At run time, because a cached binary may outlive the checkout it was built in.
    let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest_dir
        .parent()
        .map_or_else(|| manifest_dir.clone(), Path::to_path_buf)
}

/// A call of cargo in the workspace, with the toolchain that runs us.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace_root());
    // Set by `cargo run` for us alone; they would describe xtask to what we build.
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs `command` with its output on ours.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs `command` and answers what it printed; its errors go to ours.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no text"))
}

/// Whether `command` can be started and succeeds; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// Where cargo puts what it builds, by its own word: the environment and its
/// configuration both have a say.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = output_of(&mut cargo([
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ]))?;
    json_string(&metadata, "target_directory")
        .map(PathBuf::from)
        .context("`cargo metadata` named no target directory")
}

/// The string value of the first `"key":"…"` in `json`.
fn json_string(json: &str, key: &str) -> Option<String> {
    let start = json.find(&format!("\"{key}\":\""))? + key.len() + 4;
    let mut value = String::new();
    let mut characters = json[start..].chars();
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

/// Asks `condition` until it answers something, or fails after `limit`.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = condition()? {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!("waited {} s for {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Rows in aligned columns; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths);
        let cells: Vec<_> = cells
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
        if number == 0 && rows.len() > 1 {
            let rules: Vec<_> = widths.iter().map(|&width| "-".repeat(width)).collect();
            text.push_str(&format!("  {}\n", rules.join("  ")));
        }
    }
    text
}

/// A folder for one test, removed at its end.
#[cfg(test)]
pub(crate) struct TestDir(PathBuf);

#[cfg(test)]
impl TestDir {
    /// A new folder that holds `files`, given with their contents.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);

        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("xtask-test-{}-{number}", std::process::id());
        let dir = Self(env::temp_dir().join(name));
        std::fs::create_dir_all(&dir.0).unwrap();
        for (path, text) in files {
            let path = dir.0.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_found_in_json_and_unescaped() {
        let json = r#"{"a":1,"target_directory":"C:\\x\\\"y\"","b":"c"}"#;

        assert_eq!(
            json_string(json, "target_directory").as_deref(),
            Some(r#"C:\x\"y""#)
        );
        assert_eq!(json_string(json, "absent"), None);
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let rows = [
            vec!["node".to_owned(), "role".to_owned()],
            vec!["1".to_owned(), "leader".to_owned()],
        ];

        assert_eq!(
            table(&rows),
            "  node  role\n  ----  ------\n  1     leader\n"
        );
    }

    #[test]
    fn waiting_ends_with_what_was_waited_for() {
        let error = wait_for::<()>("a miracle", Duration::ZERO, || Ok(None)).unwrap_err();

        assert_eq!(error.to_string(), "waited 0 s for a miracle");
    }

    #[test]
    fn what_found_nothing_out_ends_with_2_and_a_finding_with_1() {
        let finding = || Error::new(Exit(1)).context("the simulation");
        let failed = run(Command::new("sh").args(["-c", "exit 101"])).unwrap_err();

        assert_eq!(status_of(&or_invalid(finding())), 1);
        assert_eq!(status_of(&failed), 1);
        let invalid = or_invalid(failed);
        assert_eq!(status_of(&invalid), 2);
        assert!(format!("{invalid:#}").starts_with("`sh -c exit 101` ended with"));
    }

    #[test]
    fn a_program_that_fails_is_named_with_its_arguments() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();

        assert!(error.to_string().starts_with("`sh -c exit 3` ended with"));
    }
}
