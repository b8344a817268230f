//! Dictionaries of structured fields (RFC 9651), written: `Permissions-Policy` and `Reporting-Endpoints` are such.

use std::fmt;

/// A value that stands alone or within a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A word, such as `self`.
    Token(String),
    /// A text in quotes, such as an address.
    Text(String),
}

/// What a key of a dictionary means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// One value.
    One(Item),
    /// Values in brackets.
    List(Vec<Item>),
}

/// Why something cannot be written as a structured field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotStructured {
    /// A key is a small letter or `*`, followed by small letters, digits and `_-.*`.
    #[error("a key is a small letter, followed by small letters, digits, `_`, `-` and `.`")]
    Key,
    /// A token begins with a letter and holds no spaces.
    #[error("a token begins with a letter and holds no spaces, quotes and brackets")]
    Token,
    /// A text is of printable ASCII.
    #[error("a text holds printable ASCII only")]
    Text,
}

/// Keys in order, each with its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dictionary(Vec<(String, Member)>);

impl Dictionary {
    /// With one more key, or another value of one that is there.
    ///
    /// # Errors
    ///
    /// [`NotStructured`] if it could not be read again.
    pub fn with(mut self, key: &str, member: Member) -> Result<Self, NotStructured> {
        if !is_key(key) {
            return Err(NotStructured::Key);
        }
        let items = match &member {
            Member::One(item) => std::slice::from_ref(item),
            Member::List(items) => items,
        };
        items.iter().try_for_each(check)?;
        self.0.retain(|(known, _)| known != key);
        self.0.push((key.to_owned(), member));
        Ok(self)
    }
}

impl fmt::Display for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (key, member)) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { ", " })?;
            write!(f, "{key}={member}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(item) => item.fmt(f),
            Self::List(items) => {
                f.write_str("(")?;
                for (number, item) in items.iter().enumerate() {
                    f.write_str(if number == 0 { "" } else { " " })?;
                    item.fmt(f)?;
                }
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => f.write_str(token),
            Self::Text(text) => write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

fn is_key(key: &str) -> bool {
    let mut bytes = key.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'*')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte))
}

fn check(item: &Item) -> Result<(), NotStructured> {
    match item {
        Item::Token(token) => {
            let mut bytes = token.bytes();
            let first = bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'*');
            let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte));
            if first && rest { Ok(()) } else { Err(NotStructured::Token) }
        }
        Item::Text(text) => {
            if text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) {
                Ok(())
            } else {
                Err(NotStructured::Text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a dictionary as RFC 9651 §4.2.2 says, written apart from the code above.
    fn read(text: &str) -> Vec<(String, Member)> {
        let mut rest = text;
        let mut read = Vec::new();
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=').unwrap();
            let (member, after) = match after.strip_prefix('(') {
                None => {
                    let (item, after) = item(after);
                    (Member::One(item), after)
                }
                Some(mut inner) => {
                    let mut items = Vec::new();
                    while !inner.starts_with(')') {
                        let (one, after) = item(inner);
                        items.push(one);
                        inner = after.trim_start_matches(' ');
                    }
                    (Member::List(items), &inner[1..])
                }
            };
            read.push((key.to_owned(), member));
            rest = if after.is_empty() { after } else { after.strip_prefix(", ").unwrap() };
        }
        read
    }

    fn item(text: &str) -> (Item, &str) {
        let Some(quoted) = text.strip_prefix('"') else {
            let end = text.find([' ', ')', ',']).unwrap_or(text.len());
            return (Item::Token(text[..end].to_owned()), &text[end..]);
        };
        let (mut value, mut bytes) = (String::new(), quoted.char_indices());
        loop {
            match bytes.next().unwrap() {
                (_, '\\') => value.push(bytes.next().unwrap().1),
                (at, '"') => return (Item::Text(value), &quoted[at + 1..]),
                (_, other) => value.push(other),
            }
        }
    }

    fn items() -> impl Strategy<Value = Item> {
        prop_oneof!["[a-zA-Z*][a-zA-Z0-9:/._-]{0,12}".prop_map(Item::Token), "[ -~]{0,24}".prop_map(Item::Text),]
    }

    fn members() -> impl Strategy<Value = Member> {
        prop_oneof![items().prop_map(Member::One), prop::collection::vec(items(), 0..4).prop_map(Member::List)]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(pairs in prop::collection::btree_map("[a-z*][a-z0-9_.*-]{0,10}", members(), 0..6)) {
            let mut dictionary = Dictionary::default();
            for (key, member) in &pairs {
                dictionary = dictionary.with(key, member.clone()).unwrap();
            }
            let text = dictionary.to_string();
            prop_assert!(http::HeaderValue::from_str(&text).is_ok());
            prop_assert_eq!(read(&text), pairs.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn nothing_breaks_out_of_its_place(key in "\\PC{0,8}", token in "\\PC{0,8}", text in any::<String>()) {
            let dictionary = Dictionary::default();
            if let Ok(written) = dictionary.clone().with(&key, Member::One(Item::Text(text.clone()))) {
                prop_assert_eq!(read(&written.to_string()), vec![(key, Member::One(Item::Text(text)))]);
            }
            if let Ok(written) = dictionary.with("a", Member::List(vec![Item::Token(token.clone())])) {
                prop_assert_eq!(read(&written.to_string()), vec![("a".to_owned(), Member::List(vec![Item::Token(token)]))]);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_again_is_refused() {
        let with = |key: &str, item: Item| Dictionary::default().with(key, Member::One(item)).err();
        let text = || Item::Text("x".to_owned());
        for key in ["", "A", "1a", "a b", "a=b", "ä", "a\r\n"] {
            assert_eq!(with(key, text()), Some(NotStructured::Key), "{key}");
        }
        assert_eq!(with("a", Item::Text("x\r\nset-cookie: a".to_owned())), Some(NotStructured::Text));
        for token in ["", "1", "a b", "a)", "a\"", "a,b"] {
            assert_eq!(with("a", Item::Token(token.to_owned())), Some(NotStructured::Token), "{token}");
        }
    }

    #[test]
    fn a_key_is_there_once() {
        let one = |value: &str| Member::One(Item::Token(value.to_owned()));
        let twice = Dictionary::default().with("a", one("x")).unwrap().with("a", one("y")).unwrap();
        assert_eq!(twice.to_string(), "a=y");
    }
}
