//! Judges what was found. What a key is, the core says; here it only gets its code.

use std::collections::HashMap;

use regex::Regex;
use tidegate::key::{self, KEY_BYTES_MAX, KeySpace, Part as KeyPart};
use tidegate::protocol::tag::{TAG_BYTES_MAX, check_name};

use crate::code::{Code, Finding, Span};
use crate::language::Language;
use crate::template;
use crate::value::{Decorated, Part, Piece, Use, Value, shortened};

/// What stands in a place, for the checks of a template: one of these has to suit the project's pattern.
const SAMPLES: &[&str] = &["x", "1", "00000000-0000-4000-8000-000000000000"];

/// Judges all uses of a source.
pub(crate) fn judge(uses: &[Use], language: Language, pattern: Option<&Regex>, domains: &[String]) -> Vec<Finding> {
    let mut judge = Judge { language, pattern, domains, found: Vec::new(), templates: HashMap::new() };
    for one in uses {
        match one {
            Use::Key(value) => judge.key(value),
            Use::Name(what, value) => judge.name(what, value),
            Use::Template(decorated) => judge.decorated(decorated),
            Use::Service(value) => judge.service(value),
            Use::Version(source, span) => judge.version(source, span),
        }
    }
    judge.found.sort_by_key(|finding| (finding.span.start, finding.code, finding.span.end));
    judge.found.dedup();
    judge.found
}

struct Judge<'a> {
    language: Language,
    pattern: Option<&'a Regex>,
    domains: &'a [String],
    found: Vec<Finding>,
    /// Of each cache and template: the function that it is of, and the type that this returns.
    templates: HashMap<(Option<usize>, &'a str, &'a str), (&'a str, &'a str)>,
}

impl<'a> Judge<'a> {
    fn find(&mut self, code: Code, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Finding { code, span: span.clone(), message: message.into(), help: help.into() });
    }

    fn example(&self) -> &'static str {
        match self.language {
            Language::Python => "key(\"user\", \"profile\", user_id)",
            _ => "key`user:profile:${userId}`",
        }
    }

    fn key(&mut self, value: &Value) {
        match value {
            Value::Text(text, span) => {
                if let Err(error) = key::check(text) {
                    self.malformed(text, &[text], error.message(), span);
                } else {
                    self.whole(text, &[text], span);
                }
            }
            Value::Mixed { pieces, how, span } => {
                self.unescaped("key", pieces, how, span);
                let texts = texts_of(pieces);
                // What a constant holds may be any number of segments.
                if !pieces.contains(&Piece::Safe) {
                    self.template(&shown(&texts), &texts, span);
                }
            }
            Value::Built { parts, is_tag: false, span } => self.built(parts, span),
            Value::Tagged { texts, span } => self.template(&shown(texts), texts, span),
            Value::Each(values) => values.iter().for_each(|value| self.key(value)),
            Value::Literal(source, span) => {
                let message = format!("{source} is no key: a key is a text");
                self.find(Code::NoText, span, message, format!("a right example: {}", self.example()));
            }
            Value::Built { .. } | Value::Unknown => {}
        }
    }

    fn unescaped(&mut self, what: &str, pieces: &[Piece], how: &str, span: &Span) {
        let Some(data) = pieces.iter().find_map(|piece| if let Piece::Data(data) = piece { Some(data) } else { None })
        else {
            return;
        };
        let message = format!(
            "{how} puts {data} into a {what} as it is: a ':' in it makes segments of its own, and so another's {what}"
        );
        let help = match (what, self.language) {
            ("key", _) => format!("the builder escapes it: {}", self.example()),
            (_, Language::Python) => "the builder escapes it: tag(\"user\", user_id)".to_owned(),
            _ => "the builder escapes it: tag('user', userId), or key`user:${userId}`".to_owned(),
        };
        self.find(Code::Unescaped, span, message, help);
    }

    /// Texts around places: their form, and what the project asks.
    fn template(&mut self, shown: &str, texts: &[impl AsRef<str>], span: &Span) {
        match key::check_template(shown, texts, self.example()) {
            Err(error) => self.malformed(shown, texts, error.message(), span),
            Ok(()) => self.whole(shown, texts, span),
        }
    }

    /// The core has refused it; what is wrong decides the code.
    fn malformed(&mut self, shown: &str, texts: &[impl AsRef<str>], said: &str, span: &Span) {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let sample = texts.join("x");
        let is_sample = key::check(&sample).err().is_some_and(|error| error.message() == said);
        let code = if !is_sample {
            // The text is right; where its places stand is not.
            Code::Malformed
        } else if sample.split(':').any(str::is_empty) {
            Code::Empty
        } else if key::check(&format!("x:{sample}")).is_ok() {
            // All that it lacks is a segment more.
            Code::Flat
        } else {
            Code::Reserved
        };
        let said = said.split("; ").next().unwrap_or(said);
        // The core was given a sample in each place: what is shown is what stands there.
        let message = if texts.len() > 1 {
            said.replacen(&format!("{sample:?}"), &format!("{shown:?}"), 1)
        } else {
            said.to_owned()
        };
        let help = match code {
            Code::Flat => "a right example: \"user:profile:42\"".to_owned(),
            Code::Malformed => "a right example: one place a segment, as in \"user:{a}:{b}\"".to_owned(),
            _ => format!("a right example: \"user:profile:42\"; data goes in by {}", self.example()),
        };
        self.find(code, span, cut(&message), help);
    }

    /// What is asked of a key that is right.
    fn whole(&mut self, shown: &str, texts: &[impl AsRef<str>], span: &Span) {
        let bytes = texts.iter().map(|text| text.as_ref().len()).sum::<usize>() + (texts.len() - 1);
        if bytes > KEY_BYTES_MAX {
            let message = format!(
                "the key {} has {bytes} bytes or more: beyond {KEY_BYTES_MAX} a hash stands for its end",
                cut(&format!("{shown:?}"))
            );
            self.find(
                Code::TooLong,
                span,
                message,
                "shorter segments, or an id instead of the text that it stands for",
            );
        }
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        if let Some(pattern) = self.pattern
            && !SAMPLES.iter().any(|sample| pattern.is_match(&texts.join(sample)))
        {
            let help = format!("the project's pattern: {pattern}");
            self.find(Code::OffPattern, span, format!("the key {shown:?} does not match the project's pattern"), help);
        }
        let first = texts.first().copied().unwrap_or_default();
        if let Some((domain, _)) = first.split_once(':')
            && !self.domains.is_empty()
            && !self.domains.iter().any(|one| one == domain)
        {
            let help = format!("the project's domains: {}", self.domains.join(", "));
            self.find(Code::OffPattern, span, format!("{domain:?} is none of the project's domains of keys"), help);
        }
    }

    fn built(&mut self, parts: &[Part], span: &Span) {
        if !self.parts(parts, span) {
            return;
        }
        let is_known = |part: &Part| !matches!(part, Part::Many);
        if !parts.iter().all(is_known) {
            return;
        }
        if parts.len() < 2 {
            let message = "a key of one part is flat: it needs at least two segments";
            self.find(Code::Flat, span, message, format!("a right example: {}", self.example()));
            return;
        }
        // Each part that is known is escaped by the core; the rest are places.
        let mut texts = vec![String::new()];
        for (at, part) in parts.iter().enumerate() {
            let last = texts.last_mut().expect("there is one from the start");
            if at > 0 {
                last.push(':');
            }
            match escaped(part) {
                Some(text) => last.push_str(&text),
                None => texts.push(String::new()),
            }
        }
        self.whole(&shown(&texts), &texts, span);
    }

    /// Whether each part is one that a builder takes.
    fn parts(&mut self, parts: &[Part], span: &Span) -> bool {
        for (at, part) in parts.iter().enumerate() {
            let refused = match part {
                Part::Refused(shown) => Some(shown.as_str()),
                Part::Text(text) if text.is_empty() => Some("\"\""),
                _ => None,
            };
            if let Some(refused) = refused {
                let message = format!(
                    "part {} is {refused}: parts are texts that are not empty, integers, booleans and UUIDs",
                    at + 1
                );
                self.find(Code::NoText, span, message, format!("a right example: {}", self.example()));
                return false;
            }
        }
        true
    }

    fn name(&mut self, what: &'static str, value: &Value) {
        match value {
            Value::Text(text, span) => self.named(what, text, text, span),
            Value::Mixed { pieces, how, span } => {
                self.unescaped(what, pieces, how, span);
                if !pieces.contains(&Piece::Safe) {
                    let texts = texts_of(pieces);
                    self.named(what, &shown(&texts), &texts.join("x"), span);
                }
            }
            Value::Built { parts, span, .. } => {
                if let [Part::Text(text)] = parts.as_slice() {
                    self.named(what, text, text, span);
                } else {
                    self.parts(parts, span);
                }
            }
            Value::Tagged { texts, span } => self.named(what, &shown(texts), &texts.join("x"), span),
            Value::Each(values) => values.iter().for_each(|value| self.name(what, value)),
            Value::Literal(..) | Value::Unknown => {}
        }
    }

    fn named(&mut self, what: &'static str, shown: &str, sample: &str, span: &Span) {
        if let Err(error) = check_name(what, sample) {
            let said = error.message().split("; ").next().unwrap_or_default().replacen(
                &format!("{sample:?}"),
                &format!("{shown:?}"),
                1,
            );
            let help = format!("a {what} is segments as in a key, of {TAG_BYTES_MAX} bytes at most: \"user:42\"");
            self.find(Code::BadName, span, cut(&said), help);
        }
    }

    fn decorated(&mut self, decorated: &'a Decorated) {
        let (text, span) = match &decorated.template {
            Value::Text(text, span) => (text, span),
            Value::Mixed { pieces, span, .. } => return self.filled(decorated, pieces, span),
            _ => return,
        };
        let parsed = match template::parse(text) {
            Ok(parsed) => parsed,
            Err(fault) => {
                let message = format!("the template {text:?} {fault}");
                return self.find(Code::Malformed, span, cut(&message), "a right example: \"user:profile:{user_id}\"");
            }
        };
        self.template(text, &parsed.texts, span);
        self.places(decorated, text, &parsed.places, span);
        if let Value::Each(tags) = &decorated.tags {
            tags.iter().for_each(|tag| self.tag_template(decorated, tag));
        }
        let placed: Vec<&str> = parsed.places.iter().map(|place| place.split('.').next().unwrap_or(place)).collect();
        self.parameters(decorated, text, &placed, span);
        if let Some(function) = &decorated.function
            && let Some(returns) = &function.returns
        {
            let key = (decorated.home, decorated.receiver.as_str(), text.as_str());
            let (other, before) = *self.templates.entry(key).or_insert((&function.name, returns));
            if before != returns {
                let message = format!(
                    "{text:?} is {other}'s template too, which gives {before}, not {returns}: each would get the other's values"
                );
                self.find(
                    Code::TwoTypes,
                    span,
                    message,
                    "a template of its own for each, with a segment that says what it is",
                );
            }
        }
    }

    /// An f-string as a template is filled when the module is loaded, not at a call.
    fn filled(&mut self, decorated: &Decorated, pieces: &[Piece], span: &Span) {
        let is_parameter = |data: &str| {
            decorated.function.as_ref().is_some_and(|function| function.parameters.iter().any(|(name, _)| name == data))
        };
        let data = pieces.iter().find_map(|piece| match piece {
            Piece::Data(data) if is_parameter(data) => Some(data),
            _ => None,
        });
        if let Some(data) = data {
            let message =
                format!("an f-string is filled when the function is decorated: {data} is no parameter's value there");
            self.find(
                Code::Unescaped,
                span,
                message,
                "a plain text, whose places the library fills: \"user:profile:{user_id}\"",
            );
        }
    }

    fn tag_template(&mut self, decorated: &Decorated, tag: &Value) {
        let Value::Text(text, span) = tag else { return };
        match template::parse(text) {
            Ok(parsed) => {
                self.named("tag", text, &parsed.texts.join("x"), span);
                self.places(decorated, text, &parsed.places, span);
            }
            Err(fault) => {
                let message = format!("the tag {text:?} {fault}");
                self.find(Code::BadName, span, cut(&message), "a right example: \"user:{user_id}\"");
            }
        }
    }

    fn places(&mut self, decorated: &Decorated, text: &str, places: &[&str], span: &Span) {
        let Some(function) = &decorated.function else { return };
        for place in places {
            let name = place.split('.').next().unwrap_or(place);
            if !function.parameters.iter().any(|(parameter, _)| parameter == name) {
                let message =
                    format!("{text:?} has the place {{{place}}}, but {} has no parameter {name:?}", function.name);
                let known: Vec<&str> = function.parameters.iter().map(|(name, _)| name.as_str()).collect();
                let help = if known.is_empty() {
                    "it has no parameters".to_owned()
                } else {
                    format!("its parameters: {}", known.join(", "))
                };
                self.find(Code::NoParameter, span, cut(&message), help);
            }
        }
    }

    fn parameters(&mut self, decorated: &Decorated, text: &str, placed: &[&str], span: &Span) {
        let (Some(function), Some(ignore)) = (&decorated.function, &decorated.ignore) else { return };
        for (ignored, at) in ignore {
            if !function.parameters.iter().any(|(name, _)| name == ignored) {
                let message = format!("ignore names {ignored:?}, but {} has no such parameter", function.name);
                self.find(Code::NoParameter, at, message, "names of its parameters only");
            }
        }
        for (name, _) in &function.parameters {
            if !placed.contains(&name.as_str()) && !ignore.iter().any(|(ignored, _)| ignored == name) {
                let message = format!(
                    "parameter {name:?} of {} stands neither in the template {text:?} nor in ignore: \
                     two calls with different answers would share a key",
                    function.name
                );
                self.find(
                    Code::NotInTemplate,
                    span,
                    cut(&message),
                    format!("\"{text}:{{{name}}}\", or ignore=({name:?},)"),
                );
            }
        }
    }

    fn service(&mut self, value: &Value) {
        let Value::Text(service, span) = value else { return };
        if let Err(error) = KeySpace::new(service, 1) {
            let said = error.message().split("; ").next().unwrap_or_default().to_owned();
            self.find(Code::BadKeySpace, span, cut(&said), "one segment of a key: \"billing\"");
        }
    }

    fn version(&mut self, source: &str, span: &Span) {
        let is_number = source.strip_prefix('-').unwrap_or(source).bytes().all(|byte| byte.is_ascii_digit());
        let is_right = source.parse::<u32>().is_ok_and(|version| KeySpace::new("x", version).is_ok());
        if is_number && !source.is_empty() && !is_right {
            let message = format!("version={source} is not a key space; versions count from 1");
            self.find(Code::BadKeySpace, span, message, "a right example: 1");
        }
    }
}

fn escaped(part: &Part) -> Option<String> {
    let part = match part {
        Part::Text(text) => KeyPart::Text(text),
        Part::Integer(digits) => KeyPart::Integer(digits),
        Part::Bool(value) => KeyPart::Bool(*value),
        Part::Refused(_) | Part::Unknown | Part::Many => return None,
    };
    key::part("", &part).ok()
}

/// The texts around the places; neighbours that are unknown have an empty text between.
fn texts_of(pieces: &[Piece]) -> Vec<String> {
    let mut texts = vec![String::new()];
    for piece in pieces {
        match (piece, texts.last_mut()) {
            (Piece::Text(text), Some(last)) => last.push_str(text),
            _ => texts.push(String::new()),
        }
    }
    texts
}

fn shown(texts: &[impl AsRef<str>]) -> String {
    texts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("{…}")
}

/// A message of a bearable length.
fn cut(message: &str) -> String {
    const BYTES_MAX: usize = 400;
    if message.len() <= BYTES_MAX {
        return message.to_owned();
    }
    shortened(message)
}
