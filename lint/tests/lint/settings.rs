//! What projects say in pyproject.toml and package.json, and comments in sources.

use tidegate_lint::LintArgs;

use crate::{Folder, lint, short};

const SOURCE: &str = "from tidegate import CacheManager, key\ncache = CacheManager()\n\
    cache.get('order:item:1')\ncache.get('user:profile:1')\ncache.get(key('user', 'order', x))\n";

fn args(option: impl FnOnce(&mut LintArgs)) -> LintArgs {
    let mut args = LintArgs::default();
    option(&mut args);
    args
}

#[test]
fn the_projects_pattern_and_domains_are_asked_of_every_key() {
    let folder =
        Folder::with(&[("a.py", SOURCE), ("pyproject.toml", "[tool.tidegate.lint]\npattern = '^user:[a-z]+:.+$'\n")]);
    assert_eq!(short(&folder.0, &folder.lint()), ["a.py:3 TG009"]);
    let found = lint(&folder.0, args(|args| args.pattern = Some("^order:".into()))).expect("right");
    assert_eq!(short(&folder.0, &found), ["a.py:4 TG009", "a.py:5 TG009"]);
    // Of a number, an id, or a text, whichever suits.
    let found = lint(&folder.0, args(|args| args.pattern = Some("^[a-z]+:[a-z]+:\\d+$".into()))).expect("right");
    assert_eq!(short(&folder.0, &found), [""; 0]);
    let folder =
        Folder::with(&[("a.py", SOURCE), ("pyproject.toml", "[tool.tidegate.lint]\ndomains = ['order', 'cart']\n")]);
    let found = folder.lint();
    assert_eq!(short(&folder.0, &found), ["a.py:4 TG009", "a.py:5 TG009"]);
    assert_eq!(found[0].help, "the project's domains: order, cart");
}

#[test]
fn a_file_goes_by_the_nearest_settings_of_its_own_language() {
    let script = "import { CacheManager } from 'tidegate';\nnew CacheManager().get('user:1');\n";
    let folder = Folder::with(&[
        ("a.py", SOURCE),
        ("b.ts", script),
        ("pyproject.toml", "[tool.tidegate.lint]\npattern = '^user:'\n"),
        ("package.json", r#"{ "tidegate": { "lint": { "pattern": "^order:" } } }"#),
        ("inner/c.py", SOURCE),
        ("inner/d.ts", script),
        ("inner/package.json", r#"{ "tidegate": { "lint": { "ignore": ["TG009"] } } }"#),
    ]);
    assert_eq!(short(&folder.0, &folder.lint()), ["a.py:3 TG009", "b.ts:2 TG009"]);
}

#[test]
fn receivers_name_caches_that_are_made_elsewhere() {
    let source = "from elsewhere import store, cache\nstore.get('flat')\ncache.get('flat')\nstore2 = {}\nstore2.get('flat')\n\
        class A:\n    def __init__(self, s: Own): self.store = s\n    def f(self): self.store.get('flat')\n";
    let script =
        "import { store } from 'elsewhere';\nstore.get('flat');\nconst store2 = new Map();\nstore2.get('flat');\n";
    let files =
        [("a.py", source), ("b.js", script), ("pyproject.toml", "[tool.tidegate.lint]\nreceivers = ['store*']\n")];
    let folder = Folder::with(&files);
    assert_eq!(short(&folder.0, &folder.lint()), ["a.py:2 TG002", "a.py:8 TG002", "b.js:2 TG002"]);
    let folder = Folder::with(&files[..2]);
    assert_eq!(short(&folder.0, &folder.lint()), [""; 0]);
}

#[test]
fn without_a_project_that_names_tidegate_names_say_nothing() {
    let folder = Folder::new();
    folder.write("a.py", b"async def f(cache):\n    await cache.get('flat', ttl=1)\n");
    assert_eq!(short(&folder.0, &folder.lint()), [""; 0]);
    folder.write("requirements.txt", b"tidegate==0.1\n");
    assert_eq!(short(&folder.0, &folder.lint()), ["a.py:2 TG002"]);
}

#[test]
fn select_ignore_and_exclude() {
    let files = [
        ("a.py", "import tidegate\ntidegate.key('a')\ntidegate.key('a', None)\n"),
        ("gen/b.py", "import tidegate\ntidegate.key('a')\n"),
        ("node_modules/c.js", "require('tidegate').key('a');\n"),
        ("git/d.py", "import tidegate\ntidegate.key('a')\n"),
        (".gitignore", "git/\n"),
    ];
    let folder = Folder::with(&files);
    let found = |option: fn(&mut LintArgs)| short(&folder.0, &lint(&folder.0, args(option)).expect("right"));
    assert_eq!(found(|_| ()), ["a.py:2 TG002", "a.py:3 TG013", "gen/b.py:2 TG002"]);
    assert_eq!(found(|args| args.select = vec!["TG013".into()]), ["a.py:3 TG013"]);
    assert_eq!(found(|args| args.ignore = vec!["TG002".into()]), ["a.py:3 TG013"]);
    assert_eq!(found(|args| args.exclude = vec!["a.py".into()]), ["gen/b.py:2 TG002"]);
    assert_eq!(found(|args| args.all_files = true).len(), 4);
    folder.write("pyproject.toml", b"[tool.tidegate.lint]\nexclude = ['gen/']\nignore = ['TG002']\n");
    assert_eq!(found(|_| ()), ["a.py:3 TG013"]);
    // What is asked for is shown, whatever the project leaves out.
    assert_eq!(found(|args| args.select = vec!["TG002".into()]), ["a.py:2 TG002"]);
    // A hook names its files: those that the project excludes stay out.
    assert_eq!(lint(&folder.0.join("gen/b.py"), LintArgs::default()), Ok(Vec::new()));
}

#[test]
fn what_is_wrong_in_settings_is_said_with_its_file() {
    for (name, text, said) in [
        ("pyproject.toml", "[tool.tidegate.lint]\npatern = 'x'\n", "unknown field `patern`"),
        ("pyproject.toml", "[tool.tidegate.lint]\npattern = '('\n", "pattern=\"(\" is no regular expression"),
        (
            "pyproject.toml",
            "[tool.tidegate.lint]\nselect = ['TG999']\n",
            "select=\"TG999\" is no code; there are TG001 to TG015",
        ),
        ("pyproject.toml", "[tool.tidegate.lint]\nreceivers = 'cache'\n", "invalid type"),
        ("pyproject.toml", "[tool.tidegate.lint\n", "TOML parse error"),
        ("package.json", r#"{ "tidegate": { "lint": { "domain": [] } } }"#, "unknown field `domain`"),
    ] {
        let folder = Folder::with(&[("a.py", SOURCE), (name, text)]);
        let error = lint(&folder.0, LintArgs::default()).expect_err(text);
        assert!(error.contains(said) && error.contains(name), "{error}");
    }
}

#[test]
fn comments_suppress_what_they_name_and_those_of_nothing_are_told_when_asked() {
    let folder = Folder::with(&[
        (
            "a.py",
            "import tidegate\n\
             tidegate.key('a')  # tidegate: ignore[TG002] an old key\n\
             # tidegate: ignore[TG002, TG013]\n\
             tidegate.key('a')\n\
             tidegate.key('a')  # tidegate: ignore\n\
             tidegate.key('a')  # tidegate: ignore[TG003]\n\
             x = '# tidegate: ignore'; tidegate.key('a')\n\
             # tidegate: ignore\n",
        ),
        (
            "b.ts",
            "import { key } from 'tidegate';\nkey('a'); // tidegate-ignore TG002 an old key\nkey('a'); /* tidegate-ignore TG999 */\n",
        ),
    ]);
    assert_eq!(short(&folder.0, &folder.lint()), ["a.py:6 TG002", "a.py:7 TG002", "b.ts:3 TG002"]);
    let found = lint(&folder.0, args(|args| args.report_unused = true)).expect("right");
    let unused: Vec<_> =
        found.iter().filter(|one| one.code == "TG015").map(|one| (one.line, one.message.as_str())).collect();
    assert_eq!(
        unused,
        [
            (3, "TG013 is ignored, but not found here"),
            (6, "TG003 is ignored, but not found here"),
            (8, "nothing is found here that could be ignored"),
            (3, "TG999 is ignored, but is no code"),
        ]
    );
}
