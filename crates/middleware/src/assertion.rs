//! What an application behind us is told of a caller: signed, or in plain headers for those that nobody else can reach.

use chancery_domain::{
    Instance,
    access::Caller,
    tokens::{Onward, assert_onward},
};
use http::{HeaderName, HeaderValue};

use crate::{Code, Exchange, Problem};

/// The header of the assertion.
pub const ASSERTION: HeaderName = HeaderName::from_static("x-auth-assertion");

const SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
const TENANT: HeaderName = HeaderName::from_static("x-auth-tenant");
const ROLES: HeaderName = HeaderName::from_static("x-auth-roles");
const METHOD: HeaderName = HeaderName::from_static("x-auth-method");
const DECISION: HeaderName = HeaderName::from_static("x-auth-decision-id");

/// Signs what `audience` is told of a request with this method and path, and who makes it.
///
/// # Errors
///
/// [`Problem`]: the key cannot be had. Nobody's credential is at fault then.
pub async fn assertion(
    exchange: &Exchange,
    caller: Option<&Caller>,
    audience: &str,
    method: &str,
    path: &str,
) -> Result<HeaderValue, Problem> {
    asserted(exchange.instance(), &Onward { request: exchange.info().id, audience, caller, method, path }).await
}

/// As [`assertion`], for a request that nobody outside makes, such as a webhook that is handed on.
///
/// # Errors
///
/// As [`assertion`].
pub async fn asserted(instance: &Instance, onward: &Onward<'_>) -> Result<HeaderValue, Problem> {
    let mut text = assert_onward(instance, onward).await?;
    // Taken, not copied: there is one of it, and nothing to wipe.
    let mut value = HeaderValue::try_from(std::mem::take(text.expose_mut())).map_err(|_| Code::Internal)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Who calls, in headers that prove nothing by themselves.
///
/// # Errors
///
/// [`Problem`]: a value that no header takes.
pub fn identity(exchange: &Exchange, caller: &Caller) -> Result<[(HeaderName, HeaderValue); 5], Problem> {
    let defined = caller.defined_roles().iter().map(String::as_str);
    let roles: Vec<&str> = caller.roles().iter().map(|role| role.as_str()).chain(defined).collect();
    let value = |text: String| HeaderValue::try_from(text).map_err(|_| Problem::new(Code::Internal));
    Ok([
        (SUBJECT, value(caller.subject().to_string())?),
        (TENANT, value(caller.tenant().to_string())?),
        (ROLES, value(roles.join(","))?),
        (METHOD, HeaderValue::from_static(caller.auth().as_str())),
        (DECISION, value(exchange.info().id.to_string())?),
    ])
}

/// The same of a stranger: empty, so that who sets them takes out what the client said under these names.
///
/// # Errors
///
/// As [`identity`].
pub fn no_identity(exchange: &Exchange) -> Result<[(HeaderName, HeaderValue); 5], Problem> {
    let nobody = || HeaderValue::from_static("");
    let decision = HeaderValue::try_from(exchange.info().id.to_string()).map_err(|_| Problem::new(Code::Internal))?;
    Ok([(SUBJECT, nobody()), (TENANT, nobody()), (ROLES, nobody()), (METHOD, nobody()), (DECISION, decision)])
}
