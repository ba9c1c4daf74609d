//! Sources that no one would write.

use proptest::prelude::*;

use crate::{Folder, short};

const DEPTH: usize = 100_000;

#[test]
fn sources_that_nest_without_end_neither_crash_nor_overflow_the_stack() {
    let deep = |open: &str, middle: &str, close: &str| {
        format!(
            "from tidegate import CacheManager\ncache = CacheManager()\nx = {}{middle}{}\n",
            open.repeat(DEPTH),
            close.repeat(DEPTH)
        )
    };
    let script = |open: &str, middle: &str, close: &str| {
        format!(
            "import {{ CacheManager }} from 'tidegate';\nconst cache = new CacheManager();\nx = {}{middle}{};\n",
            open.repeat(DEPTH),
            close.repeat(DEPTH)
        )
    };
    let folder = Folder::new();
    for (at, (open, middle, close)) in
        [("(", "1", ")"), ("[", "", "]"), ("lambda: ", "1", ""), ("'a' + ", "'b'", ""), ("[", "", "")]
            .iter()
            .enumerate()
    {
        folder.write(&format!("{at}.py"), deep(open, middle, close).as_bytes());
    }
    for (at, (open, middle, close)) in
        [("(", "1", ")"), ("[", "", "]"), ("() => ", "1", ""), ("'a' + ", "'b'", ""), ("`${", "", "}`")]
            .iter()
            .enumerate()
    {
        folder.write(&format!("{at}.ts"), script(open, middle, close).as_bytes());
    }
    let calls = format!(
        "from tidegate import CacheManager\ncache = CacheManager()\n{}1{}\n",
        "cache.get(".repeat(5_000),
        ")".repeat(5_000)
    );
    folder.write("calls.py", calls.as_bytes());
    let found = short(&folder.0, &folder.lint());
    assert!(found.iter().all(|one| one.ends_with("TG001") || one == "calls.py:3 TG013"), "{found:?}");
    assert!(found.contains(&"calls.py:3 TG013".to_owned()) && found.contains(&"4.py:1 TG001".to_owned()), "{found:?}");
}

#[test]
fn what_is_no_source_is_said_and_the_rest_is_linted() {
    let folder = Folder::with(&[
        ("broken.py", "import tidegate\ndef f(:\n"),
        ("broken.ts", "import 'tidegate';\nconst = ;\n"),
        (
            "flow.js",
            "// @flow\nimport { key } from 'tidegate';\nfunction f(id: string): string { return key('user'); }\n",
        ),
        ("right.py", "import tidegate\ntidegate.key('user')\n"),
    ]);
    folder.write("latin.py", b"import tidegate # \xe9\n");
    folder.write("nul.py", b"import tidegate\0\0\0\n");
    folder.write("other.py", b"def f(:\n\xff");
    let found = short(&folder.0, &folder.lint());
    let expected = [
        "broken.py:2 TG001",
        "broken.ts:2 TG001",
        "flow.js:3 TG002",
        "latin.py:1 TG001",
        "nul.py:1 TG001",
        "right.py:2 TG002",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_mark_at_the_start_and_windows_lines_move_nothing() {
    let text = "from tidegate import CacheManager\r\ncache = CacheManager()\r\ncache.get('flat')\r\n";
    let folder = Folder::with(&[
        ("plain.py", text),
        ("marked.py", &format!("\u{feff}{text}")),
        ("one.py", "\u{feff}import tidegate; tidegate.key('a')"),
    ]);
    let places: Vec<_> = folder.lint().iter().map(|one| (one.line, one.column, one.end_line, one.end_column)).collect();
    assert_eq!(places, [(3, 11, 3, 17), (1, 18, 1, 35), (3, 11, 3, 17)]);
}

#[test]
fn columns_count_characters() {
    let folder = Folder::with(&[
        ("a.py", "from tidegate import key; x = 'é😀'; key('ä')\n"),
        ("b.ts", "import { key } from 'tidegate'; const x = 'é😀'; key('ä');\n"),
    ]);
    let places: Vec<_> = folder.lint().iter().map(|one| (one.column, one.end_column)).collect();
    assert_eq!(places, [(37, 45), (49, 57)]);
}

#[test]
fn ten_megabytes_are_read_and_more_than_sixteen_are_not() {
    let folder = Folder::new();
    let line = "table = {'a': [1, 2, 3], 'b': 'some text'}\n";
    let text = format!("import tidegate\n{}tidegate.key('user')\n", line.repeat((10 << 20) / line.len()));
    folder.write("large.py", text.as_bytes());
    folder.write("too_large.ts", format!("import 'tidegate';\n/*{}*/", " ".repeat(17 << 20)).as_bytes());
    let found = folder.lint();
    let codes: Vec<_> = found.iter().map(|one| one.code).collect();
    assert_eq!(codes, ["TG002", "TG001"], "{found:?}");
}

/// Words that bring random sources near to real ones.
fn words() -> impl Strategy<Value = String> {
    let words = [
        "cache",
        ".get",
        "(",
        ")",
        "\"user:{a}\"",
        "'x",
        "`user:${",
        "}`",
        "key",
        "f\"",
        "{",
        "}",
        "@cache.cached(",
        "\n",
        "def f(a):",
        "\\u{1",
        "class A",
        "await ",
        "=",
        "+",
        "%",
        ".format(",
        "\\",
        "# tidegate: ignore[",
        "// tidegate-ignore",
        "=>",
        ",",
        "é",
        "\"\\N{x",
        "b'",
        "...",
        "*",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..40).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_source_makes_it_panic(texts in proptest::collection::vec(words(), 8), bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let folder = Folder::new();
        for (at, text) in texts.iter().enumerate() {
            folder.write(&format!("{at}.py"), format!("from tidegate import *; from tidegate import key, CacheManager\ncache = CacheManager()\n{text}").as_bytes());
            for end in ["js", "ts", "tsx"] {
                let text = format!("import {{ CacheManager, key }} from 'tidegate';\nconst cache = new CacheManager();\n{text}");
                folder.write(&format!("{at}.{end}"), text.as_bytes());
            }
        }
        for end in ["py", "ts"] {
            folder.write(&format!("bytes.{end}"), &[b"tidegate ".as_slice(), &bytes].concat());
        }
        for one in folder.lint() {
            prop_assert!(one.line > 0 && one.column > 0 && one.end_line >= one.line, "{one:?}");
        }
    }
}
