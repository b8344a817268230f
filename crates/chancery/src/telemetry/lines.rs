//! Looks at a line that somebody logged: one of ours or of another program, JSON or text.

use std::{fmt, net::SocketAddr};

use chancery_domain::Timestamp;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{
    ALLOWED, LISTENING,
    cleaner::{Class, is_nothing, look as look_at_text, was_removed},
    names::known,
};

/// What is in a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// When it was logged, if it says so.
    pub(crate) time: Option<Timestamp>,
    /// What must not be there.
    pub(crate) found: Vec<Class>,
}

/// Looks at one line.
pub(crate) fn look(line: &str, now: Timestamp) -> Seen {
    if line.trim_start().starts_with('{') {
        let mut seen = Seen::default();
        let mut json = serde_json::Deserializer::from_str(line);
        let member = Member { name: "", of: None, now, seen: &mut seen };
        // What is behind it, or no JSON at all, is looked at as text.
        if member.deserialize(&mut json).and_then(|()| json.end()).is_ok() {
            return seen;
        }
    }
    let time = line.split_whitespace().next().and_then(|word| word.parse().ok());
    Seen { time, found: look_at_text(line, now).into_iter().map(|found| found.class).collect() }
}

/// A member of an object. Each is looked at as it is read: of two with one name both are.
struct Member<'s> {
    name: &'s str,
    /// What the name of the object that it is in says of all within.
    of: Option<Class>,
    now: Timestamp,
    seen: &'s mut Seen,
}

/// Members that hold a moment as a number.
const TIMES: [&str; 4] = ["time", "ts", "timestamp", "@timestamp"];

impl Member<'_> {
    fn text(self, text: &str) {
        if self.name == "time"
            && let Ok(time) = text.parse()
        {
            self.seen.time = Some(time);
            return;
        }
        if self.name == LISTENING && text.parse::<SocketAddr>().is_ok() || is_nothing(text) || was_removed(text) {
            return;
        }
        match self.of {
            Some(class) => self.seen.found.push(class),
            None => self.seen.found.extend(look_at_text(text, self.now).into_iter().map(|found| found.class)),
        }
    }

    fn number(self, number: &dyn fmt::Display) {
        // Ours are counts and codes.
        if !ALLOWED.contains(&self.name) && !TIMES.contains(&self.name) {
            self.text(&number.to_string());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.text(text);
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.number(&number);
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.number(&number);
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.number(&number);
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { name, of, now, seen } = self;
        while items.next_element_seed(Member { name, of, now, seen: &mut *seen })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { of, now, seen, .. } = self;
        while let Some(name) = members.next_key::<String>()? {
            seen.found.extend(look_at_text(&name, now).into_iter().map(|found| found.class));
            let class = if ALLOWED.contains(&name.as_str()) { None } else { known(&name) };
            members.next_value_seed(Member { name: &name, of: of.or(class), now, seen: &mut *seen })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(line: &str) -> Vec<Class> {
        look(line, "2026-11-27T00:00:00Z".parse().unwrap()).found
    }

    #[test]
    fn a_line_of_ours_has_nothing_in_it() {
        for line in [
            r#"{"time":"2026-11-26T21:39:53.066259Z","level":"INFO","target":"chancery_middleware::observe","message":"Answered GET /v1/users/{id} with 200","status":200,"code":"","duration_us":123456789,"request_id":"req_01M8CWSTFND6KWW8PXWW231223","method":"GET","route":"/v1/users/{id}"}"#,
            r#"{"time":"2026-11-26T21:39:53.066259Z","level":"INFO","target":"chancery::commands::serve","message":"Ready","address":"203.0.113.77:443","environment":"production"}"#,
            r#"{"time":"2026-11-26T21:39:53.066259Z","message":"Refused","password":"[removed: secret_name]","apiKey":null}"#,
            "2026-11-26T21:39:53.066259Z  INFO Answered GET /v1/users/{id} with 200 status=200 duration_us=1234 request_id=req_01M8CWSTFND6KWW8PXWW231223",
        ] {
            assert_eq!(found(line), [], "{line}");
            let time = look(line, "2026-11-27T00:00:00Z".parse().unwrap()).time;
            assert_eq!(time, Some("2026-11-26T21:39:53.066259Z".parse().unwrap()));
        }
    }

    #[test]
    fn members_are_looked_at_by_name_and_by_value_wherever_they_are() {
        for (line, classes) in [
            (r#"{"message":"x","password":"correct horse"}"#, &[Class::SecretName][..]),
            (r#"{"password":"a","password":null}"#, &[Class::SecretName]),
            (r#"{"request":{"headers":[{"X-Api-Key":"k"}]}}"#, &[Class::SecretName]),
            (r#"{"patient":{"given":["Jane","Q"],"age":7}}"#, &[Class::PersonalName; 3]),
            (r#"{"assignments":[{"ward":"B"}]}"#, &[Class::ScheduleName]),
            (r#"{"note":"call zoe@clinic.example"}"#, &[Class::Email]),
            (r#"{"zoe@clinic.example":1}"#, &[Class::Email]),
            (r#"{"n":123456789,"ts":1790000000}"#, &[Class::Ssn]),
            (r#"{"a":1} and 123-45-6789"#, &[Class::Ssn]),
            (r#"{"a":"zoe@clinic.example""#, &[Class::Email]),
        ] {
            assert_eq!(found(line), classes, "{line}");
        }
    }
}
