//! A JSON document whose numbers, key order and texts stay exactly as they came, and pointers into it (RFC 6901).
//!
//! `serde_json::Value` keeps 64 bits of a number; a laboratory value of thirty digits would come back as another one.

use std::collections::{BTreeMap, HashSet};

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::{Value, value::RawValue};
use zeroize::Zeroize;

use super::WipedJson;

/// How deep a document may be nested.
const MAX_DEPTH: usize = 32;

/// Why a text is no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Not JSON.
    #[error("not JSON")]
    NotJson,
    /// An object has a key twice.
    #[error("an object has a key twice")]
    Duplicate,
    /// More than 32 levels.
    #[error("nested too deep")]
    TooDeep,
}

/// A JSON document. Wiped on drop; does not print.
#[derive(PartialEq, Eq)]
pub enum Tree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// An object, its keys in the order in which they came.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`TreeError`].
    pub fn parse(text: &str) -> Result<Self, TreeError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| TreeError::NotJson)?;
        Self::read(raw, 0)
    }

    fn read(raw: &RawValue, depth: usize) -> Result<Self, TreeError> {
        let text = raw.get().trim_matches([' ', '\t', '\n', '\r']);
        let scalar = |text| serde_json::from_str::<Value>(text).map_err(|_| TreeError::NotJson);
        match text.bytes().next() {
            Some(b'{' | b'[') if depth >= MAX_DEPTH => Err(TreeError::TooDeep),
            Some(b'{') => {
                let Pairs(pairs) = serde_json::from_str(text).map_err(|_| TreeError::NotJson)?;
                let mut names = HashSet::new();
                if !pairs.iter().all(|(name, _)| names.insert(name.as_str())) {
                    return Err(TreeError::Duplicate);
                }
                drop(names);
                let members = pairs.into_iter().map(|(name, raw)| Ok((name, Self::read(raw, depth + 1)?)));
                Ok(Self::Object(members.collect::<Result<_, _>>()?))
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| TreeError::NotJson)?;
                Ok(Self::List(items.into_iter().map(|raw| Self::read(raw, depth + 1)).collect::<Result<_, _>>()?))
            }
            Some(b'-' | b'0'..=b'9') => Ok(Self::Number(text.to_owned())),
            _ => match scalar(text)? {
                Value::Null => Ok(Self::Null),
                Value::Bool(flag) => Ok(Self::Bool(flag)),
                Value::String(text) => Ok(Self::Text(text)),
                Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(TreeError::NotJson),
            },
        }
    }

    /// The same as a value with its exact text, if a plain value would lose digits.
    pub(crate) fn to_wiped(&self) -> Result<WipedJson, TreeError> {
        WipedJson::parse(&self.to_text()?).map_err(|_| TreeError::NotJson)
    }

    /// What a value is as a document.
    pub(crate) fn of_wiped(value: &WipedJson) -> Result<Self, TreeError> {
        match value.exact() {
            Some(text) => Self::parse(text),
            None => Self::parse(&zeroize::Zeroizing::new(value.expose().to_string())),
        }
    }

    fn to_text(&self) -> Result<zeroize::Zeroizing<String>, TreeError> {
        serde_json::to_string(self).map(zeroize::Zeroizing::new).map_err(|_| TreeError::NotJson)
    }

    /// The place that `pointer` names, to be changed; `None` if there is none.
    pub fn at(&mut self, pointer: &Pointer) -> Option<&mut Self> {
        pointer.0.iter().try_fold(self, |at, token| match at {
            Self::Object(members) => members.iter_mut().find(|(name, _)| name == token).map(|(_, value)| value),
            Self::List(items) => items.get_mut(index(token)?),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => None,
        })
    }

    /// Calls `found` for every object that has a member `name`, from the outside in; not for what lies within one.
    pub(super) fn each_with<'t>(&'t self, name: &str, found: &mut impl FnMut(&Pointer, &'t Self)) {
        self.walk(name, &mut Pointer(Vec::new()), found);
    }

    fn walk<'t>(&'t self, name: &str, at: &mut Pointer, found: &mut impl FnMut(&Pointer, &'t Self)) {
        match self {
            Self::Object(members) => match members.as_slice() {
                members if members.iter().any(|(key, _)| key == name) => found(at, self),
                members => {
                    for (key, value) in members {
                        at.0.push(key.clone());
                        value.walk(name, at, found);
                        at.0.pop();
                    }
                }
            },
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    at.0.push(index.to_string());
                    item.walk(name, at, found);
                    at.0.pop();
                }
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => {}
        }
    }

    /// The members of an object by name, if it has exactly these.
    pub(super) fn exactly<const N: usize>(&self, names: [&str; N]) -> Option<[&Self; N]> {
        let Self::Object(members) = self else { return None };
        if members.len() != N {
            return None;
        }
        let members: BTreeMap<&str, &Self> = members.iter().map(|(name, value)| (name.as_str(), value)).collect();
        let values: Vec<&Self> = names.iter().filter_map(|name| members.get(name).copied()).collect();
        values.try_into().ok()
    }
}

/// Members in their order, doubles too.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut entries: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = entries.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(text) => RawValue::from_string(text.clone()).map_err(S::Error::custom)?.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(members) => serializer.collect_map(members.iter().map(|(name, value)| (name, value))),
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        match self {
            Self::Number(text) | Self::Text(text) => text.zeroize(),
            // Lists and objects are dropped member by member; keys may be somebody's data too.
            Self::Object(members) => members.iter_mut().for_each(|(name, _)| name.zeroize()),
            Self::Null | Self::Bool(_) | Self::List(_) => {}
        }
    }
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tree(..)")
    }
}

/// A way into a document (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads `/a/0/b~1c`; `None` if it is no pointer.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        let tokens = text.strip_prefix('/')?.split('/');
        tokens.map(unescape).collect::<Option<_>>().map(Self)
    }

    /// Whether it leads through the place of `other` or to it.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// For a fault: stops before the first key that could be somebody's data.
    pub(super) fn told(&self, before: &str) -> String {
        let plain = |key: &&String| {
            !key.is_empty() && key.len() <= 64 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        self.0.iter().take_while(plain).fold(before.to_owned(), |text, key| text + "/" + key)
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut text = String::with_capacity(token.len());
    let mut letters = token.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '~' => match letters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(text)
}

/// An index without leading zeros (RFC 6901 §4).
fn index(token: &str) -> Option<usize> {
    let plain = token.bytes().all(|byte| byte.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    token.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again(text: &str) -> String {
        serde_json::to_string(&Tree::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn numbers_keys_and_texts_stay_as_they_were() {
        for text in [
            r#"{"b":1,"a":[123456789012345678901234567890.10,1e400,-0,-0.0,1E+2,0.1000]}"#,
            r#"{"":{"/":"~","ü":"\u0000 👩‍⚕️"}}"#,
            "[null,true,false,[],{},\"\"]",
            "18446744073709551616",
        ] {
            let one = again(text);
            assert_eq!(one, text);
        }
        assert_eq!(again(" { \"a\" : [ 1 , 2 ] } "), r#"{"a":[1,2]}"#);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for (text, error) in [
            ("", TreeError::NotJson),
            ("{", TreeError::NotJson),
            ("01", TreeError::NotJson),
            ("NaN", TreeError::NotJson),
            ("\"\\ud800\"", TreeError::NotJson),
            (r#"{"a":1,"a":1}"#, TreeError::Duplicate),
            (r#"[{"a":{"b":1,"\u0062":2}}]"#, TreeError::Duplicate),
        ] {
            assert_eq!(Tree::parse(text).err(), Some(error), "{text}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(Tree::parse(&deep(32)).is_ok());
        assert_eq!(Tree::parse(&deep(33)).err(), Some(TreeError::TooDeep));
        assert!(Tree::parse(&deep(100_000)).is_err());
    }

    #[test]
    fn the_pointers_of_rfc_6901_find_their_places() {
        let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        let mut tree = Tree::parse(text).unwrap();
        let mut at = |pointer: &str| {
            let place = tree.at(&Pointer::parse(pointer)?)?;
            serde_json::to_string(place).ok()
        };
        for (pointer, value) in [
            ("", text),
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(at(pointer).as_deref(), Some(value), "{pointer}");
        }
        for missing in ["foo", "/foo/2", "/foo/01", "/foo/-", "/foo/+1", "/foo/0/x", "/m~n", "/m~2n", "/m~", "//"] {
            assert_eq!(at(missing), None, "{missing}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter("a number", |n| n.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_document_comes_back(value in values()) {
            let text = value.to_string();
            prop_assert_eq!(again(&text), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}", pointer in "(/[a-z0-9~/]{0,4}){0,4}") {
            if let Ok(mut tree) = Tree::parse(&text)
                && let Some(pointer) = Pointer::parse(&pointer) {
                let _ = tree.at(&pointer);
            }
        }

        #[test]
        fn odd_json_is_read_as_serde_reads_it_or_refused(text in r#"[\[\]{}:,"0-9eE.+\-a-c \\]{0,40}"#) {
            match (Tree::parse(&text), serde_json::from_str::<Value>(&text)) {
                (Ok(tree), Ok(value)) => {
                    let ours: Value = serde_json::from_str(&serde_json::to_string(&tree).unwrap()).unwrap();
                    prop_assert_eq!(ours, value);
                }
                // serde takes the last of double keys, and refuses numbers that no f64 holds.
                (Err(error), Ok(_)) => prop_assert_eq!(error, TreeError::Duplicate),
                (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("number out of range"), "{}", error),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
