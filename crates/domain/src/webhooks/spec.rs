//! What a source shall be, and what is wrong with that.

use chancery_crypto::Secret;

use super::{Layout, Material, Provider, SecretKind, WebhookSecret, WebhookSource, behind_gateway};
use crate::{
    faults::Faults,
    text::{check_name, is_url},
    time::Timestamp,
};

/// The most sources of a tenant.
pub const MAX_SOURCES: usize = 100;
/// The most secrets of one kind that a source takes at a time.
pub const MAX_SECRETS: usize = 8;
/// The most devices of a source whose keys were brought by hand.
pub const MAX_DEVICES: usize = 1_000;
/// The most applications of a source.
const MAX_APPS: usize = 10;

/// A secret that a source shall take.
#[derive(Debug)]
pub struct NewSecret {
    /// What it is for.
    pub kind: SecretKind,
    /// The secret, in the form that the provider gives it.
    pub value: Secret<String>,
    /// Whether those of its kind that are there end after the grace.
    pub replaces: bool,
}

/// What a source shall be.
#[derive(Debug)]
pub struct SourceSpec {
    /// What it is called.
    pub name: String,
    /// Who sends.
    pub provider: Provider,
    /// How it signs, of [`Provider::Generic`].
    pub layout: Option<Layout>,
    /// What Garmin calls us.
    pub client_id: Option<String>,
    /// Whose devices may send.
    pub app_ids: Vec<String>,
    /// Where messages are handed on: a URL, or `gateway:/path` ([`behind_gateway`]).
    pub upstream: String,
    /// Whether messages are taken.
    pub enabled: bool,
    /// The secrets to begin with.
    pub secrets: Vec<NewSecret>,
}

/// What shall be another way with a source. What is `None` stays.
#[derive(Debug, Default)]
pub struct SourceChanges {
    /// What it is called.
    pub name: Option<String>,
    /// How it signs.
    pub layout: Option<Layout>,
    /// What Garmin calls us.
    pub client_id: Option<String>,
    /// Whose devices may send.
    pub app_ids: Option<Vec<String>>,
    /// Where messages are handed on.
    pub upstream: Option<String>,
    /// Whether messages are taken.
    pub enabled: Option<bool>,
}

impl WebhookSource {
    /// Whether it is one, whatever its secrets.
    pub(super) fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        check_name("/name", &self.name, 63, &mut faults);
        if !is_url(&self.upstream) && behind_gateway(&self.upstream).is_none() {
            let message = "use an address that begins with https:// or http://, or gateway:/path of the application behind the gateway";
            faults.add("/upstream", "form", message);
        }
        match (&self.layout, self.provider) {
            (Some(layout), Provider::Generic) => {
                if let Err(Faults(more)) = layout.check("/layout") {
                    faults.0.extend(more);
                }
            }
            (None, Provider::Generic) => faults.add("/layout", "required", "say how the sender signs"),
            (Some(_), _) => faults.add("/layout", "not_allowed", "the provider signs in its own way"),
            (None, _) => {}
        }
        let plain = |text: &str| (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        match (self.client_id.as_deref(), self.provider) {
            (Some(id), Provider::Garmin) if !plain(id) => faults.add("/client_id", "form", "use printable characters"),
            (None, Provider::Garmin) => faults.add("/client_id", "required", "say what Garmin calls the application"),
            (Some(_), provider) if provider != Provider::Garmin => {
                faults.add("/client_id", "not_allowed", "only Garmin sends one");
            }
            _ => {}
        }
        match (self.app_ids.len(), self.provider) {
            (0, Provider::AppleHealth) => faults.add("/app_ids", "required", "use TEAMID.bundle.id of the application"),
            (1..=MAX_APPS, Provider::AppleHealth) if self.app_ids.iter().all(|id| plain(id) && id.contains('.')) => {}
            (_, Provider::AppleHealth) => faults.add("/app_ids", "form", "use 1 to 10 of TEAMID.bundle.id"),
            (0, _) => {}
            _ => faults.add("/app_ids", "not_allowed", "only Apple's devices say it"),
        }
        faults.check()
    }

    /// Reads a secret of it.
    pub(super) fn read_secret(&self, kind: SecretKind, value: &Secret<String>) -> Result<Material, &'static str> {
        let form = self.layout.clone().or_else(|| self.provider.layout()).map(|layout| layout.key).unwrap_or_default();
        Material::read(self.provider, &form, kind, value)
    }

    /// No secret, no messages: what it lacks to be enabled.
    pub(super) fn check_enabled(&self, secrets: &[WebhookSecret], now: Timestamp) -> Result<(), Faults> {
        let has = |kind: &SecretKind| secrets.iter().any(|secret| secret.kind == *kind && secret.stands(now));
        let kinds = self.provider.kinds();
        let enough =
            if self.provider.any_kind_will_do() { kinds.iter().any(has) } else { kinds.first().is_some_and(has) };
        if !self.enabled || enough || self.provider.enrolls_devices() {
            return Ok(());
        }
        let kind = kinds.first().map_or("", |kind| kind.as_str());
        Err(Faults::one("/enabled", "secret_missing", format!("add a secret of kind `{kind}` first")))
    }
}
