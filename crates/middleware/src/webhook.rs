//! Verified webhooks inside an application of one's own, without a server: an extractor.
//!
//! ```
//! use std::sync::Arc;
//! use axum::{Router, extract::FromRef, routing::post};
//! use chancery_middleware::{VerifiedWebhook, WebhookGuard};
//!
//! #[derive(Clone)]
//! struct App {
//!     oura: Arc<WebhookGuard>,
//! }
//!
//! impl FromRef<App> for Arc<WebhookGuard> {
//!     fn from_ref(app: &App) -> Self {
//!         Arc::clone(&app.oura)
//!     }
//! }
//!
//! async fn on_sleep(webhook: VerifiedWebhook) -> String {
//!     format!("{} bytes that Oura signed", webhook.body.len())
//! }
//!
//! fn routes(oura: WebhookGuard) -> Router {
//!     Router::new().route("/webhooks/oura", post(on_sleep)).with_state(App { oura: Arc::new(oura) })
//! }
//! ```

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chancery_crypto::{Secret, sha256};
use chancery_domain::{
    Clock, Timestamp,
    replays::{LocalReplays, Replays},
    webhooks::{
        KEPT_BYTES, Layout, Material, Message, Provider, REMEMBERED_SECONDS, Rules, SecretKind, Verified, verify,
    },
};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};

use crate::{
    Code, Problem,
    hooked::{check_plain, pairs},
};

/// What verifies the webhooks of one source. Its copies are known in this process alone, unless it [remembers](Self::remember_with)
/// elsewhere.
pub struct WebhookGuard {
    rules: Rules,
    secrets: Vec<Material>,
    clock: Arc<dyn Clock>,
    name: String,
    replays: Arc<dyn Replays>,
}

/// Why there is no guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Without a secret nothing can be verified, and nothing is taken unverified.
    #[error("a source without a secret cannot be guarded")]
    NoSecret,
    /// A secret has another form; says what is wrong, and never repeats it.
    #[error("a secret is not taken: {0}")]
    Secret(&'static str),
    /// The layout reads what the sender does not sign.
    #[error("the layout is not one")]
    Layout,
}

impl WebhookGuard {
    /// For a provider that signs in its own way with secrets that it shares with us: all but Garmin, Apple Health and Google Health.
    ///
    /// # Errors
    ///
    /// [`GuardError`].
    pub fn new(provider: Provider, secrets: Vec<Secret<String>>, clock: Arc<dyn Clock>) -> Result<Self, GuardError> {
        let secrets = secrets.into_iter().map(|secret| (SecretKind::Shared, secret)).collect();
        let rules = Rules { provider, layout: None, client_id: None, app_ids: Vec::new() };
        Self::with(rules, secrets, clock)
    }

    /// For a sender of HMAC in this layout.
    ///
    /// # Errors
    ///
    /// [`GuardError`].
    pub fn generic(layout: Layout, secrets: Vec<Secret<String>>, clock: Arc<dyn Clock>) -> Result<Self, GuardError> {
        layout.check("").map_err(|_| GuardError::Layout)?;
        let secrets = secrets.into_iter().map(|secret| (SecretKind::Shared, secret)).collect();
        let rules = Rules { provider: Provider::Generic, layout: Some(layout), client_id: None, app_ids: Vec::new() };
        Self::with(rules, secrets, clock)
    }

    /// By these rules, with secrets of any kind.
    ///
    /// # Errors
    ///
    /// [`GuardError`].
    pub fn with(
        rules: Rules,
        secrets: Vec<(SecretKind, Secret<String>)>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, GuardError> {
        let layout = rules.layout.clone().or_else(|| rules.provider.layout());
        let form = layout.map(|layout| layout.key).unwrap_or_default();
        let kinds = rules.provider.kinds();
        let first = |kind: SecretKind| rules.provider.any_kind_will_do() || kinds.first() == Some(&kind);
        if !secrets.iter().any(|(kind, _)| first(*kind)) {
            return Err(GuardError::NoSecret);
        }
        let read = |(kind, text)| Material::read(rules.provider, &form, kind, &text).map_err(GuardError::Secret);
        let secrets = secrets.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if secrets.iter().any(|secret| matches!(secret, Material::KeySetAt(_))) {
            return Err(GuardError::Secret("nothing is fetched here: give the key set itself"));
        }
        Ok(Self { rules, secrets, clock, name: String::new(), replays: Arc::new(LocalReplays::default()) })
    }

    /// Remembers what came in `replays`, under the `name` of its source: with one that nodes share, a copy of what came to one of them
    /// is refused by all. While that is away everything is refused, with 503.
    #[must_use]
    pub fn remember_with(self, name: &str, replays: Arc<dyn Replays>) -> Self {
        Self { name: name.to_owned(), replays, ..self }
    }

    /// Whether a message is from whom it says, fresh, and no copy of one that came before.
    async fn judge(&self, headers: &HeaderMap, body: &[u8]) -> Result<Verified, Problem> {
        let now = self.clock.now();
        let refused = || {
            let status = StatusCode::from_u16(self.rules.provider.refused()).unwrap_or(StatusCode::UNAUTHORIZED);
            Problem::new(Code::WebhookRejected).with_status(status)
        };
        let headers = pairs(headers);
        let message = Message { headers: &headers, path_token: None, body };
        let verified = verify(&self.rules, &self.secrets, &message, now).map_err(|rejection| {
            tracing::info!(reason = rejection.as_str(), "Refused a webhook");
            refused()
        })?;
        let came = verified.copy.unwrap_or(verified.identity);
        let mark = sha256(&[self.name.as_bytes(), &[0], &came].concat());
        if self.replays.seen(&mark, REMEMBERED_SECONDS, now).await? {
            return Err(refused());
        }
        Ok(verified)
    }
}

impl std::fmt::Debug for WebhookGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebhookGuard({}, {} secrets)", self.rules.provider, self.secrets.len())
    }
}

/// A webhook whose sender is who it says, whose moment is now, and which came for the first time. The state of the application gives
/// an [`Arc`]`<`[`WebhookGuard`]`>`.
#[derive(Debug)]
pub struct VerifiedWebhook {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, to the byte that was signed.
    pub body: Bytes,
    /// When it was sent, if its sender signs that.
    pub sent_at: Option<Timestamp>,
    /// The same for every attempt to send it. Of a sender that signs no moment a copy is known for eleven minutes alone: an application
    /// to which a later one would do harm keeps this with what it did.
    pub identity: [u8; 32],
}

impl<S: Send + Sync> FromRequest<S> for VerifiedWebhook
where
    Arc<WebhookGuard>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let guard = Arc::<WebhookGuard>::from_ref(state);
        let (parts, body) = request.into_parts();
        check_plain(&parts.headers).map_err(IntoResponse::into_response)?;
        let body = Limited::new(body, KEPT_BYTES as usize).collect().await;
        let body = body.map_err(|_| Problem::new(Code::TooLarge).into_response())?.to_bytes();
        let Verified { sent_at, identity, .. } =
            guard.judge(&parts.headers, &body).await.map_err(IntoResponse::into_response)?;
        Ok(Self { headers: parts.headers, body, sent_at, identity })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use axum::body::Body;
    use chancery_domain::webhooks::{Signer, sign};

    use super::*;

    const SECRET: &str = "a-secret-of-oura-0123456789";

    struct At(AtomicI64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.load(Ordering::Relaxed))
        }
    }

    #[derive(Clone)]
    struct App(Arc<WebhookGuard>);

    impl FromRef<App> for Arc<WebhookGuard> {
        fn from_ref(app: &App) -> Self {
            Self::clone(&app.0)
        }
    }

    fn message(at: i64, body: &'static [u8]) -> Request {
        let rules = Rules { provider: Provider::Oura, layout: None, client_id: None, app_ids: Vec::new() };
        let now = Timestamp::from_seconds(at);
        let mut request = Request::new(Body::from(body));
        for (name, value) in sign(&rules, Signer::Mac(SECRET.as_bytes()), "", body, now).unwrap() {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn without_a_secret_there_is_no_guard() {
        let clock = || -> Arc<dyn Clock> { Arc::new(At(AtomicI64::new(0))) };
        let refused = |secrets| WebhookGuard::new(Provider::Oura, secrets, clock()).unwrap_err();
        assert_eq!(refused(Vec::new()), GuardError::NoSecret);
        assert!(matches!(refused(vec![Secret::new("short".to_owned())]), GuardError::Secret(_)));
    }

    #[tokio::test]
    async fn guards_that_share_a_memory_refuse_each_others_copies() {
        let (clock, replays) = (Arc::new(At(AtomicI64::new(1_780_000_000))), Arc::new(LocalReplays::default()));
        let guard = |name: &str| {
            let secrets = vec![Secret::new(SECRET.to_owned())];
            let guard = WebhookGuard::new(Provider::Oura, secrets, Arc::<At>::clone(&clock)).unwrap();
            App(Arc::new(guard.remember_with(name, Arc::<LocalReplays>::clone(&replays))))
        };
        let (one, other, another_source) = (guard("oura"), guard("oura"), guard("oura-test"));
        let sent = |app| VerifiedWebhook::from_request(message(1_780_000_000, b"{}"), app);
        assert!(sent(&one).await.is_ok());
        assert_eq!(sent(&other).await.unwrap_err().status(), StatusCode::UNAUTHORIZED);
        assert!(sent(&another_source).await.is_ok());
    }

    #[tokio::test]
    async fn a_handler_runs_for_what_is_signed_and_fresh_and_no_copy() {
        let clock = Arc::new(At(AtomicI64::new(1_780_000_000)));
        let secrets = vec![Secret::new("another-secret-0123456789".to_owned()), Secret::new(SECRET.to_owned())];
        let guard = WebhookGuard::new(Provider::Oura, secrets, Arc::<At>::clone(&clock)).unwrap();
        let app = App(Arc::new(guard));
        let sent = |at, body| VerifiedWebhook::from_request(message(at, body), &app);
        let taken = sent(1_780_000_000, b"\xff{}").await.unwrap();
        assert_eq!((&taken.body[..], taken.sent_at), (&b"\xff{}"[..], Some(Timestamp::from_seconds(1_780_000_000))));
        let refused = |answer: Result<VerifiedWebhook, Response>| answer.unwrap_err().status();
        assert_eq!(refused(sent(1_780_000_000, b"\xff{}").await), StatusCode::UNAUTHORIZED, "a copy");
        assert_eq!(refused(sent(1_780_000_301, b"{}").await), StatusCode::UNAUTHORIZED, "not now");
        let mut packed = message(1_780_000_000, b"{}");
        packed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        assert_eq!(refused(VerifiedWebhook::from_request(packed, &app).await), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let mut changed = message(1_780_000_000, b"{}");
        *changed.body_mut() = Body::from("{ }");
        assert_eq!(refused(VerifiedWebhook::from_request(changed, &app).await), StatusCode::UNAUTHORIZED);
        // For as long as it would be fresh, a copy of what was ahead is known.
        assert!(sent(1_780_000_300, b"{\"n\":1}").await.is_ok());
        clock.0.store(1_780_000_599, Ordering::Relaxed);
        assert_eq!(refused(sent(1_780_000_300, b"{\"n\":1}").await), StatusCode::UNAUTHORIZED);
    }
}
