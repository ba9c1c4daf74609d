//! What the two languages have in common: the values that stand where a key is taken, and what is done with them.

use crate::code::Span;

/// What stands where a key or a name is taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A text that is wholly known.
    Text(String, Span),
    /// A text made of known and unknown pieces.
    Mixed { pieces: Vec<Piece>, how: &'static str, span: Span },
    /// `key("user", id)`, `tag("user", id)`.
    Built { parts: Vec<Part>, is_tag: bool, span: Span },
    /// `` key`user:${id}` ``: the texts around its places.
    Tagged { texts: Vec<String>, span: Span },
    /// Each stands there: of a list, or either way of a condition.
    Each(Vec<Value>),
    /// A literal that is no text, as its language shows it.
    Literal(String, Span),
    /// Nothing is known.
    Unknown,
}

/// A piece of a [`Value::Mixed`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    /// Any value, by its source.
    Data(String),
    /// A whole number, whichever: no part of a key that could break it, and a place of it all the same.
    Number,
    /// A constant that stands elsewhere, or what a builder gave: nothing that breaks a key.
    Safe,
}

/// A part of a builder's call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Integer(String),
    Bool(bool),
    /// What the builder refuses, as its language shows it.
    Refused(String),
    Unknown,
    /// Any number of them.
    Many,
}

/// A place of a source where a key or a name is taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Use {
    Key(Value),
    /// `tag`, `namespace`, `queue` or `event`.
    Name(&'static str, Value),
    /// The template of a decorated function.
    Template(Decorated),
    Service(Value),
    /// The source of a whole number.
    Version(String, Span),
}

impl Use {
    /// Of a builder's call: a key, or the name of a tag.
    pub(crate) fn of_built(built: Value) -> Self {
        if matches!(built, Value::Built { is_tag: true, .. }) { Self::Name("tag", built) } else { Self::Key(built) }
    }
}

/// A function under `@cache.cached(template)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decorated {
    /// The cache, by its source.
    pub(crate) receiver: String,
    /// The scope that binds its name: caches of one name may be several.
    pub(crate) home: Option<usize>,
    pub(crate) template: Value,
    pub(crate) tags: Value,
    /// None: what it ignores is not known.
    pub(crate) ignore: Option<Vec<(String, Span)>>,
    /// None: not a function that stands there.
    pub(crate) function: Option<Function>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Those that make the key, with their places.
    pub(crate) parameters: Vec<(String, Span)>,
    /// The source of the type that it returns.
    pub(crate) returns: Option<String>,
}

impl Value {
    /// Joins neighbours; a text where all is known.
    pub(crate) fn of_pieces(pieces: Vec<Piece>, how: &'static str, span: Span) -> Self {
        let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match (joined.last_mut(), piece) {
                (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
                (_, piece) => joined.push(piece),
            }
        }
        match joined.as_mut_slice() {
            [] => Self::Text(String::new(), span),
            [Piece::Text(text)] => Self::Text(std::mem::take(text), span),
            _ => Self::Mixed { pieces: joined, how, span },
        }
    }

    /// As a piece of a longer text; `source` is its own.
    pub(crate) fn into_pieces(self, source: &str) -> Vec<Piece> {
        match self {
            Self::Text(text, _) => vec![Piece::Text(text)],
            Self::Mixed { pieces, .. } => pieces,
            Self::Built { .. } | Self::Tagged { .. } => vec![Piece::Safe],
            Self::Unknown if is_constant(source) => vec![Piece::Safe],
            Self::Literal(shown, _) if shown.bytes().all(|byte| byte.is_ascii_digit()) => vec![Piece::Text(shown)],
            _ => vec![Piece::Data(shortened(source))],
        }
    }
}

/// Whether a source is a name as both languages write those of constants.
fn is_constant(source: &str) -> bool {
    source.len() > 1 && source.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// A source in one line of a message.
pub(crate) fn shortened(source: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut words = source.split_whitespace();
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        if line.len() > CHARACTERS_MAX * 4 {
            break;
        }
        line.push(' ');
        line.push_str(word);
    }
    match line.char_indices().nth(CHARACTERS_MAX) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}
