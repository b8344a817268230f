//! What a sender signs, as a text with places in it.

/// The longest template.
const MAX_BYTES: usize = 128;

/// One piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Part {
    /// This text.
    Text(String),
    /// The moment, as the sender wrote it.
    Timestamp,
    /// The message's id.
    Id,
    /// The body.
    Body,
}

/// What is signed: a text with `{timestamp}`, `{id}` and `{body}` in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(Vec<Part>);

/// A text that is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a template: up to 128 printable characters with {{timestamp}}, {{id}} and {{body}}")]
pub struct ParseTemplateError;

impl Template {
    /// Its pieces.
    pub(in super::super) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// What stands on both sides of each id, if anything does: a text, or another piece and so none. What stands at an end is no side.
    pub(in super::super) fn beside_id(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.windows(2).filter_map(|pair| match pair {
            [Part::Id, Part::Text(text)] | [Part::Text(text), Part::Id] => Some(Some(text.as_str())),
            [Part::Id, _] | [_, Part::Id] => Some(None),
            _ => None,
        })
    }

    /// How often the body, the moment and the id are in it.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let of = |wanted: &Part| self.0.iter().filter(|part| *part == wanted).count();
        (of(&Part::Body), of(&Part::Timestamp), of(&Part::Id))
    }
}

impl std::str::FromStr for Template {
    type Err = ParseTemplateError;

    fn from_str(text: &str) -> Result<Self, ParseTemplateError> {
        if text.len() > MAX_BYTES || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(ParseTemplateError);
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or(ParseTemplateError)?;
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(match name {
                "timestamp" => Part::Timestamp,
                "id" => Part::Id,
                "body" => Part::Body,
                _ => return Err(ParseTemplateError),
            });
            rest = behind;
        }
        if rest.contains('}') {
            return Err(ParseTemplateError);
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Timestamp => f.write_str("{timestamp}"),
            Part::Id => f.write_str("{id}"),
            Part::Body => f.write_str("{body}"),
        })
    }
}

impl serde::Serialize for Template {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_reads_back() {
        for good in ["{body}", "v0:{timestamp}:{body}", "{id}.{timestamp}.{body}", "{timestamp}{body}", ""] {
            assert_eq!(good.parse::<Template>().unwrap().to_string(), good);
        }
        for bad in ["{", "}", "{bod}", "{body", "body}", "{}", "{body}\n", "{{body}}", &"x".repeat(129)] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }
}
