//! What projects say: `[tool.tidegate.lint]` of pyproject.toml, `"tidegate": {"lint": {…}}` of package.json. A file goes
//! by the nearest folder that says something; where both files do, by its own language's.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use regex::Regex;
use serde::Deserialize;

use crate::code::Code;
use crate::language::Language;
use crate::receiver::{DEFAULT_RECEIVERS, Names};

/// As they are written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    pattern: Option<String>,
    #[serde(default)]
    domains: Vec<String>,
    receivers: Option<Vec<String>>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    select: Vec<String>,
    #[serde(default)]
    ignore: Vec<String>,
}

/// What a project asks of its keys beside the rules of all.
pub(crate) struct Project {
    pub(crate) pattern: Option<Regex>,
    /// The first segments that there are.
    pub(crate) domains: Vec<String>,
}

/// The settings that a file goes by.
pub(crate) struct Settings {
    pub(crate) names: Names,
    pub(crate) project: Project,
    /// Texts one of which a source holds that names a cache.
    pub(crate) hints: Vec<String>,
    select: Vec<Code>,
    ignore: Vec<Code>,
    exclude: Gitignore,
}

impl Settings {
    fn new(written: Written, folder: &Path) -> Result<Self, String> {
        let pattern = written.pattern.as_deref().map(read_pattern).transpose()?;
        let mut exclude = GitignoreBuilder::new(folder);
        for glob in &written.exclude {
            exclude.add_line(None, glob).map_err(|error| format!("exclude={glob:?}: {error}"))?;
        }
        let receivers = written.receivers.as_deref();
        let usual: Vec<String> = DEFAULT_RECEIVERS.iter().map(|&name| name.to_owned()).collect();
        let longest = |name: &String| name.split('*').max_by_key(|piece| piece.len()).unwrap_or_default().to_owned();
        Ok(Self {
            hints: receivers.unwrap_or(&usual).iter().map(longest).collect(),
            names: Names::new(receivers),
            project: Project { pattern, domains: written.domains },
            select: read_codes("select", &written.select)?,
            ignore: read_codes("ignore", &written.ignore)?,
            exclude: exclude.build().map_err(|error| error.to_string())?,
        })
    }

    /// Whether findings of a code are reported; by the default, all are.
    pub(crate) fn reports(&self, code: Code) -> bool {
        (self.select.is_empty() || self.select.contains(&code)) && !self.ignore.contains(&code)
    }

    pub(crate) fn excludes(&self, file: &Path) -> bool {
        file.starts_with(self.exclude.path()) && self.exclude.matched_path_or_any_parents(file, false).is_ignore()
    }
}

/// # Errors
/// What is wrong with it, and where.
pub(crate) fn read_pattern(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| {
        let line = error.to_string();
        let why = line.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("pattern={pattern:?} is no regular expression: {why}; a right example: \"^(user|order):[a-z_]+:.+$\"")
    })
}

/// # Errors
/// Which of them is none, and which it may be.
pub(crate) fn read_codes(what: &str, codes: &[String]) -> Result<Vec<Code>, String> {
    let read = |code: &String| {
        Code::of(code).ok_or_else(|| {
            let last = Code::ALL.last().map_or("", |code| code.text());
            format!("{what}={code:?} is no code; there are {} to {last}", Code::ALL[0])
        })
    };
    codes.iter().map(read).collect()
}

/// What a folder says, and whether its project names tidegate.
#[derive(Clone)]
pub(crate) struct Folder {
    python: Arc<Settings>,
    javascript: Arc<Settings>,
    pub(crate) uses_tidegate: bool,
}

impl Folder {
    pub(crate) fn settings(&self, language: Language) -> &Settings {
        if language == Language::Python { &self.python } else { &self.javascript }
    }
}

/// The folders that were read.
pub(crate) struct Folders {
    read: Mutex<HashMap<PathBuf, Folder>>,
    default: Folder,
}

impl Folders {
    pub(crate) fn new() -> Result<Self, String> {
        let default = Arc::new(Settings::new(Written::default(), Path::new("/"))?);
        let default = Folder { python: Arc::clone(&default), javascript: default, uses_tidegate: false };
        Ok(Self { read: Mutex::default(), default })
    }

    /// # Errors
    /// What is wrong in which file.
    pub(crate) fn of(&self, folder: &Path) -> Result<Folder, String> {
        // From the nearest that is known, downwards.
        let mut unread = Vec::new();
        let mut found = self.default.clone();
        for above in folder.ancestors() {
            if let Some(known) = self.read.lock().map_err(|error| error.to_string())?.get(above) {
                found = known.clone();
                break;
            }
            unread.push(above);
        }
        for folder in unread.into_iter().rev() {
            found = read_folder(folder, &found)?;
            self.read.lock().map_err(|error| error.to_string())?.insert(folder.to_path_buf(), found.clone());
        }
        Ok(found)
    }
}

/// Files that name what a project depends on.
const MANIFESTS: &[&str] =
    &["pyproject.toml", "package.json", "requirements.txt", "requirements-dev.txt", "setup.cfg", "setup.py", "Pipfile"];

fn read_folder(folder: &Path, above: &Folder) -> Result<Folder, String> {
    let text = |name: &str| fs::read_to_string(folder.join(name)).ok().filter(|text| text.contains("tidegate"));
    let within = |name: &str, error: String| format!("{}: {error}", folder.join(name).display());
    let of = |name: &str, written: Result<Option<Written>, String>| match written {
        Ok(Some(written)) => {
            Settings::new(written, folder).map(|settings| Some(Arc::new(settings))).map_err(|error| within(name, error))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(within(name, error)),
    };
    let mut uses_tidegate = above.uses_tidegate;
    let (mut python, mut javascript) = (None, None);
    for name in MANIFESTS {
        let Some(text) = text(name) else { continue };
        uses_tidegate = true;
        match *name {
            "pyproject.toml" => python = of(name, written_in_toml(&text))?,
            "package.json" => javascript = of(name, written_in_json(&text))?,
            _ => {}
        }
    }
    let either = |own: &Option<Arc<Settings>>, other: &Option<Arc<Settings>>, above: &Arc<Settings>| {
        Arc::clone(own.as_ref().or(other.as_ref()).unwrap_or(above))
    };
    Ok(Folder {
        python: either(&python, &javascript, &above.python),
        javascript: either(&javascript, &python, &above.javascript),
        uses_tidegate,
    })
}

fn written_in_toml(text: &str) -> Result<Option<Written>, String> {
    let file: toml::Table = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
    let lint = file.get("tool").and_then(|tool| tool.get("tidegate")).and_then(|own| own.get("lint"));
    lint.map(|lint| lint.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned()))
        .transpose()
        .map_err(|error| format!("[tool.tidegate.lint]: {error}"))
}

fn written_in_json(text: &str) -> Result<Option<Written>, String> {
    let file: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let lint = file.get("tidegate").and_then(|own| own.get("lint"));
    lint.map(|lint| serde_json::from_value(lint.clone()).map_err(|error| error.to_string()))
        .transpose()
        .map_err(|error| format!("\"tidegate\".\"lint\": {error}"))
}
