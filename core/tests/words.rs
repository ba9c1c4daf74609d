//! What the core says is said in its user's language: no text in the sources spells an option, or an example, for one of
//! them. What shows in each language, `config::read` tests, and the packages.

use std::path::{Path, PathBuf};

/// Words with an underscore that are no option's name, but written so by everybody.
const EVERYWHERE: &[&str] = &["mem_fragmentation_ratio", "sentinel_password", "sentinel_user"];
/// Texts that users of one language alone can meet, each with the reason.
const OF_ONE_LANGUAGE: &[(&str, &str)] = &[
    ("client_name={name:?}: Redis takes", "an argument of the Rust driver"),
    ("raw takes bytes; a right example: serde_bytes", "serde's, in Rust"),
    ("clear() is a namespace's; a right example: manager.namespace", "a method of the Rust client"),
    ("tickets_max keeps flights below", "an invariant, asserted"),
];

#[test]
fn no_text_spells_an_option_or_an_example_for_one_language() {
    let mut sources = Vec::new();
    // All but the file that knows how each language writes them.
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    assert!(sources.len() > 100, "the sources are elsewhere");
    let mut found = Vec::new();
    for path in sources {
        let text = std::fs::read_to_string(&path).expect("readable");
        let faults = texts(&text).into_iter().filter_map(|text| fault(&text).map(|fault| (text, fault)));
        found.extend(faults.map(|(text, fault)| format!("{}: {fault} in {text:?}", path.display())));
    }
    assert!(found.is_empty(), "use Dialect::spell and Dialect::example:\n{}", found.join("\n"));
}

#[test]
fn such_texts_are_found() {
    let faults = |source: &str| texts(source).iter().filter_map(|text| fault(text)).count();
    assert_eq!(faults(r#"format!("it is longer than null_ttl is")"#), 1);
    assert_eq!(faults(r#"Error::config("no service; a right example: service=\"billing\"")"#), 1);
    assert_eq!(faults("\"a text over \\\n    two lines of max_pending\""), 1);
    assert_eq!(faults(r#"x.expect("max_pending is small") + "null_ttl" + "{max_pending} of {:?}""#), 0);
    assert_eq!(faults("// \"in a comment: null_ttl\"\n'\"' \"a text\""), 0);
    assert_eq!(faults("#[cfg(test)]\nmod tests { fn f() { g(\"of a null_ttl\") } }"), 0);
}

fn fault(text: &str) -> Option<String> {
    if OF_ONE_LANGUAGE.iter().any(|(own, _)| text.starts_with(own)) {
        return None;
    }
    if let Some((_, example)) = text.split_once("a right example: ")
        && example.contains('=')
        && !example.contains("://")
    {
        return Some("an example".to_owned());
    }
    let mut plain = text.to_owned();
    while let Some((before, rest)) = plain.split_once('{')
        && let Some((_, after)) = rest.split_once('}')
    {
        plain = format!("{before}{after}");
    }
    let mut words = plain.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let is_name = |word: &str| {
        word.split('_').count() > 1 && word.split('_').all(|part| part.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    words.find(|word| is_name(word) && !EVERYWHERE.contains(word)).map(str::to_owned)
}

/// The string literals of a source that are sentences: with a space, and no invariant that an `expect` states.
fn texts(source: &str) -> Vec<String> {
    let code = ["#[cfg(test)]\nmod", "#[cfg(all(test"].iter().fold(source, |code, mark| {
        // A child module of its own file is cut there too: it is all tests.
        code.split_once(mark).map_or(code, |(before, _)| before)
    });
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n").replace("'\"'", "").replace("'\\\"'", "");
    let mut texts = Vec::new();
    let mut rest = code.as_str();
    while let Some(start) = rest.find('"') {
        let before = rest[..start].trim_end();
        let is_invariant = before.ends_with("expect(") || before.ends_with("reason =");
        let (text, after) = literal(&rest[start + 1..]);
        if text.contains(' ') && !is_invariant {
            texts.push(text);
        }
        rest = after;
    }
    texts
}

/// What stands up to the next quote that is not escaped, and what follows it.
fn literal(rest: &str) -> (String, &str) {
    let mut text = String::new();
    let mut letters = rest.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (text, &rest[at + 1..]),
            '\\' => match letters.next() {
                Some((_, '\n')) | None => {}
                Some((_, escaped)) => text.push(escaped),
            },
            letter => text.push(letter),
        }
    }
    (text, "")
}

fn collect(folder: &Path, sources: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_test = |name: &str| path.components().any(|part| part.as_os_str() == name);
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|end| end == "rs")
            && !["tests", "tests.rs", "fuzz", "dialect.rs"].iter().any(|t| is_test(t))
        {
            sources.push(path);
        }
    }
}
