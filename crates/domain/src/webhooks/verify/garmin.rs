//! Garmin Health signs nothing. What stands in for a signature: a token in the path that nobody else was told, the name that Garmin
//! has for us, and a body of the one form that it sends, which leads nowhere but to Garmin.

use serde_json::Value;

use super::super::{Material, Message, Rejection};
use super::{Rules, Verified, digest, note, same};

/// Where the data that a notice tells of may be fetched.
const CALLBACK: &str = "https://apis.garmin.com/";

pub(super) fn verify(rules: &Rules, secrets: &[Material], message: &Message<'_>) -> Result<Verified, Rejection> {
    let shown = message.path_token.ok_or(Rejection::Unsigned)?;
    let client = message.one("garmin-client-id")?;
    let mut found = None;
    for (index, secret) in secrets.iter().enumerate() {
        if let Material::Token(token) = secret {
            note(&mut found, index, same(token.expose(), shown));
        }
    }
    let ours = rules.client_id.as_deref().is_some_and(|ours| same(ours, client));
    let secret = found.filter(|_| ours).ok_or(Rejection::WrongSignature)?;
    if !is_notice(message.body) {
        return Err(Rejection::Malformed);
    }
    let identity = digest(b"webhook body\n", &[message.body]);
    Ok(Verified { secret, sent_at: None, identity, has_id: false, copy: None, counter: None })
}

/// An object of lists of objects, each of a user; an address in it is Garmin's.
fn is_notice(body: &[u8]) -> bool {
    let Ok(Value::Object(kinds)) = serde_json::from_slice::<Value>(body) else { return false };
    let text = |entry: &Value, name: &str| entry.get(name).map(|value| value.as_str().map(str::to_owned));
    !kinds.is_empty()
        && kinds.values().all(|entries| {
            let Value::Array(entries) = entries else { return false };
            entries.iter().all(|entry| {
                let user = text(entry, "userId").flatten().is_some_and(|user| !user.is_empty());
                let address = match text(entry, "callbackURL") {
                    None => true,
                    Some(address) => address.is_some_and(|address| address.starts_with(CALLBACK)),
                };
                user && address
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_has_one_form_and_leads_to_garmin() {
        for good in [
            r#"{"dailies":[{"userId":"u","callbackURL":"https://apis.garmin.com/wellness-api/rest/dailies?x=1"}]}"#,
            r#"{"deregistrations":[{"userId":"u","userAccessToken":"t"}]}"#,
            r#"{"epochs":[]}"#,
        ] {
            assert!(is_notice(good.as_bytes()), "{good}");
        }
        for bad in [
            r#"{"dailies":[{"userId":"u","callbackURL":"https://apis.garmin.com.example/"}]}"#,
            r#"{"dailies":[{"userId":"u","callbackURL":"http://apis.garmin.com/"}]}"#,
            r#"{"dailies":[{"userId":"u","callbackURL":"https://apis.garmin.com@10.0.0.1/"}]}"#,
            r#"{"dailies":[{"userId":"u","callbackURL":7}]}"#,
            r#"{"dailies":[{"userId":""}]}"#,
            r#"{"dailies":[{}]}"#,
            r#"{"dailies":{"userId":"u"}}"#,
            "{}",
            "[]",
            "\u{fffd}",
        ] {
            assert!(!is_notice(bad.as_bytes()), "{bad}");
        }
    }
}
