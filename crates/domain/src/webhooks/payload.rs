//! A message as it is kept: what of its headers the application may need, and its body.

use chancery_crypto::Phi;
use serde_json::{Map, Value, json};

use super::{Form, Message, Provider, Rules, layout::is_of_the_way, verify::app_attest};

/// A message as it is handed on.
#[derive(Debug)]
pub struct Payload {
    /// Headers of the sender: the body's type, and what it was signed with.
    pub headers: Vec<(String, String)>,
    /// The body, to the byte.
    pub body: Phi<Vec<u8>>,
}

impl Payload {
    /// Of a message that was verified. Whatever else its sender said is not handed on.
    pub(super) fn of(rules: &Rules, message: &Message<'_>) -> Self {
        let mut names = signed_with(rules);
        names.push("content-type".to_owned());
        let each = |name: String| message.maybe(&name).ok().flatten().map(|value| (name, value.to_owned()));
        Self { headers: names.into_iter().filter_map(each).collect(), body: Phi::new(message.body.to_vec()) }
    }

    /// A line of JSON with the headers, then the body.
    pub(super) fn to_bytes(&self) -> Phi<Vec<u8>> {
        let headers: Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut bytes = Value::Object(headers).to_string().into_bytes();
        bytes.push(b'\n');
        // At once, so that no smaller copy of the body is left behind.
        Phi::new([bytes.as_slice(), self.body.expose()].concat())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub(super) fn read(bytes: &Phi<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.expose();
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (headers, rest) = bytes.split_at(end);
        let Value::Object(headers) = serde_json::from_slice(headers).ok()? else { return None };
        let text = |(name, value): (String, Value)| Some((name, value.as_str()?.to_owned()));
        let headers = headers.into_iter().map(text).collect::<Option<_>>()?;
        Some(Self { headers, body: Phi::new(rest.get(1..)?.to_vec()) })
    }
}

/// The headers with which a message was signed, for an application that looks at them itself. Tokens are not among them.
fn signed_with(rules: &Rules) -> Vec<String> {
    let fixed: &[&str] = match rules.provider {
        Provider::Standard => {
            &["webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "svix-timestamp", "svix-signature"]
        }
        Provider::GoogleHealth => &["x-healthapi-signature", "google-health-api-signature"],
        Provider::Garmin => &["garmin-client-id"],
        Provider::AppleHealth => &[app_attest::ASSERTION, app_attest::KEY_ID, app_attest::TIMESTAMP],
        _ => &[],
    };
    let mut names: Vec<String> = fixed.iter().map(|name| (*name).to_owned()).collect();
    if let Some(layout) = rules.provider.layout().or_else(|| rules.layout.clone()) {
        names.push(layout.header);
        names.extend(layout.stamp.filter(|_| layout.form == Form::Plain).map(|stamp| stamp.place));
        names.extend(layout.id);
    }
    // A layout of before that was asked for.
    names.retain(|name| !is_of_the_way(name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_with_the_headers_that_count_and_no_others() {
        let headers: [(&str, &[u8]); 4] = [
            ("x-oura-signature", b"AB"),
            ("content-type", b"application/json"),
            ("cookie", b"session=1"),
            ("x-auth-subject", b"admin"),
        ];
        let rules = Rules { provider: Provider::Oura, layout: None, client_id: None, app_ids: Vec::new() };
        let message = Message { headers: &headers, path_token: None, body: b"{\n\xff\n}" };
        let read = Payload::read(&Payload::of(&rules, &message).to_bytes()).unwrap();
        assert_eq!(read.body.expose(), b"{\n\xff\n}");
        let mut names: Vec<&str> = read.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-oura-signature"]);
        assert!(Payload::read(&Phi::new(b"{}".to_vec())).is_none());
    }
}
