//! Programs of other people, which a desk may lack and which CI must have.

use std::process::{Command, Stdio};

/// Whether to go on with a test that needs `program`. If it is missing, the test says so and passes, unless the variable
/// `required_by` is `required`.
#[expect(clippy::print_stderr, reason = "who runs the test should know")]
pub(crate) fn is_here(program: &str, required_by: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let required = std::env::var_os(required_by).is_some_and(|value| value == "required");
    assert!(found || !required, "{program} is required here, by {required_by}");
    if !found {
        eprintln!("skipped: there is no {program}");
    }
    found
}
