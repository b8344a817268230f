//! Creating twice with one `Idempotency-Key` gives one thing.
//!
//! Kept for 24 hours in the caller's tenant: keyed hashes and the id of what was made, never a response.

use std::{
    str::FromStr,
    sync::{Arc, LazyLock},
};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use chancery_domain::{
    TenantId,
    access::Call,
    idempotency::{KEPT_SECONDS, Remembered},
    instance::Failure,
    store::StoreError,
};
use chancery_middleware::{Code, Problem, RequestKey};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::App;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A body without fields.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Requests with the same key wait for each other.
static LANES: LazyLock<Vec<Arc<Mutex<()>>>> = LazyLock::new(|| (0..64).map(|_| Arc::default()).collect());

/// One creation on its way.
pub(crate) struct Once<'a> {
    app: &'a App,
    tenant: TenantId,
    entry: Option<Entry>,
}

struct Entry {
    key: [u8; 32],
    request: [u8; 32],
    made: Option<String>,
    _lane: Option<OwnedMutexGuard<()>>,
}

/// Looks whether this request was done before. Without a key it never was.
pub(crate) async fn begin<'a>(
    app: &'a App,
    call: &Call,
    target: TenantId,
    key: Option<RequestKey>,
) -> Result<Once<'a>, Problem> {
    let tenant = call.tenant();
    let Some(sent) = key else { return Ok(Once { app, tenant, entry: None }) };
    let mac = app.instance.root().idempotency();
    let caller = call.caller.subject().to_string();
    let route = call.request.route;
    let scope = [&tenant.to_bytes()[..], caller.as_bytes(), route.as_bytes(), &target.to_bytes(), sent.key.as_bytes()];
    let key = mac.mac(&scope);
    let request = mac.mac(&[b"body", &sent.body]);
    let [first, ..] = key;
    let lane = match LANES.get(usize::from(first) % LANES.len()) {
        Some(lane) => Some(Arc::clone(lane).lock_owned().await),
        None => None,
    };
    let mut view = app.instance.store().view(tenant).await.map_err(Failure::from)?;
    let found = view.remembered(&key).await.map_err(Failure::from)?;
    let oldest = app.instance.now().plus_seconds(-KEPT_SECONDS);
    let made = match found.filter(|entry| entry.created_at >= oldest) {
        Some(entry) if entry.request != request => return Err(Code::IdempotencyMismatch.into()),
        Some(entry) => Some(entry.resource),
        None => None,
    };
    Ok(Once { app, tenant, entry: Some(Entry { key, request, made, _lane: lane }) })
}

impl Once<'_> {
    /// What was made before with this key.
    pub(crate) fn made<T: FromStr>(&self) -> Option<T> {
        self.entry.as_ref()?.made.as_ref()?.parse().ok()
    }

    /// Remembers what was made.
    pub(crate) async fn end(self, made: impl ToString) -> Result<(), Problem> {
        let Some(Entry { key, request, .. }) = &self.entry else { return Ok(()) };
        let now = self.app.instance.now();
        let entry = Remembered { key: *key, request: *request, resource: made.to_string(), created_at: now };
        let mut tx = self.app.instance.store().begin(self.tenant).await.map_err(Failure::from)?;
        tx.forget_remembered_before(now.plus_seconds(-KEPT_SECONDS)).await.map_err(Failure::from)?;
        match tx.remember(&entry).await {
            Ok(()) => Ok(tx.commit().await.map_err(Failure::from)?),
            // Another node was quicker; both made something, and the first is the one that is remembered.
            Err(StoreError::Taken(_)) => Ok(()),
            Err(error) => Err(Failure::from(error).into()),
        }
    }
}

/// The resource that was made before, without its secret.
pub(crate) fn replayed(status: StatusCode, body: impl Serialize) -> Response {
    (status, [(REPLAYED, HeaderValue::from_static("true"))], Json(body)).into_response()
}
