//! What the layers and extractors know of one request.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use axum::extract::FromRequestParts;
use chancery_domain::{
    Instance,
    access::{Call, Caller, RefusedFor, RequestInfo},
    limits::{Judged, Verdict},
};
use http::request::Parts;

use crate::{Code, Problem, query, stack::BodyLimit};

/// One request, from the outermost layer to its handler. Lives in the request's extensions.
pub struct Exchange {
    instance: Arc<Instance>,
    info: RequestInfo,
    body: BodyLimit,
    watched: bool,
    call: OnceLock<Arc<Call>>,
    told: AtomicBool,
    refused_for: OnceLock<RefusedFor>,
    limits: Mutex<Vec<Judged>>,
}

impl Exchange {
    pub(crate) fn new(instance: Arc<Instance>, info: RequestInfo, body: BodyLimit) -> Self {
        let (call, told, limits) = (OnceLock::new(), AtomicBool::new(false), Mutex::default());
        Self { instance, info, body, watched: false, call, told, refused_for: OnceLock::new(), limits }
    }

    /// Of a request that no limit refuses, if so.
    pub(crate) fn watched(self, watched: bool) -> Self {
        Self { watched, ..self }
    }

    pub(crate) const fn is_watched(&self) -> bool {
        self.watched
    }

    /// The running Chancery.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// What the log wants to know of the request.
    pub fn info(&self) -> &RequestInfo {
        &self.info
    }

    /// How long its body may be, and how long it may take.
    pub(crate) fn body_limit(&self) -> BodyLimit {
        self.body
    }

    /// The authenticated call, once there is one.
    pub fn call(&self) -> Option<&Arc<Call>> {
        self.call.get()
    }

    /// The call of a verified caller with this request.
    pub(crate) fn call_of(&self, caller: Caller) -> Call {
        Call { caller, request: self.info.clone(), once: None }
    }

    pub(crate) fn authenticated(&self, call: Call) -> Arc<Call> {
        self.call.get_or_init(|| Arc::new(call)).clone()
    }

    /// Notes that the log already has an event of this refusal, so that there is no second one.
    pub fn already_told(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// Counts a credential that was refused, and notes why for the log: of several in one request the first.
    pub(crate) fn refuse(&self, why: RefusedFor) {
        self.instance.refused_credentials().count(why);
        self.refused_for.get_or_init(|| why);
    }

    /// Why a credential of this request was refused, if one was.
    pub(crate) fn refused_for(&self) -> Option<RefusedFor> {
        self.refused_for.get().copied()
    }

    /// Keeps what limits said, for the response.
    pub(crate) fn keep(&self, verdict: Verdict) {
        if !verdict.judged().is_empty() {
            self.kept().extend(verdict.into_judged());
        }
    }

    /// What limits said so far.
    pub(crate) fn kept(&self) -> MutexGuard<'_, Vec<Judged>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(parts: &Parts) -> Result<Arc<Self>, Problem> {
        parts.extensions.get::<Arc<Self>>().cloned().ok_or_else(|| {
            tracing::error!("A handler runs outside of `chancery_middleware::around`");
            Problem::new(Code::Internal)
        })
    }
}

/// Extracts the request's facts, for operations that need no caller. They have no query parameters either.
pub struct Request(pub Arc<Exchange>);

impl<S: Send + Sync> FromRequestParts<S> for Request {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        query::none(parts)?;
        Exchange::of(parts).map(Self)
    }
}
