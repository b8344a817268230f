//! Writes canonical objects member by member, without a map between.

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::{CanonicalError, DEPTH, INTEGER_MAX, letters, string, write};

/// An object whose canonical bytes are written as its members come: in the order of their keys, each once.
///
/// A member out of order makes [`Members::finish`] fail, so what comes out is what [`super::to_vec`] would give.
#[derive(Debug)]
pub struct Members<'k> {
    out: String,
    /// The key before, and how deep it lies.
    last: Option<&'k str>,
    depth: usize,
    fault: Option<CanonicalError>,
}

impl<'k> Members<'k> {
    /// An object without members, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = String::with_capacity(bytes);
        out.push('{');
        Self { out, last: None, depth: DEPTH - 1, fault: None }
    }

    /// A text.
    pub fn text(&mut self, key: &'k str, text: &str) {
        self.key(key);
        string(&mut self.out, text);
    }

    /// What prints as a text.
    pub fn display(&mut self, key: &'k str, value: impl fmt::Display) {
        self.key(key);
        self.printed(value);
    }

    /// A whole number.
    pub fn number(&mut self, key: &'k str, number: i64) {
        self.key(key);
        if number.unsigned_abs() > INTEGER_MAX {
            self.fault = Some(CanonicalError::IntegerTooLarge);
        }
        let _ = write!(self.out, "{number}"); // writing to a `String` cannot fail
    }

    /// A list of what prints as texts.
    pub fn texts<T: fmt::Display>(&mut self, key: &'k str, texts: impl IntoIterator<Item = T>) {
        self.key(key);
        self.out.push('[');
        for (at, text) in texts.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.printed(text);
        }
        self.out.push(']');
    }

    /// Any other value.
    pub fn value(&mut self, key: &'k str, value: &Value) {
        self.key(key);
        if let Err(error) = write(&mut self.out, value, self.depth) {
            self.fault = Some(error);
        }
    }

    /// An object within.
    pub fn object(&mut self, key: &'k str, members: impl FnOnce(&mut Self)) {
        self.key(key);
        let outer = self.last.take();
        match self.depth.checked_sub(1) {
            Some(depth) => self.depth = depth,
            None => self.fault = Some(CanonicalError::TooDeep),
        }
        self.out.push('{');
        members(self);
        self.out.push('}');
        self.depth += 1;
        self.last = outer;
    }

    /// The whole object.
    ///
    /// # Errors
    ///
    /// [`CanonicalError`]: a member came out of order, or a value is outside the profile.
    pub fn finish(mut self) -> Result<String, CanonicalError> {
        self.out.push('}');
        match self.fault {
            None => Ok(self.out),
            Some(fault) => Err(fault),
        }
    }

    fn key(&mut self, key: &'k str) {
        if !key.is_ascii() {
            self.fault = Some(CanonicalError::Key);
        }
        match self.last.replace(key) {
            Some(last) if last.as_bytes() >= key.as_bytes() => self.fault = Some(CanonicalError::NotCanonical),
            Some(_) => self.out.push(','),
            None => {}
        }
        string(&mut self.out, key);
        self.out.push(':');
    }

    fn printed(&mut self, value: impl fmt::Display) {
        self.out.push('"');
        let _ = write!(Letters(&mut self.out), "{value}"); // writing to a `String` cannot fail
        self.out.push('"');
    }
}

/// Escapes what is written to it.
struct Letters<'o>(&'o mut String);

impl fmt::Write for Letters<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        letters(self.0, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn it_writes_what_a_map_would(text in ".*", number in -9_007_199_254_740_991_i64..9_007_199_254_740_991, texts in proptest::collection::vec(".*", 0..4)) {
            let mut members = Members::with_capacity(64);
            members.text("a", &text);
            members.object("b", |members| {
                members.number("n", number);
                members.texts("t", &texts);
            });
            members.object("c", |_| {});
            members.display("d", &text);
            members.value("e", &json!({"z": [text], "y": number}));
            let map = json!({
                "a": text, "b": {"n": number, "t": texts}, "c": {}, "d": text, "e": {"z": [text], "y": number},
            });
            prop_assert_eq!(members.finish().unwrap().into_bytes(), super::super::to_vec(&map).unwrap());
        }
    }

    #[test]
    fn a_member_out_of_order_or_outside_the_profile_is_refused() {
        let made = |write: fn(&mut Members<'_>)| {
            let mut members = Members::with_capacity(0);
            write(&mut members);
            members.finish()
        };
        let order = |members: &mut Members<'_>| {
            members.text("b", "");
            members.text("a", "");
        };
        assert_eq!(made(order), Err(CanonicalError::NotCanonical));
        let twice = |members: &mut Members<'_>| {
            members.text("a", "");
            members.text("a", "");
        };
        assert_eq!(made(twice), Err(CanonicalError::NotCanonical));
        assert_eq!(made(|members| members.text("ä", "")), Err(CanonicalError::Key));
        assert_eq!(made(|members| members.number("a", 1 << 53)), Err(CanonicalError::IntegerTooLarge));
        assert_eq!(made(|members| members.value("a", &json!(0.5))), Err(CanonicalError::Float));
        assert_eq!(made(|_| {}).unwrap(), "{}");
    }
}
