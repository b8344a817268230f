//! Second factors of people: one-time codes by the clock (RFC 6238), and recovery codes for a lost device (MF-07).
//!
//! Whoever holds a privileged role logs in with one, and so does everybody who enrolled. Every try is counted in the store
//! before anything is given, so that no number of nodes or connections gives more of them.

use async_trait::async_trait;

use crate::{
    access::{Role, RoleSet},
    ids::UserId,
    roles::{self, Holder},
    store::{StoreError, View},
    time::Timestamp,
    users::User,
};

mod attempt;
mod challenge;
pub(crate) mod codes;
mod enrol;
mod finish;
mod manage;
mod prove;
mod standing;

pub use attempt::FactorError;
pub(crate) use attempt::{TRIES, unchanged};
pub use challenge::SecondFactor;
pub use enrol::{Enrolment, begin, begin_in_login, confirm, confirm_in_login};
pub use finish::{finish_with_code, finish_with_recovery_code};
pub use manage::{Factors, make_codes, read, remove, reset};
pub use prove::FactorCode;

pub(crate) use challenge::{Halfway, challenge};
pub(crate) use enrol::person;
pub(crate) use finish::open;
pub(crate) use prove::{enrolled, prove};
pub(crate) use standing::{Standing, check_session};

codes! {
    /// How a login can go on.
    pub enum Method {
        /// By a one-time code.
        Totp = "totp",
        /// By a passkey.
        Passkey = "passkey",
        /// By a recovery code.
        RecoveryCode = "recovery_code",
        /// By enrolling a second factor, for there is none yet.
        Enroll = "enroll",
    }
}

/// The secret of a user's one-time codes, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// Whose.
    pub user: UserId,
    /// The secret, sealed.
    pub secret: Vec<u8>,
    /// The step of the last code that was accepted: it and all before it are used up.
    pub last_step: Option<u64>,
    /// Wrong codes since the last right one.
    pub failures: u32,
    /// When the last wrong one came.
    pub failed_at: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
    /// When its user showed a first code; before that it is no factor.
    pub confirmed_at: Option<Timestamp>,
}

/// A recovery code, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryCode {
    /// HMAC-SHA-256 of it under the pepper.
    pub digest: [u8; 32],
    /// The version of the root that the pepper derives from.
    pub pepper_version: u32,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// Reads second factors.
#[async_trait]
pub trait FactorRows {
    /// A user's one-time codes.
    async fn totp(&mut self, user: UserId) -> Result<Option<Totp>, StoreError>;
    /// A user's recovery codes, in the order of their making.
    async fn recovery_codes(&mut self, user: UserId) -> Result<Vec<RecoveryCode>, StoreError>;
}

/// Changes second factors.
#[async_trait]
pub trait FactorWrites {
    /// Adds one, or gives one that is not confirmed another secret: [`StoreError::Changed`]`("totp")` if it is confirmed.
    /// Failures stay counted.
    async fn put_totp(&mut self, totp: &Totp) -> Result<(), StoreError>;
    /// Counts a wrong code, if there were `failures` before: [`StoreError::Changed`]`("totp")` otherwise.
    async fn fail_totp(&mut self, user: UserId, failures: u32, at: Timestamp) -> Result<(), StoreError>;
    /// Uses a step up, ends the count of failures, and confirms the factor if it was not:
    /// [`StoreError::Changed`]`("totp")` if that step or a later one was used, or the secret is another.
    async fn pass_totp(&mut self, totp: &Totp, step: u64, at: Timestamp) -> Result<(), StoreError>;
    /// Removes a user's one-time codes; whether there were any, as a number.
    async fn remove_totp(&mut self, user: UserId) -> Result<u64, StoreError>;
    /// Removes all second factors of a user, passkeys too; how many there were.
    async fn remove_factors(&mut self, user: UserId) -> Result<u64, StoreError>;
    /// Replaces all recovery codes of a user.
    async fn put_recovery_codes(&mut self, user: UserId, codes: &[RecoveryCode]) -> Result<(), StoreError>;
    /// Uses a recovery code up: [`StoreError::Changed`]`("recovery_code")` if there is none, or it was used.
    async fn use_recovery_code(&mut self, user: UserId, digest: &[u8; 32], at: Timestamp) -> Result<(), StoreError>;
}

/// Whether a user logs in with a second factor only. Whoever holds a part of an administrator's role does too.
pub(crate) async fn needed(rows: &mut (dyn View + '_), user: &User) -> Result<bool, StoreError> {
    Ok(required(roles::all_of(rows, Holder::User(user.id), user.roles).await?))
}

/// Whether a second factor is asked of a user: because there is one, or because a role needs one.
pub(crate) async fn asked(rows: &mut (dyn View + '_), user: &User) -> Result<bool, StoreError> {
    Ok(needed(rows, user).await? || Standing::of(rows, user.id).await?.is_enrolled())
}

fn required(roles: RoleSet) -> bool {
    roles.iter().any(Role::is_privileged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn administrators_need_a_second_factor() {
        let needy: Vec<Role> =
            Role::ALL.iter().copied().filter(|role| required(RoleSet::of(&[Role::Staff, *role]))).collect();
        assert_eq!(needy, [Role::PlatformAdmin, Role::PlatformAuditor, Role::TenantAdmin, Role::SecurityOfficer]);
    }
}
