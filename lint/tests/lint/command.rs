//! `tidegate-lint` as people and programs run it.

use std::process::{Command, Output};

use crate::Folder;

fn run(folder: &Folder, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate-lint")).args(args).current_dir(&folder.0).output().expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn exit_codes_tell_clean_from_found_from_wrong() {
    let folder = Folder::with(&[
        ("a.py", "import tidegate\ntidegate.key('user', 1)\n"),
        ("b.py", "import tidegate\ntidegate.key('user')\n"),
    ]);
    let output = run(&folder, &["a.py"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "1 file: every key is right\n"));
    let output = run(&folder, &[]);
    let said = "b.py:2:1: TG002 a key of one part is flat: it needs at least two segments\n    \
                help: a right example: key(\"user\", \"profile\", user_id)\n2 files: 1 finding\n";
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), said));
    for (args, said) in [
        (["--pattern", "("], "error: --pattern=\"(\" is no regular expression"),
        (["--select", "TG1"], "error: --select=\"TG1\" is no code"),
        (["--format", "xml"], "invalid value 'xml'"),
        (["nowhere", "a.py"], "error: nowhere is no file and no folder"),
        (["--selct", "TG001"], "similar argument exists: '--select'"),
    ] {
        let output = run(&folder, &args);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}

#[test]
fn json_is_for_programs() {
    let folder = Folder::with(&[("a.py", "import tidegate\ntidegate.key('user')\n")]);
    let output = run(&folder, &["--json", "."]);
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(read["files"], 1);
    let one = &read["findings"][0];
    assert_eq!(
        (one["path"].as_str(), one["code"].as_str(), one["line"].as_u64(), one["column"].as_u64()),
        (Some("a.py"), Some("TG002"), Some(2), Some(1))
    );
    assert_eq!(
        (one["end_line"].as_u64(), one["end_column"].as_u64(), one["title"].as_str()),
        (Some(2), Some(21), Some("a key of one segment"))
    );
    assert_eq!(run(&folder, &["--format", "json"]).stdout, output.stdout);
}

#[test]
fn annotations_are_escaped_as_github_reads_them() {
    let folder = Folder::with(&[("a,b:c.py", "import tidegate\ntidegate.CacheManager().get('100%zz')\n")]);
    let output = run(&folder, &["--format", "github"]);
    let said = "::error file=a%2Cb%3Ac.py,line=2,endLine=2,col=29,endColumn=37,title=TG004 a character that no key holds::\
                key \"100%25zz\" has a %25 at byte 3 that is no escape (%25XX, two upper-case hexadecimal digits)%0A";
    assert!(text(&output.stdout).starts_with(said), "{}", text(&output.stdout));
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

#[test]
fn no_source_writes_to_a_terminal_what_it_would_act_on() {
    let folder = Folder::with(&[(
        "a.py",
        "import tidegate\ntidegate.CacheManager().get('user:\\x1b[31m\\x07')\ntidegate.key('user', \x1b[31m)\n",
    )]);
    let output = run(&folder, &[]);
    assert!(!text(&output.stdout).contains('\x1b'), "{:?}", text(&output.stdout));
    assert_eq!(output.status.code(), Some(1));
}
