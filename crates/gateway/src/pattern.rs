//! The path of a route: `/api/patients/{id}`, or everything below `/api/*`.

use std::{cmp::Ordering, fmt};

use crate::{case, path::Canonical};

/// The path of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    rest: bool,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Any,
}

/// How a path fits a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is one of these.
    Whole,
    /// It would be one if small letters and capitals were the same.
    ButForCase,
    /// It is none.
    Not,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no path of a route: write /a/path, /a/{{parameter}} or /all/below/*")]
pub struct NoPattern;

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`NoPattern`].
    pub fn parse(text: &str) -> Result<Self, NoPattern> {
        let inside = text.strip_prefix('/').ok_or(NoPattern)?;
        let (inside, rest) = match inside.strip_suffix('*') {
            Some("") => ("", true),
            Some(inside) => (inside.strip_suffix('/').ok_or(NoPattern)?, true),
            None => (inside.strip_suffix('/').unwrap_or(inside), false),
        };
        let parts = inside.split('/').filter(|part| !inside.is_empty() || !part.is_empty());
        let parts = parts.map(part).collect::<Option<Vec<_>>>().ok_or(NoPattern)?;
        Ok(Self { parts, rest, text: text.to_owned() })
    }

    /// Whether a path is one of these.
    pub fn fit(&self, path: &Canonical) -> Fit {
        let (mut segments, mut fit) = (path.segments(), Fit::Whole);
        for part in &self.parts {
            let Some(segment) = segments.next() else { return Fit::Not };
            if let Part::Literal(literal) = part
                && *literal != segment
            {
                if !case::is_same(literal, &segment) {
                    return Fit::Not;
                }
                fit = Fit::ButForCase;
            }
        }
        if self.rest || segments.next().is_none() { fit } else { Fit::Not }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether its last segment is a parameter.
    pub fn ends_with_parameter(&self) -> bool {
        !self.rest && matches!(self.parts.last(), Some(Part::Any))
    }

    /// Whether both fit the same paths.
    pub fn is_same(&self, other: &Self) -> bool {
        self.parts == other.parts && self.rest == other.rest
    }

    /// The narrower one first: from left to right a word before a parameter, either before the rest.
    pub fn narrower_first(&self, other: &Self) -> Ordering {
        let weight = |pattern: &Self, at: usize| match pattern.parts.get(at) {
            Some(Part::Literal(_)) => 0,
            Some(Part::Any) => 1,
            None if pattern.rest => 3,
            None => 2,
        };
        let longest = self.parts.len().max(other.parts.len());
        let differ = (0..=longest).map(|at| weight(self, at).cmp(&weight(other, at)));
        differ.fold(Ordering::Equal, Ordering::then)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn part(text: &str) -> Option<Part> {
    if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        let word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return word.then_some(Part::Any);
    }
    // Written as the path itself is read, so that `/caf%C3%A9` may stand in a file.
    let path = Canonical::read(&format!("/{text}")).ok()?;
    let plain = !text.is_empty() && !text.contains(['*', '{', '}', ';']);
    let literal = path.segments().next()?.into_owned();
    plain.then_some(Part::Literal(literal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(pattern: &str, path: &str) -> Fit {
        Pattern::parse(pattern).unwrap().fit(&Canonical::read(path).unwrap())
    }

    fn fits(pattern: &str, path: &str) -> bool {
        fit(pattern, path) == Fit::Whole
    }

    #[test]
    fn a_pattern_fits_whole_segments() {
        assert!(fits("/", "/") && !fits("/", "/a"));
        assert!(fits("/a", "/a") && fits("/a", "/a/") && fits("/a/", "/a") && !fits("/a", "/ab"));
        assert!(fits("/a/{id}", "/a/7") && !fits("/a/{id}", "/a") && !fits("/a/{id}", "/a/7/b"));
        assert!(fits("/a/*", "/a") && fits("/a/*", "/a/b/c") && !fits("/a/*", "/ab"));
        assert!(fits("/*", "/") && fits("/*", "/a/b"));
        assert!(fits("/admin", "/%61dmin"), "as the application decodes it");
        assert!(fits("/a:b", "/a%3Ab"));
        assert!(fits("/admin", "/admin;x=1"), "with parameters it is no other path");
    }

    #[test]
    fn words_may_fit_but_for_their_case() {
        for (pattern, path) in [
            ("/admin/*", "/Admin"),
            ("/Admin/*", "/admin/x"),
            ("/admin/{id}/keys", "/admin/Xy/KEYS/"),
            ("/admin", "/%41dmin"),
            ("/caf%C3%A9", "/CAF%C3%89"),
            ("/keys", "/%E2%84%AAeys"),
            ("/sec/*", "/%C5%BFec/x"),
        ] {
            assert_eq!(fit(pattern, path), Fit::ButForCase, "{pattern} {path}");
        }
        assert_eq!(fit("/a/{id}", "/a/Xy"), Fit::Whole);
        assert_eq!(fit("/a/b", "/A/c"), Fit::Not);
        assert_eq!(fit("/a", "/A/b"), Fit::Not);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "a", "/a//b", "/a*", "/*/a", "/{}", "/{a b}", "/a/../b", "/x{y}", "/a;b", "/a b"] {
            assert_eq!(Pattern::parse(text), Err(NoPattern), "{text}");
        }
    }

    #[test]
    fn the_narrower_one_comes_first() {
        let mut patterns = ["/*", "/a/*", "/{x}", "/a", "/a/{id}", "/a/b", "/{x}/b", "/", "/a/{id}/c"]
            .map(|text| Pattern::parse(text).unwrap());
        patterns.sort_by(Pattern::narrower_first);
        let order: Vec<_> = patterns.iter().map(Pattern::as_str).collect();
        assert_eq!(order, ["/a/b", "/a/{id}/c", "/a/{id}", "/a", "/a/*", "/{x}/b", "/{x}", "/", "/*"]);
    }
}
