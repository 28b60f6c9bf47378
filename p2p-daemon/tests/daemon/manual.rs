//! What a package has beside the program.

use std::process::Command;

use crate::process::run;

#[test]
fn there_are_completions_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, _) = run(&["completions", shell], &[]);
        assert_eq!(code, Some(0));
        assert!(script.contains("share") && script.contains("admin"), "{shell}: {script}");
    }
    let (code, _, stderr) = run(&["completions", "tcsh"], &[]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("'tcsh'") && stderr.contains("bash"), "{stderr}");
}

// The script is a program of its own: what bash does not parse completes nothing.
#[cfg(unix)]
#[test]
fn bash_completes_a_command() {
    let complete = r#"source <("$0" completions bash); COMP_WORDS=(p2pd conn); COMP_CWORD=1; _p2pd p2pd conn p2pd; echo "${COMPREPLY[@]}""#;
    let output = Command::new("bash").args(["-c", complete, env!("CARGO_BIN_EXE_p2pd")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "connect", "{output:?}");
}

#[test]
fn there_is_a_manual_page_of_each_command() {
    let (code, page, _) = run(&["man"], &[]);
    assert_eq!(code, Some(0));
    assert!(page.contains(".TH p2pd 1") && page.contains("P2P_RELAY_SERVERS"), "{page}");

    let folder = tempfile::tempdir().unwrap();
    let (code, ..) = run(&["man", "--folder", folder.path().to_str().unwrap()], &[]);
    assert_eq!(code, Some(0));
    for page in ["p2pd.1", "p2pd-share.1", "p2pd-connect.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
}
