//! Sources whose comments say what is found on their line: `-> TG002 TG005`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_lint::LintArgs;
use tidegate_lint::code::Code;

use crate::{Folder, lint, short};

fn projects() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects")
}

fn expected(folder: &Path) -> Vec<String> {
    let mut expected = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        for (at, line) in text.lines().enumerate() {
            let Some((_, codes)) = line.split_once("-> TG") else { continue };
            expected.extend(format!("TG{codes}").split_whitespace().map(|code| format!("{name}:{} {code}", at + 1)));
        }
    }
    expected.sort();
    expected
}

#[test]
fn what_comments_expect_is_found_and_nothing_else() {
    let mut codes = BTreeSet::new();
    for project in ["python", "javascript"] {
        let folder = projects().join(project);
        let found = lint(&folder, LintArgs::default()).expect("right settings");
        codes.extend(found.iter().map(|one| one.code));
        let (mut found, expected) = (short(&folder, &found), expected(&folder));
        found.sort();
        let missing: Vec<_> = expected.iter().filter(|one| !found.contains(one)).collect();
        let more: Vec<_> = found.iter().filter(|one| !expected.contains(one)).collect();
        assert_eq!(
            (&found, &missing, &more),
            (&expected, &Vec::new(), &Vec::new()),
            "{project}: missing, and too many"
        );
        assert!(expected.len() > 50, "{project}: {expected:?}");
    }
    // The rest have tests of their own.
    let elsewhere = [Code::Unparsed, Code::OffPattern, Code::UnusedIgnore];
    let missing: Vec<_> =
        Code::ALL.iter().filter(|code| !codes.contains(code.text()) && !elsewhere.contains(code)).collect();
    assert_eq!(missing, Vec::<&Code>::new());
}

#[test]
fn the_docs_have_a_part_on_each_code_and_on_no_other() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lint.md")).expect("the docs");
    let parts: Vec<_> = docs.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let wanted: Vec<_> = Code::ALL.iter().map(|code| format!("{code}: {}", code.title())).collect();
    assert_eq!(parts, wanted);
}

#[test]
fn the_example_of_the_page_is_what_is_found() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lint.md")).expect("the docs");
    let blocks: Vec<_> =
        docs.split("```text\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect();
    let folder = Folder::with(&[("shop.py", blocks[0])]);
    let ran = Command::new(env!("CARGO_BIN_EXE_tidegate-lint"))
        .arg("shop.py")
        .current_dir(&folder.0)
        .output()
        .expect("it runs");
    let shown = blocks[1].strip_prefix("$ tidegate lint shop.py\n").expect("the command");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), shown);
}
