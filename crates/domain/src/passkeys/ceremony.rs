//! What registrations and logins share: options for the browser, and one proof, counted and used up.

use std::sync::Arc;

use super::{
    AssertionAnswer, Passkey, PasskeyVerifier, RelyingParty, SignCountPolicy,
    challenge::{Bound, Challenge},
    client_data::{self, Ceremony},
    row,
    settings::counted_on,
};
use crate::{
    Instance, TenantId,
    access::Call,
    audit::{Change, Detail, Event, EventKind, Outcome},
    factors::{FactorError, TRIES, unchanged},
    ids::{OneTimeId, UserId},
    sessions::Amr,
    time::Timestamp,
};

/// A passkey that a browser may look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedPasskey {
    /// What its authenticator calls it.
    pub credential: Vec<u8>,
    /// How browsers reach its authenticator.
    pub transports: Vec<String>,
}

impl From<Passkey> for AllowedPasskey {
    fn from(passkey: Passkey) -> Self {
        Self { credential: passkey.credential, transports: passkey.transports }
    }
}

/// What a browser needs to register a passkey.
#[derive(Debug)]
pub struct RegistrationOptions {
    /// For whom.
    pub party: RelyingParty,
    /// What the authenticator keeps of the user: no name, and the same for all its passkeys.
    pub user_handle: Vec<u8>,
    /// What the authenticator shows.
    pub username: String,
    /// What comes back signed.
    pub challenge: Vec<u8>,
    /// Those that the user has: their authenticators refuse another one.
    pub exclude: Vec<AllowedPasskey>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// What a browser needs to log in.
#[derive(Debug)]
pub struct AssertionOptions {
    /// For whom.
    pub party: RelyingParty,
    /// What comes back signed.
    pub challenge: Vec<u8>,
    /// Which passkeys will do; none means any that the browser finds.
    pub allow: Vec<AllowedPasskey>,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Who verifies; without one there are no passkeys here.
pub(super) fn verifier(instance: &Instance) -> Result<&Arc<dyn PasskeyVerifier>, FactorError> {
    instance.passkey_verifier().ok_or(FactorError::NotOffered)
}

/// What an authenticator keeps of a user: which one of which tenant.
pub(super) fn user_handle(tenant: TenantId, user: UserId) -> Vec<u8> {
    [tenant.to_bytes(), user.to_bytes()].concat()
}

/// The user of a handle, if it is of this tenant.
pub(super) fn user_of(tenant: TenantId, handle: &[u8]) -> Option<UserId> {
    let (of, user) = handle.split_first_chunk::<16>()?;
    (TenantId::from_bytes(*of) == tenant).then_some(UserId::from_bytes(user.try_into().ok()?))
}

/// The challenge in what a browser saw, if it is good for this.
pub(super) async fn answered(
    instance: &Instance,
    party: &RelyingParty,
    (ceremony, client_data): (Ceremony, &[u8]),
    bound: Bound,
) -> Result<Challenge, FactorError> {
    let bytes = client_data::challenge(party, ceremony, client_data).map_err(FactorError::Passkey)?;
    bound.check(instance, bytes).await?.ok_or(FactorError::Passkey("a challenge that is over or not for this"))
}

/// How a passkey proves who somebody is (RFC 8176): that its user was verified is asked of every ceremony.
pub(super) fn methods(passkey: &Passkey) -> [Amr; 3] {
    let key = if passkey.backup_eligible { Amr::SoftwareKey } else { Amr::HardwareKey };
    [key, Amr::User, Amr::MultiFactor]
}

/// Proves that somebody has a passkey. If so, gives the change in which the challenge and `token` are used up, for more to be done
/// in it; if not, a failure of a known person is stored.
pub(super) async fn prove<'a>(
    instance: &'a Instance,
    call: &'a Call,
    tenant: TenantId,
    passkey: &Passkey,
    (challenge, answer): (&Challenge, &AssertionAnswer),
    token: Option<OneTimeId>,
) -> Result<Change<'a>, FactorError> {
    let verifier = verifier(instance)?;
    if !row::is_ours(instance, tenant, passkey).await? {
        tracing::error!(passkey.id = %passkey.id, "The row of passkey `{}` was changed outside of Chancery", passkey.id);
        return Err(FactorError::Passkey("a row that was changed outside"));
    }
    if answer.user_handle.as_ref().is_some_and(|handle| *handle != user_handle(tenant, passkey.user)) {
        return Err(FactorError::Passkey("another user's handle"));
    }
    let said = verifier.asserted(&challenge.bytes, passkey, answer);
    let mut change = Change::begin(instance, call, tenant).await?;
    if let Some(token) = token {
        let counted = change.rows().try_one_time_token(token, TRIES).await;
        unchanged(counted, FactorError::Refused("used up"))?;
    }
    let failed = || {
        let event = Event::new(EventKind::FactorFailed).on("user", passkey.user).outcome(Outcome::MinorFailure);
        event.with("factor", Detail::Code("passkey")).with("passkey", Detail::Id(passkey.id.to_string()))
    };
    let said = match said {
        Ok(said) => said,
        Err(unverified) => {
            tracing::info!(reason = %unverified, "Refused what an authenticator said: {unverified}");
            // A stranger who knows a credential's name is nobody's failure.
            if token.is_some() || call.caller.session().is_some() {
                change.commit(failed()).await?;
            }
            return Err(FactorError::Passkey("not verified"));
        }
    };
    let now = instance.now();
    if !counted_on(passkey.sign_count, said.sign_count) {
        let event = regressed(passkey, said.sign_count);
        if verifier.relying_party().sign_counts() == SignCountPolicy::Refuse {
            change.commit(event.outcome(Outcome::MinorFailure)).await?;
            return Err(FactorError::Passkey("a sign count that went back"));
        }
        change.record(event).await?;
    }
    let spent = change.rows().spend_challenge(&challenge.mark, challenge.expires_at, now).await;
    if let Err(error) = unchanged(spent, FactorError::Passkey("a challenge that was used")) {
        if matches!(error, FactorError::Passkey(_)) {
            change.commit(failed()).await?;
        }
        return Err(error);
    }
    let used = change.rows().use_passkey(passkey, said.sign_count, said.backed_up, now).await;
    unchanged(used, FactorError::Passkey("another try was quicker"))?;
    if let Some(token) = token {
        change.rows().take_one_time_token(token).await?;
    }
    Ok(change)
}

fn regressed(passkey: &Passkey, shown: u32) -> Event {
    Event::new(EventKind::PasskeyRegressed)
        .on("user", passkey.user)
        .with("passkey", Detail::Id(passkey.id.to_string()))
        .with("stored", Detail::Count(passkey.sign_count.into()))
        .with("shown", Detail::Count(shown.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_of_one_user_of_one_tenant() {
        let (tenant, user) = (TenantId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let handle = user_handle(tenant, user);
        assert_eq!(user_of(tenant, &handle), Some(user));
        assert_eq!(user_of(TenantId::from_bytes([3; 16]), &handle), None);
        assert_eq!(user_of(tenant, &handle[..31]), None);
        assert_eq!(user_of(tenant, &[&handle[..], &[0]].concat()), None);
        assert_eq!(user_of(tenant, &[]), None);
    }
}
