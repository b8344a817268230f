//! Which profile a response gets, and the layer that sets it.

use std::sync::Arc;

use axum::{extract::Request, middleware::Next, response::Response};
use chancery_crypto::random::Random;
use chancery_domain::{Instance, instance::Environment};

use super::{
    nonce::CspNonce,
    profile::{HeaderProfile, Preset},
    ready::{BadProfile, HeaderMode, ReadyHeaders},
};
use crate::Forwarded;

/// One profile for everything, and others for some paths.
#[derive(Debug, Clone)]
pub struct HeaderRules {
    everywhere: Option<Arc<ReadyHeaders>>,
    paths: Vec<(String, Arc<ReadyHeaders>)>,
}

impl HeaderRules {
    /// The same for every path.
    ///
    /// # Errors
    ///
    /// [`BadProfile`] if it is nonsense.
    pub fn new(profile: &HeaderProfile) -> Result<Self, BadProfile> {
        Ok(Self { everywhere: Some(Arc::new(profile.ready()?)), paths: Vec::new() })
    }

    /// With another profile for `path` and everything below it. The longest path counts.
    ///
    /// # Errors
    ///
    /// [`BadProfile`] if it is nonsense.
    pub fn with_path(mut self, path: &str, profile: &HeaderProfile) -> Result<Self, BadProfile> {
        self.paths.push((path.trim_end_matches('/').to_owned(), Arc::new(profile.ready()?)));
        self.paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Ok(self)
    }

    /// What holds for a path.
    pub fn of(&self, path: &str) -> Option<&Arc<ReadyHeaders>> {
        let below = |start: &str| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.paths.iter().find(|(start, _)| below(start)).map(|(_, ready)| ready).or(self.everywhere.as_ref())
    }
}

impl Default for HeaderRules {
    /// What is right for answers that are no pages, in production.
    fn default() -> Self {
        let api = HeaderProfile::preset(Preset::Api, Environment::Production).ready();
        // INVARIANT: presets are ready; a test makes each of them so.
        Self { everywhere: api.ok().map(Arc::new), paths: Vec::new() }
    }
}

/// Sets the headers on whatever comes back, refusals of every layer within included.
pub(crate) async fn set(
    rules: Arc<HeaderRules>,
    instance: Arc<Instance>,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    answered(&rules, instance.random(), request, next).await
}

async fn answered(
    rules: &HeaderRules,
    random: &dyn Random,
    mut request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let Some(ready) = rules.of(request.uri().path()) else { return next(request).await };
    // Without randomness there is no nonce, and nothing inline runs.
    let nonce = if ready.wants_nonce() { CspNonce::make(random).ok() } else { None };
    if let Some(nonce) = &nonce {
        request.extensions_mut().insert(nonce.clone());
    }
    let mut response = next(request).await;
    // An application's pages are its own.
    if response.extensions().get::<Forwarded>().is_none() {
        ready.apply(response.headers_mut(), HeaderMode::Enforce, nonce.as_ref());
    }
    response
}

/// Sets the headers on every response of a router that has no other layers, such as that of the metrics.
pub fn with_headers(router: axum::Router, rules: HeaderRules) -> axum::Router {
    router.layer(axum::middleware::from_fn(move |request: Request, next: Next| {
        let ready = rules.of(request.uri().path()).cloned();
        async move {
            let mut response = next.run(request).await;
            if let Some(ready) = ready {
                ready.apply(response.headers_mut(), HeaderMode::Enforce, None);
            }
            response
        }
    }))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn the_longest_path_counts_and_only_whole_segments() {
        let preset = |preset| HeaderProfile::preset(preset, Environment::Production);
        let rules = HeaderRules::new(&preset(Preset::Strict)).unwrap();
        let rules = rules.with_path("/docs", &preset(Preset::Docs)).unwrap();
        let rules = rules.with_path("/docs/api/", &preset(Preset::Api)).unwrap();
        let start = |path: &str| {
            let mut headers = HeaderMap::new();
            rules.of(path).unwrap().apply(&mut headers, HeaderMode::Enforce, None);
            headers["content-security-policy"].to_str().unwrap().chars().take(70).collect::<String>()
        };
        assert!(start("/docs").contains("cdn.jsdelivr.net") && start("/docs/x").contains("cdn.jsdelivr.net"));
        assert!(start("/docs/api").contains("'none'") && start("/docs/api/x").contains("'none'"));
        for path in ["/", "/docsx", "/document", ""] {
            assert!(start(path).starts_with("default-src 'self'; script-src 'self'; style"), "{path}: {}", start(path));
        }
    }
}
