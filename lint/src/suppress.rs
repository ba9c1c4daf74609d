//! Comments that say "I know": `# tidegate: ignore[TG005]`, `// tidegate-ignore TG005`, on the line or alone above it.

use tree_sitter::Node;

use crate::code::{Code, Finding, Span};
use crate::scope::{Visitor, walk};

/// One comment.
struct Ignore {
    span: Span,
    /// None: all of them.
    codes: Option<Vec<String>>,
    /// From the start of the line that it is of, to its end.
    line: Span,
    used: Vec<String>,
}

/// Takes out what comments suppress; gives for each comment, or code of it, that suppressed nothing a finding.
pub(crate) fn apply(root: Node<'_>, source: &str, findings: &mut Vec<Finding>) -> Vec<Finding> {
    if !source.contains("tidegate: ignore") && !source.contains("tidegate-ignore") {
        return Vec::new();
    }
    let mut comments = Comments { source, ignores: Vec::new() };
    walk(root, &mut comments);
    let mut ignores = comments.ignores;
    findings.retain(|finding| {
        let mut is_kept = true;
        for ignore in &mut ignores {
            // On the line where it begins, or behind its last.
            let is_at = [finding.span.start, finding.span.end]
                .iter()
                .any(|at| ignore.line.contains(at) || *at == ignore.line.end);
            let code = finding.code.text();
            if is_at && ignore.codes.as_ref().is_none_or(|codes| codes.iter().any(|one| one == code)) {
                ignore.used.push(code.to_owned());
                is_kept = false;
            }
        }
        is_kept
    });
    ignores.iter().filter_map(unused).collect()
}

fn unused(ignore: &Ignore) -> Option<Finding> {
    let message = match &ignore.codes {
        None if ignore.used.is_empty() => "nothing is found here that could be ignored".to_owned(),
        None => return None,
        Some(codes) => {
            let unused: Vec<&str> =
                codes.iter().filter(|code| !ignore.used.contains(code)).map(String::as_str).collect();
            if unused.is_empty() {
                return None;
            }
            let unknown = unused.iter().any(|code| Code::of(code).is_none());
            format!("{} is ignored, but {}", unused.join(", "), if unknown { "is no code" } else { "not found here" })
        }
    };
    let help = "take the comment away".to_owned();
    Some(Finding { code: Code::UnusedIgnore, span: ignore.span.clone(), message, help })
}

struct Comments<'a> {
    source: &'a str,
    ignores: Vec<Ignore>,
}

impl<'t> Visitor<'t> for Comments<'_> {
    fn enter(&mut self, node: Node<'t>) {
        if node.kind() != "comment" {
            return;
        }
        let text = &self.source[node.byte_range()];
        let Some(said) = text.split_once("tidegate: ignore").or_else(|| text.split_once("tidegate-ignore")) else {
            return;
        };
        let span = node.byte_range();
        let codes = codes(said.1);
        self.ignores.push(Ignore { line: self.line_of(&span), span, codes, used: Vec::new() });
    }

    fn leave(&mut self, _: Node<'t>) {}
}

impl Comments<'_> {
    /// The comment's own line, or the next that is code where nothing stands before it.
    fn line_of(&self, span: &Span) -> Span {
        let start = self.source[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let end_of = |from: usize| self.source[from..].find('\n').map_or(self.source.len(), |at| from + at);
        if !self.source[start..span.start].trim().is_empty() {
            return start..end_of(span.end);
        }
        let mut from = (end_of(span.end) + 1).min(self.source.len());
        loop {
            let end = end_of(from);
            let line = self.source[from..end].trim();
            let is_comment = line.is_empty() || line.starts_with('#') || line.starts_with("//");
            if !is_comment || end >= self.source.len() {
                return from..end;
            }
            from = end + 1;
        }
    }
}

/// `[TG001, TG002]` or ` TG001 TG002`, then whatever reason.
fn codes(said: &str) -> Option<Vec<String>> {
    let said = said.trim_start();
    let listed = said.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(codes, _)| codes);
    let words = listed.unwrap_or(said).split([' ', ',', '\t']).filter(|word| !word.is_empty());
    let codes: Vec<String> = match listed {
        Some(_) => words.map(str::to_owned).collect(),
        None => words.take_while(|word| word.starts_with("TG")).map(str::to_owned).collect(),
    };
    (!codes.is_empty()).then_some(codes)
}
