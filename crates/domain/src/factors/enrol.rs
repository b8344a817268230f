//! Enrols one-time codes: a secret for the authenticator, then a first code as proof that it has arrived.

use chancery_crypto::{Secret, totp::TotpKey};

use super::{
    FactorError, Standing, Totp,
    attempt::{attempt, unchanged},
    challenge::Halfway,
    codes, finish,
    standing::check_session,
};
use crate::{
    Instance, TenantId,
    access::{Call, RequestInfo},
    audit::{Change, Detail, Event, EventKind},
    fields::system,
    ids::{SessionId, UserId},
    keyring::ring::Place,
    one_time::OneTimeKind,
    sessions::{SessionTokens, end_but},
};

/// What an authenticator needs. Shown once.
#[derive(Debug)]
pub struct Enrolment {
    /// The secret, for those who type it.
    pub secret: Secret<String>,
    /// The same as a URI, for those who scan it.
    pub uri: Secret<String>,
}

/// The caller, if it is a person who logged in: a program has no second factor, and enrols none for its user.
pub(crate) fn person(call: &Call) -> Result<UserId, FactorError> {
    call.caller.user().filter(|_| call.caller.session().is_some()).ok_or(FactorError::NoSession)
}

/// Begins to enrol the caller's one-time codes. Beginning again gives another secret.
///
/// # Errors
///
/// [`FactorError`].
pub async fn begin(instance: &Instance, call: &Call) -> Result<Enrolment, FactorError> {
    let user = person(call)?;
    // Or a stolen session would make itself a factor and keep its owner out.
    instance.require_recent(call)?;
    let username = call.caller.username().unwrap_or_default().to_owned();
    begin_for(instance, call, (call.tenant(), user), &username).await
}

/// Begins to enrol within a login that waits for it.
///
/// # Errors
///
/// [`FactorError`].
pub async fn begin_in_login(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
) -> Result<Enrolment, FactorError> {
    let halfway = Halfway::find(instance, request, token, OneTimeKind::Enrol).await?;
    let of = (halfway.entry.id, halfway.user.id);
    begin_for(instance, &halfway.call, of, &halfway.user.username).await
}

async fn begin_for(
    instance: &Instance,
    call: &Call,
    (tenant, user): (TenantId, UserId),
    username: &str,
) -> Result<Enrolment, FactorError> {
    let key = TotpKey::make(instance.random())?;
    let mut change = Change::begin(instance, call, tenant).await?;
    let (field, row) = (system::user_totp(), user.to_string());
    let place = Place { field: &field, row: &row };
    let sealed = change.keyring().seal(place, key.expose(), instance.random())?;
    let totp = Totp {
        user,
        secret: sealed.into_bytes(),
        last_step: None,
        failures: 0,
        failed_at: None,
        created_at: instance.now(),
        confirmed_at: None,
    };
    let put = change.rows().put_totp(&totp).await;
    unchanged(put, FactorError::AlreadyEnrolled)?;
    let event = Event::new(EventKind::FactorBegun).on("user", user).with("factor", Detail::Code("totp"));
    change.commit(event).await?;
    let secret = key.base32();
    let uri = uri(&instance.settings().name, &format!("{username}@{}", call.caller.tenant_slug()), &secret);
    Ok(Enrolment { secret, uri })
}

/// Enrols the caller's one-time codes, by a first code; gives recovery codes, shown once. Of a first factor the caller's other
/// sessions end: they were begun without one.
///
/// # Errors
///
/// [`FactorError`].
pub async fn confirm(instance: &Instance, call: &Call, code: &str) -> Result<Vec<Secret<String>>, FactorError> {
    let of = (call.tenant(), person(call)?);
    let change = attempt(instance, call, of, (code, false), None).await?;
    enrolled(instance, change, of, call.caller.session()).await
}

/// Enrols within a login, and finishes it.
///
/// # Errors
///
/// [`FactorError`].
pub async fn confirm_in_login(
    instance: &Instance,
    request: &RequestInfo,
    token: &Secret<String>,
    code: &str,
) -> Result<(SessionTokens, Vec<Secret<String>>), FactorError> {
    let halfway = Halfway::find(instance, request, token, OneTimeKind::Enrol).await?;
    let of = (halfway.entry.id, halfway.user.id);
    let change = attempt(instance, &halfway.call, of, (code, false), Some(halfway.token)).await?;
    let codes = enrolled(instance, change, of, None).await?;
    Ok((finish::open(instance, request, &halfway, finish::with_code()).await?, codes))
}

/// Makes recovery codes and commits; `within` is the session, or none within a login.
async fn enrolled(
    instance: &Instance,
    mut change: Change<'_>,
    (tenant, user): (TenantId, UserId),
    within: Option<SessionId>,
) -> Result<Vec<Secret<String>>, FactorError> {
    change.rows().hold_user(user).await?.ok_or(FactorError::NotFound)?;
    if within.is_some() {
        check_session(change.rows(), within, instance.now()).await?;
    }
    let first = Standing::of(change.rows(), user).await?.passkeys == 0;
    if first {
        end_but(change.rows(), user, within, instance.now()).await?;
    } else if within.is_none() {
        // Of a login that began before another factor was there: the password alone adds none to it.
        return Err(FactorError::Refused("a factor is there already"));
    }
    change.rows().end_one_time_tokens_of(user).await?;
    let (stored, shown) = codes::make(instance, tenant, user).await?;
    change.rows().put_recovery_codes(user, &stored).await?;
    let event = Event::new(EventKind::FactorEnrolled).on("user", user).with("factor", Detail::Code("totp"));
    change.commit(event).await?;
    instance.callers.forget_all();
    Ok(shown)
}

/// The provisioning URI ([key URI format](https://github.com/google/google-authenticator/wiki/Key-Uri-Format)). The issuer stands
/// twice: older apps read it from the label.
fn uri(issuer: &str, account: &str, secret: &Secret<String>) -> Secret<String> {
    let (issuer, account) = (percent(issuer), percent(account));
    let secret = secret.expose();
    Secret::new(format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30"
    ))
}

/// Percent-encodes all but unreserved characters (RFC 3986 §2.3).
fn percent(text: &str) -> String {
    let each = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_what_authenticators_scan() {
        let uri = uri("chancery.test", "zoë b@north", &Secret::new("GEZDGNBV".to_owned()));
        assert_eq!(
            uri.expose(),
            "otpauth://totp/chancery.test:zo%C3%AB%20b%40north?secret=GEZDGNBV&issuer=chancery.test&algorithm=SHA1&digits=6&period=30"
        );
    }
}
