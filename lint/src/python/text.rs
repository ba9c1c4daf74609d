//! Reads what makes a text in Python: literals, f-strings, `+`, `%`, `format`, `join`, the builders, names of constants.

use tree_sitter::Node;

use super::Python;
use crate::scope::Bound;
use crate::value::{Part, Piece, Value, shortened};
use crate::walking::{DEPTH_MAX, chain, field, named};

impl<'t> Python<'t> {
    /// What an expression is as a key.
    pub(crate) fn value(&self, node: Node<'t>, scope: usize, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Unknown;
        }
        let span = node.byte_range();
        match node.kind() {
            "string" => self.string(node, scope, depth),
            "concatenated_string" => {
                let pieces = named(node).flat_map(|part| self.value(part, scope, depth + 1).into_pieces("")).collect();
                Value::of_pieces(pieces, "an f-string", span)
            }
            "parenthesized_expression" => {
                named(node).next().map_or(Value::Unknown, |inner| self.value(inner, scope, depth + 1))
            }
            "binary_operator" => self.operator(node, scope, depth),
            "call" => self.call_value(node, scope, depth),
            "identifier" => match self.scopes.lookup(scope, self.text(node)) {
                [Bound::Value(value, home)] => match self.value(*value, *home, depth + 1) {
                    // What it was made of may have changed since.
                    Value::Literal(..) => Value::Unknown,
                    value => value,
                },
                _ => Value::Unknown,
            },
            "list" | "tuple" | "set" => {
                Value::Each(named(node).map(|item| self.value(item, scope, depth + 1)).collect())
            }
            "conditional_expression" => {
                let mut parts = named(node);
                let (first, second) = (parts.next(), parts.nth(1));
                Value::Each(
                    [first, second].into_iter().flatten().map(|way| self.value(way, scope, depth + 1)).collect(),
                )
            }
            "integer" | "float" | "true" | "false" | "none" => Value::Literal(self.text(node).to_owned(), span),
            _ => Value::Unknown,
        }
    }

    /// Whether an expression is a whole number for sure, or by its annotation.
    fn is_number(&self, node: Node<'t>, scope: usize, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        match node.kind() {
            "integer" | "true" | "false" => true,
            "parenthesized_expression" | "unary_operator" => {
                named(node).next().is_some_and(|inner| self.is_number(inner, scope, depth + 1))
            }
            "identifier" => {
                let bound = self.scopes.lookup(scope, self.text(node));
                let is_number = |bound: &Bound<'t>| match bound {
                    Bound::Number => true,
                    Bound::Annotated(kind, _) => matches!(self.text(*kind), "int" | "bool" | "UUID" | "uuid.UUID"),
                    Bound::Value(value, home) => self.is_number(*value, *home, depth + 1),
                    _ => false,
                };
                !bound.is_empty() && bound.iter().all(is_number)
            }
            // A number as a text.
            "call" if field(node, "function").is_some_and(|function| self.text(function) == "str") => {
                let mut given = field(node, "arguments").into_iter().flat_map(named);
                given.next().is_some_and(|given| self.is_number(given, scope, depth + 1))
            }
            "call" => field(node, "function").is_some_and(|function| {
                matches!(
                    self.text(function),
                    "int" | "len" | "id" | "hash" | "ord" | "round" | "os.getpid" | "uuid4" | "uuid.uuid4"
                )
            }),
            "binary_operator" => {
                let (Some(left), Some(right)) = (field(node, "left"), field(node, "right")) else { return false };
                let operator = field(node, "operator").map_or("", |operator| operator.kind());
                match operator {
                    // Texts have none of these.
                    "-" | "//" => true,
                    "+" | "*" | "%" => {
                        self.is_number(left, scope, depth + 1) && self.is_number(right, scope, depth + 1)
                    }
                    _ => false,
                }
            }
            _ => false,
        }
    }

    fn pieces(&self, node: Node<'t>, scope: usize, depth: usize) -> Vec<Piece> {
        let source = self.text(node);
        if node.kind() != "integer" && self.is_number(node, scope, depth) {
            return vec![Piece::Number];
        }
        self.value(node, scope, depth + 1).into_pieces(source)
    }

    fn string(&self, node: Node<'t>, scope: usize, depth: usize) -> Value {
        let span = node.byte_range();
        let prefix = self.text(node).split(['"', '\'']).next().unwrap_or_default().to_ascii_lowercase();
        if prefix.contains('b') {
            return Value::Literal(shortened(self.text(node)), span);
        }
        // A template of 3.14 is no text.
        if prefix.contains('t') {
            return Value::Unknown;
        }
        let (raw, is_format) = (prefix.contains('r'), prefix.contains('f'));
        let mut pieces = Vec::new();
        for part in named(node) {
            match part.kind() {
                "string_content" => self.content(part, raw, is_format, &mut pieces),
                "interpolation" => match field(part, "expression") {
                    // A format may turn any value to any text.
                    Some(inner)
                        if field(part, "format_specifier").is_none() && field(part, "type_conversion").is_none() =>
                    {
                        pieces.extend(self.pieces(inner, scope, depth));
                    }
                    Some(inner) if self.is_number(inner, scope, depth) => pieces.push(Piece::Number),
                    _ => pieces.push(Piece::Data(shortened(self.text(part).trim_matches(['{', '}'])))),
                },
                "escape_interpolation" => pieces.push(Piece::Text(self.text(part)[..1].to_owned())),
                _ => {}
            }
        }
        Value::of_pieces(pieces, "an f-string", span)
    }

    /// The text of a literal, its escapes read.
    fn content(&self, node: Node<'t>, raw: bool, is_format: bool, pieces: &mut Vec<Piece>) {
        let mut at = node.start_byte();
        for escape in named(node) {
            pieces.push(Piece::Text(self.source[at..escape.start_byte()].to_owned()));
            let text = self.text(escape);
            at = escape.end_byte();
            pieces.push(Piece::Text(match escape.kind() {
                "escape_interpolation" if is_format => text[..1].to_owned(),
                _ if raw => text.to_owned(),
                _ => unescaped(text),
            }));
        }
        pieces.push(Piece::Text(self.source[at..node.end_byte()].to_owned()));
    }

    fn operator(&self, node: Node<'t>, scope: usize, depth: usize) -> Value {
        let is = |node: Node<'t>, wanted: &str| {
            node.kind() == "binary_operator"
                && field(node, "operator").is_some_and(|operator| operator.kind() == wanted)
        };
        if is(node, "+") {
            let operands = chain(node, |node| is(node, "+"));
            let pieces: Vec<Piece> = operands.iter().flat_map(|part| self.pieces(*part, scope, depth)).collect();
            // Without a text it may be a sum.
            let is_text = pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.parse::<u64>().is_err()));
            return if is_text { Value::of_pieces(pieces, "+", node.byte_range()) } else { Value::Unknown };
        }
        if is(node, "%")
            && let Some(left) = field(node, "left")
            && let Value::Text(format, _) = self.value(left, scope, depth + 1)
        {
            return Value::of_pieces(percent_pieces(&format), "%", node.byte_range());
        }
        Value::Unknown
    }

    fn call_value(&self, node: Node<'t>, scope: usize, depth: usize) -> Value {
        let (Some(function), Some(arguments)) = (field(node, "function"), field(node, "arguments")) else {
            return Value::Unknown;
        };
        if let Some(built) = self.built(node, scope) {
            return built;
        }
        if function.kind() != "attribute" {
            return Value::Unknown;
        }
        let (Some(object), Some(method)) = (field(function, "object"), field(function, "attribute")) else {
            return Value::Unknown;
        };
        if !matches!(object.kind(), "string" | "concatenated_string" | "parenthesized_expression" | "identifier") {
            return Value::Unknown;
        }
        let Value::Text(text, _) = self.value(object, scope, depth + 1) else { return Value::Unknown };
        match self.text(method) {
            "format" => Value::of_pieces(format_pieces(&text), "format()", node.byte_range()),
            "join" => {
                let list = named(arguments).next().filter(|list| matches!(list.kind(), "list" | "tuple"));
                let Some(list) = list else { return Value::Unknown };
                let mut pieces = Vec::new();
                for (at, item) in named(list).enumerate() {
                    if item.kind() == "list_splat" {
                        return Value::Unknown;
                    }
                    if at > 0 {
                        pieces.push(Piece::Text(text.clone()));
                    }
                    pieces.extend(self.pieces(item, scope, depth));
                }
                Value::of_pieces(pieces, "join()", node.byte_range())
            }
            _ => Value::Unknown,
        }
    }

    /// The call of a builder.
    pub(crate) fn built(&self, call: Node<'t>, scope: usize) -> Option<Value> {
        let function = field(call, "function")?;
        let is_tag = self.of_tidegate(function, scope, "tag");
        if !is_tag && !self.of_tidegate(function, scope, "key") {
            return None;
        }
        let arguments = field(call, "arguments").filter(|arguments| arguments.kind() == "argument_list")?;
        let parts = named(arguments).map(|part| self.part(part)).collect();
        Some(Value::Built { parts, is_tag, span: call.byte_range() })
    }

    fn part(&self, node: Node<'t>) -> Part {
        match node.kind() {
            "string" | "concatenated_string" => match self.value(node, 0, 0) {
                Value::Text(text, _) => Part::Text(text),
                Value::Literal(shown, _) => Part::Refused(shown),
                _ => Part::Unknown,
            },
            "integer" => match self.text(node).parse::<u128>() {
                Ok(number) => Part::Integer(number.to_string()),
                Err(_) => Part::Unknown,
            },
            "true" | "false" => Part::Bool(node.kind() == "true"),
            "none" | "float" | "list" | "dictionary" | "tuple" | "set" => Part::Refused(shortened(self.text(node))),
            "list_splat" | "dictionary_splat" => Part::Many,
            _ => Part::Unknown,
        }
    }
}

/// A text of `%s`, `%(name)d`, `%%`.
fn percent_pieces(format: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        pieces.push(Piece::Text(before.to_owned()));
        if let Some(after) = after.strip_prefix('%') {
            pieces.push(Piece::Text("%".to_owned()));
            rest = after;
            continue;
        }
        let name = if after.starts_with('(') { after.find(')').map_or(0, |at| at + 1) } else { 0 };
        let end = after[name..].find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |at| name + at + 1);
        pieces.push(Piece::Data(format!("%{}", &after[..end])));
        rest = &after[end..];
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

/// A text of `{}`, `{name}`, `{{`.
fn format_pieces(format: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        pieces.push(Piece::Text(rest[..at].to_owned()));
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            pieces.push(Piece::Text(brace.to_owned()));
            rest = after;
        } else {
            let end = rest.find('}').map_or(rest.len(), |end| end + 1);
            pieces.push(Piece::Data(format!("{{{}", &rest[..end])));
            rest = &rest[end..];
        }
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces
}

/// One escape of a literal.
fn unescaped(escape: &str) -> String {
    let after = &escape[1..];
    let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let character = match after.chars().next() {
        Some('n') => Some('\n'),
        Some('t') => Some('\t'),
        Some('r') => Some('\r'),
        Some('a') => Some('\u{7}'),
        Some('b') => Some('\u{8}'),
        Some('f') => Some('\u{c}'),
        Some('v') => Some('\u{b}'),
        Some('\n' | '\r') => return String::new(),
        Some('x' | 'u' | 'U') => code(&after[1..], 16),
        Some('0'..='7') => code(after, 8),
        // A character by its name is taken for a letter.
        Some('N') => Some('x'),
        Some(other @ ('\\' | '\'' | '"')) => Some(other),
        _ => return escape.to_owned(),
    };
    character.unwrap_or('\u{fffd}').to_string()
}
