//! How a sender signs with HMAC: where the code stands, how it is written, what it is over.

use serde::{Deserialize, Serialize};

use crate::Faults;

mod template;

pub(super) use template::Part;
pub use template::{ParseTemplateError, Template};

codes! {
    /// How a code is written.
    pub enum Encoding {
        /// Hex in capitals.
        HexUpper = "hex_upper",
        /// Hex in small letters.
        HexLower = "hex_lower",
        /// Base64 with padding.
        Base64 = "base64",
        /// Base64 of the URL-safe alphabet, without padding.
        Base64Url = "base64url",
    }
}

codes! {
    /// Which HMAC.
    pub enum Hash {
        /// HMAC-SHA-256.
        Sha256 = "sha256",
        /// HMAC-SHA-1, for senders that know nothing better.
        Sha1 = "sha1",
    }
}

codes! {
    /// In what a sender counts its moments since 1970.
    pub enum Unit {
        /// Seconds.
        Seconds = "seconds",
        /// Milliseconds.
        Milliseconds = "milliseconds",
    }
}

/// What stands in the signature's header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The code, behind a prefix perhaps.
    #[default]
    Plain,
    /// `name=value` pairs, set apart by commas; the code in those of this name.
    Pairs(String),
}

/// How a secret's text becomes a key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyForm {
    /// Its bytes are the key.
    #[default]
    Text,
    /// Its bytes and these behind them.
    TextAnd(String),
    /// It is base64.
    Base64,
    /// It is hex.
    Hex,
}

/// Where a sender says when it sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// A header; with [`Form::Pairs`] the name of a pair.
    pub place: String,
    /// In what it counts.
    pub unit: Unit,
}

/// How a sender signs with HMAC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The header with the signature, in lower case.
    pub header: String,
    /// What stands in it.
    #[serde(default)]
    pub form: Form,
    /// What stands before a code, such as `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// How the code is written.
    pub encoding: Encoding,
    /// Which HMAC.
    pub hash: Hash,
    /// How a secret becomes a key.
    #[serde(default)]
    pub key: KeyForm,
    /// Where the sender's moment is, if it says one.
    #[serde(default)]
    pub stamp: Option<Stamp>,
    /// The header with the message's id, if it has one.
    #[serde(default)]
    pub id: Option<String>,
    /// What is signed.
    pub signed: Template,
    /// Whether it tells of new things in the same words ([`Rules::remembered_seconds`](super::Rules::remembered_seconds)).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeats: bool,
}

/// Headers that frame a message, or say where it goes. A layout names none of them: what its sender says would stand in our own request.
const OF_THE_WAY: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is about the way of a message and not about the message.
pub(super) fn is_of_the_way(name: &str) -> bool {
    OF_THE_WAY.contains(&name)
}

impl Layout {
    /// Whether a message in it can be believed: what is read of it, the sender has signed.
    ///
    /// # Errors
    ///
    /// [`Faults`] under `pointer`.
    pub fn check(&self, pointer: &str) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let name = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            (1..=64).contains(&text.len()) && text.bytes().all(plain)
        };
        let says = "use 1 to 64 of a-z, 0-9, - and _";
        if !name(&self.header) {
            faults.add(format!("{pointer}/header"), "form", says);
        }
        let pair = if let Form::Pairs(pair) = &self.form { Some(pair) } else { None };
        if pair.is_some_and(|pair| !name(pair)) {
            faults.add(format!("{pointer}/form"), "form", says);
        }
        if self.stamp.as_ref().is_some_and(|stamp| !name(&stamp.place) || pair == Some(&stamp.place)) {
            faults.add(format!("{pointer}/stamp/place"), "form", says);
        }
        if self.id.as_ref().is_some_and(|id| !name(id)) {
            faults.add(format!("{pointer}/id"), "form", says);
        }
        if self.prefix.len() > 16 || !self.prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            faults.add(format!("{pointer}/prefix"), "form", "use up to 16 printable characters");
        }
        let places = [Some(&self.header), self.stamp.as_ref().map(|stamp| &stamp.place), self.id.as_ref()];
        if places.into_iter().flatten().any(|name| is_of_the_way(name)) {
            faults.add(pointer.to_owned(), "not_allowed", "name no header that frames or routes a message");
        }
        let (body, stamp, id) = self.signed.counts();
        if body != 1 || stamp != usize::from(self.stamp.is_some()) || id != usize::from(self.id.is_some()) {
            let message = "name {body} once, {timestamp} once if there is a stamp, {id} once if there is an id: what is read must be signed";
            faults.add(format!("{pointer}/signed"), "unsigned", message);
        }
        if self.repeats && (self.stamp.is_some() || self.id.is_some()) {
            faults.add(
                format!("{pointer}/repeats"),
                "not_allowed",
                "a moment or an id tells what is new from what came",
            );
        }
        if self.signed.beside_id().any(|text| text.is_none()) {
            let message =
                "put a text such as . between {id} and what is beside it, or one code would do for many messages";
            faults.add(format!("{pointer}/signed"), "ambiguous", message);
        }
        faults.check()
    }
}

impl Encoding {
    /// The bytes that this text says, if it is written so and in no other way.
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        self.form().decode(text.as_bytes()).ok()
    }

    /// The bytes written so.
    pub(super) fn encode(self, bytes: &[u8]) -> String {
        self.form().encode(bytes)
    }

    fn form(self) -> data_encoding::Encoding {
        match self {
            Self::HexUpper => data_encoding::HEXUPPER,
            Self::HexLower => data_encoding::HEXLOWER,
            Self::Base64 => data_encoding::BASE64,
            Self::Base64Url => data_encoding::BASE64URL_NOPAD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slack() -> Layout {
        serde_json::from_value(serde_json::json!({
            "header": "x-slack-signature", "prefix": "v0=", "encoding": "hex_lower", "hash": "sha256",
            "stamp": { "place": "x-slack-request-timestamp", "unit": "seconds" },
            "signed": "v0:{timestamp}:{body}",
        }))
        .unwrap()
    }

    #[test]
    fn a_layout_reads_back_as_it_was_stated() {
        let layout = slack();
        layout.check("/layout").unwrap();
        assert_eq!(serde_json::from_value::<Layout>(serde_json::to_value(&layout).unwrap()).unwrap(), layout);
    }

    #[test]
    fn what_is_read_must_be_signed() {
        for (field, value) in [
            ("signed", "v0:{body}"),
            ("signed", "{timestamp}"),
            ("signed", "{timestamp}{body}{body}"),
            ("signed", "{timestamp}{body}{id}"),
            ("header", "X-Slack-Signature"),
            ("header", ""),
            ("prefix", "a b"),
            ("id", "webhook-id"),
            ("header", "content-length"),
            ("repeats", "yes"),
        ] {
            let mut json = serde_json::to_value(slack()).unwrap();
            json[field] = if field == "repeats" { true.into() } else { value.into() };
            let layout: Layout = serde_json::from_value(json).unwrap();
            assert!(layout.check("/layout").is_err(), "{field} {value}");
        }
    }

    /// The request to the application had the sender's `Host`, on a connection that other tenants' messages share.
    #[test]
    fn no_sender_frames_or_routes_our_own_request() {
        for name in OF_THE_WAY {
            let mut json = serde_json::to_value(slack()).unwrap();
            json["id"] = name.into();
            json["signed"] = "v0:{timestamp}:{id}:{body}".into();
            let layout: Layout = serde_json::from_value(json.clone()).unwrap();
            assert!(layout.check("/layout").is_err(), "{name}");
            json["id"] = format!("x-{name}").into();
            serde_json::from_value::<Layout>(json).unwrap().check("/layout").unwrap();
        }
    }

    #[test]
    fn where_an_id_ends_is_nobodys_choice() {
        for (signed, fine) in [
            ("{id}{body}", false),
            ("{body}{id}", false),
            ("v0:{id}{body}", false),
            ("{id}.{body}", true),
            ("{body}.{id}", true),
            ("v0:{id}:{body}", true),
        ] {
            let mut json = serde_json::to_value(slack()).unwrap();
            json["signed"] = signed.into();
            json["id"] = "x-id".into();
            json.as_object_mut().unwrap().remove("stamp");
            let layout: Layout = serde_json::from_value(json).unwrap();
            assert_eq!(layout.check("/layout").is_ok(), fine, "{signed}");
        }
    }

    #[test]
    fn a_code_has_one_spelling() {
        assert_eq!(Encoding::HexUpper.decode("AB"), Some(vec![0xAB]));
        assert_eq!(Encoding::HexUpper.decode("ab"), None);
        assert_eq!(Encoding::HexLower.decode("AB"), None);
        assert_eq!(Encoding::Base64.decode("+/8="), Some(vec![0xFB, 0xFF]));
        for bad in [" /8=", "-_8=", "+/8", "+/9=", "%2B/8="] {
            assert_eq!(Encoding::Base64.decode(bad), None, "{bad}");
        }
    }
}
