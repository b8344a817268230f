//! Who sends webhooks, and what each of them expects.

use super::{Encoding, Form, Hash, KeyForm, Layout, SecretKind, Stamp, Unit};

codes! {
    /// A sender of webhooks, by its way to sign.
    pub enum Provider {
        /// Oura, API version 2.
        Oura = "oura",
        /// WHOOP, as its developer platform sends.
        Whoop = "whoop",
        /// WHOOP, as its partner and labs interface sends.
        WhoopPartner = "whoop_partner",
        /// Fitbit's own interface, which Google Health takes the place of.
        Fitbit = "fitbit",
        /// Google Health.
        GoogleHealth = "google_health",
        /// Garmin Health, which signs nothing.
        Garmin = "garmin",
        /// Apple Health, as our own ingest on a phone sends it, with an App Attest assertion.
        AppleHealth = "apple_health",
        /// Strava.
        Strava = "strava",
        /// Suunto.
        Suunto = "suunto",
        /// Standard Webhooks, and Svix.
        Standard = "standard",
        /// HMAC in a layout that the source states.
        Generic = "generic",
    }
}

impl Provider {
    /// The status that tells it that a message was taken.
    pub const fn taken(self) -> u16 {
        match self {
            Self::Fitbit | Self::GoogleHealth => 204,
            _ => 200,
        }
    }

    /// The status that tells it that a message was not taken. One for every reason.
    pub const fn refused(self) -> u16 {
        match self {
            // As its documentation asks for.
            Self::Fitbit => 404,
            _ => 401,
        }
    }

    /// The kinds of secrets it can have; the first is what it cannot be enabled without, unless its devices enroll.
    pub const fn kinds(self) -> &'static [SecretKind] {
        match self {
            Self::Oura | Self::Fitbit | Self::Strava => &[SecretKind::Shared, SecretKind::Token],
            Self::Whoop | Self::WhoopPartner | Self::Suunto | Self::Generic => &[SecretKind::Shared],
            Self::GoogleHealth => &[SecretKind::PublicKey, SecretKind::Token],
            Self::Garmin => &[SecretKind::Token],
            Self::AppleHealth => &[SecretKind::PublicKey],
            Self::Standard => &[SecretKind::Shared, SecretKind::PublicKey],
        }
    }

    /// Whether its senders are devices that enroll. Before one has, nothing can be verified, and so nothing is taken.
    pub const fn enrolls_devices(self) -> bool {
        matches!(self, Self::AppleHealth)
    }

    /// Whether any one of its kinds is enough to be enabled, and not the first alone.
    pub const fn any_kind_will_do(self) -> bool {
        matches!(self, Self::Standard)
    }

    /// How it signs with HMAC, if it does and always in one way.
    pub fn layout(self) -> Option<Layout> {
        let stamp = |place: &str, unit| Some(Stamp { place: place.to_owned(), unit });
        let of = |header: &str, encoding, stamp, signed: &str| Layout {
            header: header.to_owned(),
            form: Form::Plain,
            prefix: String::new(),
            encoding,
            hash: Hash::Sha256,
            key: KeyForm::Text,
            stamp,
            id: None,
            signed: signed.parse().unwrap_or_default(),
            repeats: false,
        };
        Some(match self {
            Self::Oura => of(
                "x-oura-signature",
                Encoding::HexUpper,
                stamp("x-oura-timestamp", Unit::Seconds),
                "{timestamp}{body}",
            ),
            Self::Whoop => of(
                "x-whoop-signature",
                Encoding::Base64,
                stamp("x-whoop-signature-timestamp", Unit::Milliseconds),
                "{timestamp}{body}",
            ),
            // Of these two a message only names what is to be fetched, and names it again when that has changed.
            Self::WhoopPartner => Layout { repeats: true, ..of("whoop-signed", Encoding::HexLower, None, "{body}") },
            Self::Fitbit => Layout {
                hash: Hash::Sha1,
                key: KeyForm::TextAnd("&".to_owned()),
                repeats: true,
                ..of("x-fitbit-signature", Encoding::Base64, None, "{body}")
            },
            Self::Strava => Layout {
                form: Form::Pairs("v1".to_owned()),
                ..of("x-strava-signature", Encoding::HexLower, stamp("t", Unit::Seconds), "{timestamp}.{body}")
            },
            Self::Suunto => of("x-hmac-sha256-signature", Encoding::HexLower, None, "{body}"),
            Self::GoogleHealth | Self::Garmin | Self::AppleHealth | Self::Standard | Self::Generic => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_of_a_provider_is_one_that_a_source_could_state() {
        let mut seen = 0;
        for layout in Provider::ALL.iter().filter_map(|provider| provider.layout()) {
            layout.check("/layout").unwrap();
            seen += 1;
        }
        assert_eq!(seen, 6);
    }

    #[test]
    fn every_provider_has_something_to_check_with() {
        assert!(Provider::ALL.iter().all(|provider| !provider.kinds().is_empty()));
    }
}
