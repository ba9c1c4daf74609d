//! The linter over projects that are made for it, over hostile sources, and as a command.

mod command;
mod hostile;
mod projects;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_lint::LintArgs;
use tidegate_lint::report::Reported;

/// A folder of one test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tidegate-lint-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a new folder");
        Self(path)
    }

    /// Of a project that uses tidegate.
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        folder.write("requirements.txt", b"tidegate\n");
        files.iter().for_each(|(name, text)| folder.write(name, text.as_bytes()));
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("within the folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }

    fn lint(&self) -> Vec<Reported> {
        lint(&self.0, LintArgs::default()).expect("right settings")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn lint(path: &Path, args: LintArgs) -> Result<Vec<Reported>, String> {
    tidegate_lint::lint(&LintArgs { paths: vec![path.to_path_buf()], ..args }).map(|(found, _)| found)
}

/// `file:line code`, without the folder.
fn short(folder: &Path, found: &[Reported]) -> Vec<String> {
    let of = |one: &Reported| {
        let path = Path::new(&one.path).strip_prefix(folder).expect("in the folder").display().to_string();
        format!("{path}:{} {}", one.line, one.code)
    };
    found.iter().map(of).collect()
}
