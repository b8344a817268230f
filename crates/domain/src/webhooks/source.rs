//! Where webhooks come from, and the secrets that they are checked with.

use super::{Layout, Provider, Rules, SecretKind};
use crate::{
    ids::{WebhookSecretId, WebhookSourceId, WebhookSubscriptionId},
    time::Timestamp,
};

/// How long a secret stands beside the one that takes its place (SR-07).
pub const GRACE_SECONDS: i64 = 72 * 3_600;
/// After how long a secret should be replaced (SR-07).
pub const DUE_SECONDS: i64 = 180 * 86_400;
/// How long before that somebody is reminded.
pub const NOTICE_SECONDS: i64 = 14 * 86_400;

/// The path of an upstream that is the application behind the gateway, `gateway:/path`: a route that names the source takes it there.
pub fn behind_gateway(upstream: &str) -> Option<&str> {
    let path = upstream.strip_prefix("gateway:")?;
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte));
    (path.starts_with('/') && plain && path.len() <= 2_048).then_some(path)
}

/// A sender of webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSource {
    /// Which.
    pub id: WebhookSourceId,
    /// What it is called: 1 to 63 characters.
    pub name: String,
    /// Who sends.
    pub provider: Provider,
    /// How it signs, of [`Provider::Generic`].
    pub layout: Option<Layout>,
    /// What it calls us, of [`Provider::Garmin`].
    pub client_id: Option<String>,
    /// Whose devices may send, of [`Provider::AppleHealth`].
    pub app_ids: Vec<String>,
    /// Where messages are handed on.
    pub upstream: String,
    /// Whether messages are taken.
    pub enabled: bool,
    /// Since when the application takes none of them, as was told.
    pub stalled_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when it is as it is.
    pub changed_at: Timestamp,
}

impl WebhookSource {
    /// By what rules its messages are judged.
    pub fn rules(&self) -> Rules {
        Rules {
            provider: self.provider,
            layout: self.layout.clone(),
            client_id: self.client_id.clone(),
            app_ids: self.app_ids.clone(),
        }
    }
}

/// Whose a secret or a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WebhookOwner {
    /// A source's: it came from outside.
    Source(WebhookSourceId),
    /// A subscription's: it is ours.
    Subscription(WebhookSubscriptionId),
}

codes! {
    /// Which way a webhook goes.
    pub enum Direction {
        /// From a source to the tenant's application.
        In = "in",
        /// From us to who subscribed.
        Out = "out",
    }
}

impl WebhookOwner {
    /// Which way its webhooks go.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Source(_) => Direction::In,
            Self::Subscription(_) => Direction::Out,
        }
    }

    /// What it is called in events.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Source(_) => "webhook_source",
            Self::Subscription(_) => "webhook_subscription",
        }
    }
}

impl std::fmt::Display for WebhookOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(id) => id.fmt(f),
            Self::Subscription(id) => id.fmt(f),
        }
    }
}

impl std::str::FromStr for WebhookOwner {
    type Err = crate::ids::ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::Source).or_else(|_| text.parse().map(Self::Subscription))
    }
}

/// A secret of a source or a subscription. When it has ended, only its code is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSecret {
    /// Which.
    pub id: WebhookSecretId,
    /// Whose.
    pub owner: WebhookOwner,
    /// What it is for.
    pub kind: SecretKind,
    /// The secret, sealed; gone when it has ended.
    pub sealed: Option<Vec<u8>>,
    /// A code over it under a key of the tenant's log, which tells whether another is the same.
    pub code: [u8; 32],
    /// How far the device had counted whose key it is.
    pub counter: u32,
    /// Since when.
    pub created_at: Timestamp,
    /// Until when it is taken, if an end is set.
    pub ends_at: Option<Timestamp>,
    /// When somebody was told that it should be replaced.
    pub due_told_at: Option<Timestamp>,
    /// Whether it was drawn by itself and nobody was shown it yet.
    pub unshown: bool,
}

impl WebhookSecret {
    /// Whether it is taken at `now`.
    pub fn stands(&self, now: Timestamp) -> bool {
        self.sealed.is_some() && self.ends_at.is_none_or(|end| now < end)
    }

    /// From when on it should be replaced; a key that others hold the private half of is theirs to replace.
    pub fn due_at(&self) -> Option<Timestamp> {
        let due = self.created_at.plus_seconds(DUE_SECONDS);
        (self.kind != SecretKind::PublicKey && self.ends_at.is_none()).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_gateway_is_a_path_and_nothing_else() {
        assert_eq!(behind_gateway("gateway:/hooks/oura"), Some("/hooks/oura"));
        for other in
            ["gateway:", "gateway:hooks", "gateway:/a b", "gateway:/a?b=1", "gateway:/a#b", "/hooks", "https://a/"]
        {
            assert_eq!(behind_gateway(other), None, "{other}");
        }
    }
}
