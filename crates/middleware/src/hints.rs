//! Tenants that a request names. The credential alone decides; a name is only compared.

use std::sync::Arc;

use chancery_domain::{access::Call, audit::refusals, instance::TenantMismatch};
use http::{HeaderMap, HeaderName};

use crate::{Code, Exchange, Problem};

/// Names of query parameters and body fields that name a tenant.
pub(crate) const NAMES: [&str; 2] = ["tenant", "tenant_id"];

/// Of headers; a gateway hands none of them on as it came.
const HEADERS: [HeaderName; 5] = [
    HeaderName::from_static("x-tenant-id"),
    HeaderName::from_static("x-tenant"),
    HeaderName::from_static("tenant"),
    HeaderName::from_static("tenant-id"),
    HeaderName::from_static("tenant_id"),
];

/// Whether `named` is the caller's own tenant.
fn is_own(call: &Call, named: &str) -> bool {
    named == call.caller.tenant_slug() || named.parse() == Ok(call.tenant())
}

/// Where in headers and query another tenant is named, if anywhere.
pub(crate) fn elsewhere(call: &Call, headers: &HeaderMap, query: &str) -> Option<&'static str> {
    for name in HEADERS {
        for value in headers.get_all(name) {
            if !value.to_str().is_ok_and(|named| is_own(call, named)) {
                return Some("header");
            }
        }
    }
    form_urlencoded::parse(query.as_bytes())
        .any(|(name, named)| NAMES.contains(&&*name) && !is_own(call, &named))
        .then_some("query")
}

/// Whether a body's top level names the caller's tenant and no other; `None` if it names none at all.
pub(crate) fn named(call: &Call, body: &serde_json::Value) -> Option<bool> {
    let fields = body.as_object()?;
    let named: Vec<_> = NAMES.iter().filter_map(|name| fields.get(*name)).collect();
    // `null` names nobody.
    let own = |named: &&serde_json::Value| named.is_null() || named.as_str().is_some_and(|named| is_own(call, named));
    (!named.is_empty()).then(|| named.iter().all(own))
}

/// Another tenant was named: an event in any case, a refusal if so configured.
pub(crate) async fn mismatch(exchange: &Exchange, call: &Arc<Call>, place: &'static str) -> Result<(), Problem> {
    let instance = exchange.instance();
    refusals::tenant_mismatch(instance, call, place).await?;
    match instance.settings().tenant_mismatch {
        TenantMismatch::Ignore => Ok(()),
        TenantMismatch::Reject => {
            exchange.already_told();
            Err(Problem::new(Code::TenantMismatch))
        }
    }
}
