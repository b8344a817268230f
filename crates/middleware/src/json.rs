//! Strict JSON: no double keys, bounded depth, and faults that repeat nothing of the input.

use std::{collections::BTreeMap, fmt};

use chancery_domain::{Faults, records::WipedJson};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, error::Category, value::RawValue};
use zeroize::Zeroizing;

use crate::{Code, Problem};

/// How deep free-form JSON may be nested.
const MAX_DEPTH: u8 = 32;
/// How many faults one answer lists.
const MAX_FAULTS: usize = 32;
/// How many digits a member's name has at most, to be repeated: `sha256`, and no number of a record.
const MAX_DIGITS: usize = 4;
const DUPLICATE: &str = "duplicate key";
const TOO_DEEP: &str = "nested too deep";
/// How the error of a closed list begins; its choices follow.
const NOT_ONE_OF: &str = "not one of: ";
const CHOICES: &str = "use one of: ";

/// Any JSON value without double keys and at most 32 levels deep. It may be somebody's data: wiped on drop, never
/// printed. Numbers keep all their digits ([`WipedJson::exact`]).
pub struct Unique(WipedJson);

impl Unique {
    /// Reads it.
    pub fn expose(&self) -> &Value {
        self.0.expose()
    }
}

impl From<Unique> for WipedJson {
    fn from(value: Unique) -> Self {
        value.0
    }
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Exact(text) = Exact::deserialize(deserializer)?;
        let value = Level(0).deserialize(&mut serde_json::Deserializer::from_str(&text));
        let value = value.map_err(|error| {
            let text = error.to_string();
            let known = [TOO_DEEP, DUPLICATE].into_iter().find(|known| text.starts_with(known));
            de::Error::custom(known.unwrap_or("not readable"))
        })?;
        Ok(Self(WipedJson::with_text(value, &text)))
    }
}

/// The text of any JSON value, as it was sent. Wiped on drop, never printed.
pub struct Exact(Zeroizing<String>);

impl Exact {
    /// Reads it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Zeroizing::new(Box::<str>::from(raw).into_string())))
    }
}

/// Members, and the text of the others.
type Apart = (Map<String, Value>, Zeroizing<Vec<u8>>);

/// The members of a body that have one of these names, and the rest as text: nothing else of it changes. `None` if there
/// are none of them, or a member comes twice, or it is no object.
pub(crate) fn apart(bytes: &[u8], names: &[&str]) -> Option<Apart> {
    let Members(mut rest) = serde_json::from_slice(bytes).ok()?;
    let taken: Vec<(&str, &RawValue)> = names.iter().filter_map(|name| Some((*name, rest.remove(*name)?))).collect();
    if taken.is_empty() {
        return None;
    }
    let read = |(name, raw): (&str, &RawValue)| Some((name.to_owned(), serde_json::from_str(raw.get()).ok()?));
    let taken = taken.into_iter().map(read).collect::<Option<_>>()?;
    Some((taken, Zeroizing::new(serde_json::to_vec(&rest).ok()?)))
}

/// The members of an object as they were sent, none of them twice.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, raw)) = entries.next_entry::<String, &RawValue>()? {
                    if members.insert(name, raw).is_some() {
                        return Err(de::Error::custom(DUPLICATE));
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Each).map(Self)
    }
}

#[derive(Clone, Copy)]
struct Level(u8);

impl Level {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.0 >= MAX_DEPTH { Err(E::custom(TOO_DEEP)) } else { Ok(Self(self.0 + 1)) }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut fields = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(inner)?;
            if fields.insert(name, value).is_some() {
                return Err(de::Error::custom(DUPLICATE));
            }
        }
        Ok(fields.into())
    }
}

/// Refuses what is no object: a list would pass for one whose fields have no names.
pub(crate) fn check_object(bytes: &[u8]) -> Result<(), Problem> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first == Some(&b'{') {
        return Ok(());
    }
    match serde_json::from_slice::<Unique>(bytes) {
        Ok(_) => Err(Problem::invalid(Faults::one("", "type", "must be an object"))),
        Err(_) => Err(malformed(bytes)),
    }
}

/// Reads `bytes` as a `T` that denies unknown fields. What is none comes back as the value that it is, if any.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Option<Unique>> {
    // The common case pays for one pass only.
    serde_json::from_slice::<T>(bytes).map_err(|_| serde_json::from_slice(bytes).ok())
}

/// What is wrong with bytes that are no JSON value.
pub(crate) fn malformed(bytes: &[u8]) -> Problem {
    let problem = Problem::new(Code::RequestMalformed);
    match serde_json::from_slice::<Unique>(bytes) {
        Err(error) if error.classify() == Category::Data && !error.to_string().starts_with("not readable") => {
            problem.detail("an object has a key twice, or the body is nested too deep")
        }
        _ => problem.detail("the body is not valid JSON in UTF-8"),
    }
}

/// Reads a value as a `T`; otherwise one fault per bad field, as far as they can be told apart.
pub(crate) fn read_value<T: DeserializeOwned>(value: &mut Value) -> Result<T, Problem> {
    let mut faults = Faults::default();
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(&*value) {
            Ok(_) if !faults.0.is_empty() => return Err(invalid(faults)),
            Ok(read) => return Ok(read),
            Err(error) => error,
        };
        let mut keys: Vec<Key> = error.path().iter().filter_map(Key::of).collect();
        let text = error.inner().to_string();
        let (code, message) = explain(&text);
        if code == "required" {
            keys.extend(between_backticks(&text).map(|name| Key::Name(name.to_owned())));
        }
        faults.add(pointer(&keys), code, message);
        let keys: Vec<String> = keys.into_iter().map(Key::into_text).collect();
        let unknown = (code == "unknown_field").then(|| keys.last().cloned()).flatten();
        // An unknown field can be taken out to look for the next fault; anything else ends the search.
        let removed = unknown.is_some_and(|name| {
            let parent = keys.get(..keys.len().saturating_sub(1)).unwrap_or_default();
            parent
                .iter()
                .try_fold(&mut *value, |at, key| match at {
                    Value::Object(fields) => fields.get_mut(key),
                    Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
                    _ => None,
                })
                .and_then(Value::as_object_mut)
                .is_some_and(|fields| fields.remove(&name).is_some())
        });
        if !removed || faults.0.len() >= MAX_FAULTS {
            return Err(invalid(faults));
        }
    }
}

/// With the choices of a closed list in the detail too, for readers who look no further.
fn invalid(faults: Faults) -> Problem {
    let choices = faults.0.iter().find(|fault| fault.message.starts_with(CHOICES));
    let detail = choices.map(|fault| format!("{}: {}", fault.pointer, fault.message));
    let problem = Problem::invalid(faults);
    match detail {
        Some(detail) => problem.detail(detail),
        None => problem,
    }
}

/// One step of the way to a fault.
enum Key {
    Index(usize),
    Name(String),
}

impl Key {
    fn of(segment: &serde_path_to_error::Segment) -> Option<Self> {
        match segment {
            serde_path_to_error::Segment::Seq { index } => Some(Self::Index(*index)),
            serde_path_to_error::Segment::Map { key } => Some(Self::Name(key.clone())),
            serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => None,
        }
    }

    /// Whether it may be repeated.
    fn is_told(&self) -> bool {
        match self {
            Self::Index(_) => true,
            Self::Name(name) => is_name(name),
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Index(index) => index.to_string(),
            Self::Name(name) => name,
        }
    }
}

/// A JSON pointer (RFC 6901) that stops before the first key that could be somebody's data.
fn pointer(keys: &[Key]) -> String {
    keys.iter().take_while(|key| key.is_told()).fold(String::new(), |text, key| match key {
        Key::Index(index) => format!("{text}/{index}"),
        Key::Name(name) => format!("{text}/{name}"),
    })
}

/// A name as members have: of letters and a few digits. More digits are a number of somebody or something.
pub(crate) fn is_name(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 64
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && key.bytes().filter(u8::is_ascii_digit).count() <= MAX_DIGITS
}

/// A code and a sentence for an error of serde, without the value that its own text may hold.
pub(crate) fn explain(text: &str) -> (&'static str, String) {
    // What follows the last "expected" comes from our types; what precedes it may come from the input.
    let expected = text.rsplit_once(", expected ").map(|(_, expected)| strip_place(expected));
    if text.starts_with("missing field") {
        return ("required", "is required".into());
    }
    if text.starts_with("unknown field") {
        let known =
            expected.map_or_else(String::new, |known| format!("; known: {}", known.trim_start_matches("one of ")));
        return ("unknown_field", format!("is not known{known}"));
    }
    if text.starts_with("duplicate field") {
        return ("duplicate", "is given twice".into());
    }
    if text.starts_with("out of range") {
        let bounds = text.split_once(": ").map_or("use a smaller number", |(_, bounds)| strip_place(bounds));
        return ("range", bounds.to_owned());
    }
    if text.starts_with("invalid value: integer") {
        return ("range", "is out of range".into());
    }
    if let Some(choices) = text.strip_prefix(NOT_ONE_OF) {
        return ("invalid", format!("{CHOICES}{}", strip_place(choices)));
    }
    if text.starts_with("invalid type") {
        return ("type", format!("must be {}", expected.unwrap_or("of another type")));
    }
    if text.starts_with("unknown variant") {
        return ("invalid", format!("must be {}", expected.unwrap_or("another value")));
    }
    // Our own identifiers, codes and moments; their texts never repeat the input.
    let ours = ["unknown ", "not a valid `", "not an RFC 3339"].iter().any(|start| text.starts_with(start));
    if ours && text.len() < 100 {
        ("invalid", strip_place(text).to_owned())
    } else {
        ("invalid", "is not valid".into())
    }
}

fn strip_place(text: &str) -> &str {
    text.split_once(" at line ").map_or(text, |(before, _)| before)
}

fn between_backticks(text: &str) -> Option<&str> {
    text.split_once('`')?.1.split_once('`').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for its errors only")]
    struct Outer {
        name: String,
        items: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read for its errors only")]
    struct Inner {
        count: u32,
    }

    fn errors(text: &str) -> serde_json::Value {
        let mut value = serde_json::from_str(text).unwrap();
        let problem = read_value::<Outer>(&mut value).unwrap_err();
        serde_json::to_value(
            problem.faults().0.iter().map(|fault| (fault.pointer.clone(), fault.code)).collect::<Vec<_>>(),
        )
        .unwrap()
    }

    #[test]
    fn faults_point_at_the_field() {
        assert_eq!(errors(r#"{"name":1,"items":[]}"#), serde_json::json!([["/name", "type"]]));
        assert_eq!(errors(r#"{"items":[]}"#), serde_json::json!([["/name", "required"]]));
        assert_eq!(
            errors(r#"{"name":"","items":[{"count":1},{"count":"Jane"}]}"#),
            serde_json::json!([["/items/1/count", "type"]])
        );
        assert_eq!(
            errors(r#"{"name":"","x":1,"y":2,"items":[{"count":1,"z":0}]}"#),
            serde_json::json!([["/items/0/z", "unknown_field"], ["/x", "unknown_field"], ["/y", "unknown_field"]])
        );
    }

    #[test]
    fn bounds_and_choices_are_told() {
        assert_eq!(explain("out of range: use 0 to 9 at line 1 column 2"), ("range", "use 0 to 9".to_owned()));
        assert_eq!(explain("invalid value: integer `-1`, expected u32"), ("range", "is out of range".to_owned()));
        assert_eq!(explain("not one of: a, b"), ("invalid", "use one of: a, b".to_owned()));
    }

    #[test]
    fn a_list_is_no_object() {
        // As serde would have it, this is an `Outer` without names.
        assert!(serde_json::from_str::<Outer>(r#"["name",[]]"#).is_ok());
        let code = |text: &str| check_object(text.as_bytes()).map_err(|problem| problem.code());
        assert_eq!(code(" \n{"), Ok(()));
        for other in [r#"["name",[]]"#, "[]", "7", "\"{}\"", "null", " true"] {
            assert_eq!(code(other), Err(Code::RequestInvalid), "{other}");
        }
        for broken in ["", "[", "[\"a\" "] {
            assert_eq!(code(broken), Err(Code::RequestMalformed), "{broken}");
        }
    }

    #[test]
    fn nothing_of_the_input_is_repeated() {
        let mut value = serde_json::json!({"name": "", "items": [{"count": "123-45-6789"}], "Jane Doe, expected 7": 1});
        let problem = read_value::<Outer>(&mut value).unwrap_err();
        let text = format!("{:?}", problem.faults());
        assert!(!text.contains("6789") && !text.contains("Jane"), "{text}");
    }

    /// Found by the canaries: the name of an unknown member was repeated, whatever it was.
    #[test]
    fn a_number_as_a_members_name_is_not_repeated() {
        for name in ["MRN73519284", "987654320", "n415_867_5309", "ACCT5520917733"] {
            let unknown = errors(&format!(r#"{{"name":"","items":[],"{name}":1}}"#));
            assert_eq!(unknown, serde_json::json!([["", "unknown_field"]]), "{name}");
            let inside = errors(&format!(r#"{{"name":"","items":[{{"count":1,"{name}":1}}]}}"#));
            assert_eq!(inside, serde_json::json!([["/items/0", "unknown_field"]]), "{name}");
        }
        assert_eq!(errors(r#"{"name":"","items":[],"sha256":1}"#), serde_json::json!([["/sha256", "unknown_field"]]));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let read = |text: &str| serde_json::from_str::<Unique>(text).unwrap().0.exact().map(str::to_owned);
        let text = r#"{"z":123456789012345678901234567890,"a":0.10}"#;
        assert_eq!(read(text).as_deref(), Some(text));
        assert_eq!(read(r#"{"z":1}"#), None);
        let body = format!(r#"{{"tenant":"x","value":{text}}}"#);
        let (taken, kept) = apart(body.as_bytes(), &["tenant", "tenant_id"]).unwrap();
        assert_eq!(serde_json::Value::from(taken), serde_json::json!({"tenant": "x"}));
        assert_eq!(std::str::from_utf8(&kept).unwrap(), format!(r#"{{"value":{text}}}"#));
        assert!(apart(br#"{"tenant":"x","tenant":"x"}"#, &["tenant"]).is_none());
        assert!(apart(br#"{"value":1}"#, &["tenant"]).is_none());
    }

    #[test]
    fn double_keys_and_depth_are_refused() {
        assert!(serde_json::from_str::<Unique>(r#"{"a":1,"a":1}"#).is_err());
        assert!(serde_json::from_str::<Unique>(r#"[{"a":{"b":1,"b":2}}]"#).is_err());
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(serde_json::from_str::<Unique>(&deep(32)).is_ok());
        assert!(serde_json::from_str::<Unique>(&deep(33)).is_err());
    }
}
