//! Tenants that a request names. The credential alone decides; a name is only compared.

use std::sync::Arc;

use chancery_domain::{access::Call, audit::refusals, instance::TenantMismatch};
use http::{HeaderMap, HeaderName};

use crate::{Code, Exchange, Problem};

/// Names of query parameters and body fields that name a tenant.
pub(crate) const NAMES: [&str; 2] = ["tenant", "tenant_id"];

const HEADERS: [HeaderName; 2] = [HeaderName::from_static("x-tenant-id"), HeaderName::from_static("x-tenant")];

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

/// Takes the hints out of a body's top level, and answers whether one names another tenant.
pub(crate) fn take_out(call: &Call, body: &mut serde_json::Value) -> bool {
    let Some(fields) = body.as_object_mut() else { return false };
    // Both are taken out before either is judged.
    let named: Vec<_> = NAMES.iter().filter_map(|name| fields.remove(*name)).collect();
    // `null` names nobody.
    named.iter().any(|named| !(named.is_null() || named.as_str().is_some_and(|named| is_own(call, named))))
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
