//! What providers ask before they send: whether whoever is at this address knows what the two agreed on.

use serde_json::{Value, json};

use super::{Material, Message, Provider, verify::tink::shows_token};

/// The longest challenge that is given back.
const MAX_CHALLENGE: usize = 256;

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body, in JSON, if there is one.
    pub body: Option<String>,
}

impl Reply {
    const fn bare(status: u16) -> Self {
        Self { status, body: None }
    }

    /// Whether the provider showed what was agreed on.
    pub const fn is_yes(&self) -> bool {
        self.status < 300
    }
}

/// Answers a GET of a provider that asks in this way; `None` of others.
pub fn answer_get(provider: Provider, secrets: &[Material], query: &[(String, String)]) -> Option<Reply> {
    let one = |name: &str| {
        let mut found = query.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        found.next().filter(|_| found.next().is_none())
    };
    let knows = |shown: Option<&str>| shown.is_some_and(|shown| shows_token(secrets, shown) == Some(true));
    let echo = |name: &str, said: Option<&str>| match said.filter(|said| is_challenge(said)) {
        Some(said) => Reply { status: 200, body: Some(json!({ name: said }).to_string()) },
        None => Reply::bare(provider.refused()),
    };
    Some(match provider {
        Provider::Oura if knows(one("verification_token")) => echo("challenge", one("challenge")),
        Provider::Strava if knows(one("hub.verify_token")) && one("hub.mode") == Some("subscribe") => {
            echo("hub.challenge", one("hub.challenge"))
        }
        // It asks twice, once with a wrong code, and wants these two answers.
        Provider::Fitbit => Reply::bare(if knows(one("verify")) { 204 } else { 404 }),
        Provider::Oura | Provider::Strava => Reply::bare(provider.refused()),
        _ => return None,
    })
}

/// Answers a POST that asks and tells of nothing: Google Health's alone, which sends it with the token and without.
pub fn answer_post(provider: Provider, secrets: &[Material], message: &Message<'_>) -> Option<Reply> {
    if provider != Provider::GoogleHealth || message.body.len() > 1024 {
        return None;
    }
    let asked: Value = serde_json::from_slice(message.body).ok()?;
    if asked.get("type").and_then(Value::as_str) != Some("verification") {
        return None;
    }
    let shown = message.maybe("authorization").ok().flatten();
    let knows = shown.is_some_and(|shown| shows_token(secrets, shown) == Some(true));
    Some(Reply::bare(if knows { 201 } else { provider.refused() }))
}

/// What is given back is short and plain: whoever knows the token still cannot have us say what it likes.
fn is_challenge(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=+/".contains(&byte);
    (1..=MAX_CHALLENGE).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use chancery_crypto::Secret;

    use super::*;

    fn token() -> [Material; 1] {
        [Material::Token(Secret::new("agreed-on-with-the-provider".to_owned()))]
    }

    fn get(provider: Provider, query: &[(&str, &str)]) -> Option<(u16, Option<String>)> {
        let query: Vec<(String, String)> =
            query.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        answer_get(provider, &token(), &query).map(|reply| (reply.status, reply.body))
    }

    #[test]
    fn whoever_knows_the_token_gets_its_challenge_back() {
        let right = "agreed-on-with-the-provider";
        let body = |text: &str| Some(text.to_owned());
        assert_eq!(
            get(Provider::Oura, &[("verification_token", right), ("challenge", "c1")]),
            Some((200, body(r#"{"challenge":"c1"}"#)))
        );
        assert_eq!(get(Provider::Oura, &[("verification_token", "wrong"), ("challenge", "c1")]), Some((401, None)));
        assert_eq!(get(Provider::Oura, &[("challenge", "c1")]), Some((401, None)));
        assert_eq!(get(Provider::Oura, &[("verification_token", right), ("challenge", "<b>")]), Some((401, None)));
        let twice = [("verification_token", right), ("verification_token", "wrong"), ("challenge", "c1")];
        assert_eq!(get(Provider::Oura, &twice), Some((401, None)));
        let strava =
            |token| [("hub.mode", "subscribe"), ("hub.verify_token", token), ("hub.challenge", "15f7d1a91c1f40f8")];
        assert_eq!(get(Provider::Strava, &strava(right)), Some((200, body(r#"{"hub.challenge":"15f7d1a91c1f40f8"}"#))));
        assert_eq!(get(Provider::Strava, &strava("wrong")), Some((401, None)));
        assert_eq!(get(Provider::Fitbit, &[("verify", right)]), Some((204, None)));
        assert_eq!(get(Provider::Fitbit, &[("verify", "wrong")]), Some((404, None)));
        assert_eq!(get(Provider::Fitbit, &[]), Some((404, None)));
        assert_eq!(get(Provider::Whoop, &[("verify", right)]), None);
    }

    #[test]
    fn without_a_token_nobody_is_answered() {
        let query = [("verify".to_owned(), String::new())];
        assert_eq!(answer_get(Provider::Fitbit, &[], &query), Some(Reply { status: 404, body: None }));
    }

    #[test]
    fn google_asks_with_the_token_and_without() {
        let asked = |headers: &[(&str, &[u8])], body: &[u8]| {
            let message = Message { headers, path_token: None, body };
            answer_post(Provider::GoogleHealth, &token(), &message).map(|reply| reply.status)
        };
        let body = br#"{"type":"verification"}"#;
        assert_eq!(asked(&[("authorization", b"agreed-on-with-the-provider")], body), Some(201));
        assert_eq!(asked(&[("authorization", b"Bearer agreed-on-with-the-provider")], body), Some(401));
        assert_eq!(asked(&[], body), Some(401));
        assert_eq!(asked(&[], br#"{"type":"other"}"#), None);
        assert_eq!(asked(&[], b"\xff"), None);
    }
}
