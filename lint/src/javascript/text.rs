//! Reads what makes a text in JavaScript: literals, templates, `+`, `join`, `concat`, the builders, names of constants.

use tree_sitter::Node;

use super::{JavaScript, inner};
use crate::scope::Bound;
use crate::value::{Part, Piece, Value, shortened};
use crate::walking::{DEPTH_MAX, chain, field, named};

impl<'t> JavaScript<'t> {
    /// What an expression is as a key.
    pub(crate) fn value(&self, node: Node<'t>, scope: usize, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Unknown;
        }
        let span = node.byte_range();
        match node.kind() {
            "string" => Value::Text(self.string(node), span),
            "template_string" => Value::of_pieces(self.template(node, scope, depth), "a template literal", span),
            "binary_expression" => self.sum(node, scope, depth),
            "call_expression" => self.call_value(node, scope, depth),
            "identifier" => match self.scopes.lookup(scope, self.text(node)) {
                [Bound::Value(value, home)] => match self.value(*value, *home, depth + 1) {
                    // What it was made of may have changed since.
                    Value::Literal(..) => Value::Unknown,
                    value => value,
                },
                _ => Value::Unknown,
            },
            "array" => Value::Each(named(node).map(|item| self.value(item, scope, depth + 1)).collect()),
            "ternary_expression" => {
                let ways = [field(node, "consequence"), field(node, "alternative")];
                Value::Each(ways.into_iter().flatten().map(|way| self.value(way, scope, depth + 1)).collect())
            }
            "number" | "true" | "false" | "null" | "undefined" | "regex" => {
                Value::Literal(self.text(node).to_owned(), span)
            }
            _ => inner(node).map_or(Value::Unknown, |inner| self.value(inner, scope, depth + 1)),
        }
    }

    /// Whether an expression is a number for sure, or by its type.
    fn is_number(&self, node: Node<'t>, scope: usize, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return false;
        }
        match node.kind() {
            "number" | "true" | "false" => true,
            "identifier" => {
                let bound = self.scopes.lookup(scope, self.text(node));
                let is_number = |bound: &Bound<'t>| match bound {
                    Bound::Number => true,
                    Bound::Annotated(kind, _) => {
                        matches!(self.text(*kind).trim_start_matches([':', ' ']), "number" | "bigint" | "boolean")
                    }
                    Bound::Value(value, home) => self.is_number(*value, *home, depth + 1),
                    _ => false,
                };
                !bound.is_empty() && bound.iter().all(is_number)
            }
            // A number as a text.
            "call_expression" if field(node, "function").is_some_and(|function| self.text(function) == "String") => {
                let mut given = field(node, "arguments").into_iter().flat_map(named);
                given.next().is_some_and(|given| self.is_number(given, scope, depth + 1))
            }
            "call_expression" => field(node, "function").is_some_and(|function| {
                let name = self.text(function);
                matches!(name, "Number" | "BigInt" | "parseInt" | "Date.now" | "randomUUID" | "crypto.randomUUID")
                    || name.starts_with("Math.")
            }),
            "member_expression" => matches!(self.text(node), "process.pid") || self.text(node).ends_with(".length"),
            "binary_expression" => {
                let (Some(left), Some(right)) = (field(node, "left"), field(node, "right")) else { return false };
                match field(node, "operator").map_or("", |operator| operator.kind()) {
                    // Of texts too these make numbers.
                    "-" | "*" | "/" | "%" => true,
                    "+" => self.is_number(left, scope, depth + 1) && self.is_number(right, scope, depth + 1),
                    _ => false,
                }
            }
            _ => inner(node).is_some_and(|inner| self.is_number(inner, scope, depth + 1)),
        }
    }

    fn pieces(&self, node: Node<'t>, scope: usize, depth: usize) -> Vec<Piece> {
        let source = self.text(node);
        if node.kind() != "number" && self.is_number(node, scope, depth) {
            return vec![Piece::Number];
        }
        self.value(node, scope, depth + 1).into_pieces(source)
    }

    fn string(&self, node: Node<'t>) -> String {
        named(node).map(|part| self.fragment(part)).collect()
    }

    fn fragment(&self, part: Node<'t>) -> String {
        let text = self.text(part);
        if part.kind() == "escape_sequence" { unescaped(text) } else { text.to_owned() }
    }

    fn template(&self, node: Node<'t>, scope: usize, depth: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for part in named(node) {
            if part.kind() == "template_substitution" {
                pieces.extend(named(part).next().into_iter().flat_map(|inner| self.pieces(inner, scope, depth)));
            } else {
                pieces.push(Piece::Text(self.fragment(part)));
            }
        }
        pieces
    }

    fn sum(&self, node: Node<'t>, scope: usize, depth: usize) -> Value {
        let is_sum = |node: Node<'t>| {
            node.kind() == "binary_expression" && field(node, "operator").is_some_and(|operator| operator.kind() == "+")
        };
        let pieces: Vec<Piece> = chain(node, is_sum).iter().flat_map(|part| self.pieces(*part, scope, depth)).collect();
        // Without a text it may be a sum.
        let is_text = pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if text.parse::<u64>().is_err()));
        if is_sum(node) && is_text { Value::of_pieces(pieces, "+", node.byte_range()) } else { Value::Unknown }
    }

    fn call_value(&self, node: Node<'t>, scope: usize, depth: usize) -> Value {
        if let Some(built) = self.built(node, scope) {
            return built;
        }
        let (Some(function), Some(arguments)) = (field(node, "function"), field(node, "arguments")) else {
            return Value::Unknown;
        };
        let (Some(object), Some(property)) = (field(function, "object"), field(function, "property")) else {
            return Value::Unknown;
        };
        let parts = match (self.text(property), object.kind()) {
            ("join", "array") => {
                let separator = match named(arguments).next() {
                    None => ",".to_owned(),
                    Some(given) => match self.value(given, scope, depth + 1) {
                        Value::Text(text, _) => text,
                        _ => return Value::Unknown,
                    },
                };
                let mut pieces = Vec::new();
                for (at, item) in named(object).enumerate() {
                    if item.kind() == "spread_element" {
                        return Value::Unknown;
                    }
                    if at > 0 {
                        pieces.push(Piece::Text(separator.clone()));
                    }
                    pieces.extend(self.pieces(item, scope, depth));
                }
                pieces
            }
            ("concat", "string" | "template_string") => std::iter::once(object)
                .chain(named(arguments))
                .flat_map(|part| self.pieces(part, scope, depth))
                .collect(),
            _ => return Value::Unknown,
        };
        Value::of_pieces(parts, if object.kind() == "array" { "join()" } else { "concat()" }, node.byte_range())
    }

    /// The call of a builder, by parts or by a template.
    pub(crate) fn built(&self, call: Node<'t>, scope: usize) -> Option<Value> {
        let function = field(call, "function")?;
        let is_tag = self.of_tidegate(function, scope, "tag");
        if !is_tag && !self.of_tidegate(function, scope, "key") {
            return None;
        }
        let arguments = field(call, "arguments")?;
        let span = call.byte_range();
        if arguments.kind() == "template_string" {
            let mut texts = vec![String::new()];
            for part in named(arguments) {
                if part.kind() == "template_substitution" {
                    texts.push(String::new());
                } else if let Some(last) = texts.last_mut() {
                    last.push_str(&self.fragment(part));
                }
            }
            return Some(Value::Tagged { texts, span });
        }
        let parts = named(arguments).map(|part| self.part(part, scope, 0)).collect();
        Some(Value::Built { parts, is_tag, span })
    }

    fn part(&self, node: Node<'t>, scope: usize, depth: usize) -> Part {
        match node.kind() {
            "string" => Part::Text(self.string(node)),
            "template_string" => match self.value(node, scope, 0) {
                Value::Text(text, _) => Part::Text(text),
                _ => Part::Unknown,
            },
            "number" => match self.text(node).parse::<u64>() {
                Ok(number) if number < 1 << 53 => Part::Integer(number.to_string()),
                Ok(_) => Part::Refused(self.text(node).to_owned()),
                Err(_) if self.text(node).parse::<f64>().is_ok_and(|number| number.fract() != 0.0) => {
                    Part::Refused(self.text(node).to_owned())
                }
                Err(_) => Part::Unknown,
            },
            "true" | "false" => Part::Bool(node.kind() == "true"),
            "null" | "undefined" | "array" | "object" | "regex" => Part::Refused(shortened(self.text(node))),
            "spread_element" => Part::Many,
            _ => inner(node)
                .filter(|_| depth < DEPTH_MAX)
                .map_or(Part::Unknown, |inner| self.part(inner, scope, depth + 1)),
        }
    }
}

/// One escape of a literal.
fn unescaped(escape: &str) -> String {
    let after = &escape[1..];
    let code = |digits: &str| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
    let character = match after.chars().next() {
        Some('n') => Some('\n'),
        Some('t') => Some('\t'),
        Some('r') => Some('\r'),
        Some('b') => Some('\u{8}'),
        Some('f') => Some('\u{c}'),
        Some('v') => Some('\u{b}'),
        Some('0') => Some('\0'),
        Some('\n' | '\r' | '\u{2028}' | '\u{2029}') => return String::new(),
        Some('x' | 'u') => code(after[1..].trim_matches(['{', '}'])),
        _ => return after.to_owned(),
    };
    character.unwrap_or('\u{fffd}').to_string()
}
