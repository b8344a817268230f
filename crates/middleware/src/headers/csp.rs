//! A content security policy: read, changed, written ([CSP 3](https://www.w3.org/TR/CSP3/)).

use std::fmt;

/// A policy: directives in order, each with its sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Csp(Vec<Directive>);

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// In small letters, such as `script-src`.
    pub name: String,
    /// As written, without the spaces between them.
    pub sources: Vec<String>,
}

/// The text is no policy at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy is of printable ASCII, without commas, of at most 8,192 characters")]
pub struct NotACsp;

/// The longest policy that is read.
const LONGEST: usize = 8_192;
/// What stands for a nonce until a response gets one.
pub(crate) const NONCE: &str = "'nonce-'";

impl Csp {
    /// Reads a policy. A directive that comes twice counts once, as in browsers: the first.
    ///
    /// # Errors
    ///
    /// [`NotACsp`] if a browser would see something else than one policy.
    pub fn parse(text: &str) -> Result<Self, NotACsp> {
        let fine = |byte: u8| (0x20..=0x7e).contains(&byte) && byte != b',';
        if text.len() > LONGEST || !text.bytes().all(fine) {
            return Err(NotACsp);
        }
        let mut policy = Self::default();
        for part in text.split(';') {
            let mut words = part.split_ascii_whitespace();
            let Some(name) = words.next().map(str::to_ascii_lowercase) else { continue };
            if policy.directive(&name).is_none() {
                policy.0.push(Directive { name, sources: words.map(str::to_owned).collect() });
            }
        }
        Ok(policy)
    }

    /// Of text in this crate, which is known to be a policy.
    pub(crate) fn of(directives: &[(&str, &str)]) -> Self {
        directives.iter().fold(Self::default(), |policy, (name, sources)| policy.with(name, sources))
    }

    /// All directives.
    pub fn directives(&self) -> &[Directive] {
        &self.0
    }

    /// The sources of a directive, if it is there.
    pub fn directive(&self, name: &str) -> Option<&[String]> {
        self.0.iter().find(|directive| directive.name == name).map(|directive| directive.sources.as_slice())
    }

    /// What governs `name`: the directive itself, or `default-src`.
    pub fn effective(&self, name: &str) -> Option<&[String]> {
        self.directive(name).or_else(|| self.directive("default-src"))
    }

    /// With other sources for a directive, separated by spaces.
    #[must_use]
    pub fn with(mut self, name: &str, sources: &str) -> Self {
        let sources = sources.split_ascii_whitespace().map(str::to_owned).collect();
        match self.0.iter_mut().find(|directive| directive.name == name) {
            Some(directive) => directive.sources = sources,
            None => self.0.push(Directive { name: name.to_owned(), sources }),
        }
        self
    }

    /// With one more source in a directive; `'none'` makes room for it.
    #[must_use]
    pub fn adding(mut self, name: &str, source: &str) -> Self {
        let inherited = self.effective(name).unwrap_or_default().to_vec();
        if self.directive(name).is_none() {
            self.0.push(Directive { name: name.to_owned(), sources: inherited });
        }
        if let Some(directive) = self.0.iter_mut().find(|directive| directive.name == name) {
            directive.sources.retain(|known| known != "'none'");
            if !directive.sources.iter().any(|known| known == source) {
                directive.sources.push(source.to_owned());
            }
        }
        self
    }

    /// Without a directive.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|directive| directive.name != name);
        self
    }

    /// Without `'unsafe-inline'` and `'unsafe-eval'` for scripts, and whether there were any.
    #[must_use]
    pub fn without_unsafe_scripts(mut self) -> (Self, bool) {
        let mut found = false;
        for directive in self.0.iter_mut().filter(|directive| is_for_scripts(&directive.name)) {
            let before = directive.sources.len();
            directive.sources.retain(|source| !is_unsafe(source));
            found |= directive.sources.len() < before;
            if directive.sources.is_empty() {
                directive.sources.push("'none'".to_owned());
            }
        }
        (self, found)
    }

    /// With a place for a nonce where scripts and styles are named. Each response fills it in.
    pub(crate) fn with_nonces(self) -> Self {
        self.adding("script-src", NONCE).adding("style-src", NONCE)
    }
}

/// Whether scripts are let in by it.
pub(crate) fn is_for_scripts(directive: &str) -> bool {
    matches!(directive, "default-src" | "script-src" | "script-src-elem" | "script-src-attr")
}

fn is_unsafe(source: &str) -> bool {
    ["'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'"].iter().any(|word| source.eq_ignore_ascii_case(word))
}

impl fmt::Display for Csp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, directive) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { "; " })?;
            f.write_str(&directive.name)?;
            for source in &directive.sources {
                write!(f, " {source}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_of_two_counts_and_odd_text_is_refused() {
        let policy = Csp::parse(" Default-Src 'self' ;; img-src  data: https:;default-src *; ").unwrap();
        assert_eq!(policy.to_string(), "default-src 'self'; img-src data: https:");
        for odd in ["default-src 'self', script-src *", "a\nb", "default-src \u{e4}", &"x".repeat(8_193)] {
            assert_eq!(Csp::parse(odd), Err(NotACsp), "{odd}");
        }
    }

    #[test]
    fn a_source_goes_where_the_browser_looks_for_it() {
        let policy = Csp::of(&[("default-src", "'none'"), ("connect-src", "'self'")]);
        let policy = policy.adding("script-src", "https://cdn.example").adding("connect-src", "'self'");
        assert_eq!(policy.to_string(), "default-src 'none'; connect-src 'self'; script-src https://cdn.example");
        let inherited = Csp::of(&[("default-src", "'self'")]).adding("style-src", "https://cdn.example");
        assert_eq!(inherited.to_string(), "default-src 'self'; style-src 'self' https://cdn.example");
    }

    #[test]
    fn inline_scripts_go_and_inline_styles_stay() {
        let policy = Csp::parse("script-src 'UNSAFE-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'").unwrap();
        let (policy, found) = policy.without_unsafe_scripts();
        assert_eq!((policy.to_string().as_str(), found), ("script-src 'none'; style-src 'self' 'unsafe-inline'", true));
        assert!(!policy.without_unsafe_scripts().1);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(parts in prop::collection::btree_map("[a-z]{1,9}(-src)?", prop::collection::vec("[!-+\\--:<-~]{1,16}", 0..4), 0..6)) {
            let mut policy = Csp::default();
            for (name, sources) in &parts {
                policy = policy.with(name, &sources.join(" "));
            }
            prop_assert!(http::HeaderValue::from_str(&policy.to_string()).is_ok());
            prop_assert_eq!(Csp::parse(&policy.to_string()).unwrap(), policy);
        }

        #[test]
        fn reading_and_writing_settles_at_once(text in "[ -~]{0,200}") {
            if let Ok(policy) = Csp::parse(&text) {
                let written = policy.to_string();
                prop_assert_eq!(Csp::parse(&written).unwrap().to_string(), written);
            }
        }
    }
}
