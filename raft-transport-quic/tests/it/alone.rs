//! Tests that measure something of their whole process.

use std::process::Command;

/// Runs a test again, in a process of its own, and answers whether this is it;
/// the first one has nothing more to do.
pub(crate) fn is_alone(test: &str) -> bool {
    const MARK: &str = "RAFT_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{errors}");
    assert!(text.contains("1 passed"), "{text}");
    false
}
