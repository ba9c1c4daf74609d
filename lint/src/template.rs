//! The template of a decorated function: `user:profile:{user_id}`, with the places of `tidegate._keys`.

/// A template taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template<'a> {
    /// Before, between and after the places.
    pub(crate) texts: Vec<&'a str>,
    /// `user.id` of `{user.id}`.
    pub(crate) places: Vec<&'a str>,
}

/// # Errors
/// What is wrong with it, to be said behind the template.
pub(crate) fn parse(template: &str) -> Result<Template<'_>, String> {
    let (mut texts, mut places, mut rest) = (Vec::new(), Vec::new(), template);
    loop {
        let (before, after) = rest.split_once('{').map_or((rest, None), |(before, after)| (before, Some(after)));
        if before.contains('}') {
            return Err("has a } without its {".to_owned());
        }
        texts.push(before);
        let Some(after) = after else { return Ok(Template { texts, places }) };
        let Some((place, after)) = after.split_once('}') else { return Err("has a { without its }".to_owned()) };
        if !place.split('.').all(is_identifier) {
            return Err(format!("has the place {{{place}}}, which is no name of a parameter"));
        }
        places.push(place);
        rest = after;
    }
}

/// As Python's `str.isidentifier`, near enough for letters of every language.
fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && characters.all(|character| character.is_alphanumeric() || character == '_')
}
