//! Pauses after failed logins: longer with each, for whoever fails, and never for who is known.
//!
//! A login is counted as failed before its password is compared, on four ladders: of the address with the account, the account, the
//! address, the tenant. One that succeeds takes itself back, and clears the ladder of address and account alone: success with one account
//! must not buy more guesses at others.
//!
//! **A stranger locks nobody out.** An address from which the account has logged in before is known to it, and waits for its own
//! failures only, not for those of others; that is stored, so that a restart forgets it no more than Redis does. Logins by passkey are
//! not on any ladder: there is nothing to guess.
//!
//! Credentials that their limits refuse again and again are kept out too, where the operator says so: see [`answer_offenders`].

use std::net::IpAddr;

use async_trait::async_trait;

use crate::{
    Instance,
    access::RequestInfo,
    ids::{TenantId, UserId},
    instance::Failure,
    limits::{CountedSubject, Together, masked},
    time::Timestamp,
};

mod answer;
mod known;
mod local;
mod manage;
mod paused;
mod row;

pub use answer::answer_offenders;
pub use local::LocalLadders;
pub use manage::{LockoutError, lift, list};
pub(crate) use paused::PausedAccounts;
pub use row::{Lockout, LockoutKind, LockoutRows, LockoutWrites};

codes! {
    /// Whose failures a ladder counts.
    pub enum LadderKind {
        /// Of one address with one account.
        Pair = "pair",
        /// Of one account, from addresses that it does not know.
        Account = "account",
        /// Of one address, with whatever accounts.
        Address = "address",
        /// Of one tenant, from addresses that its accounts do not know.
        Tenant = "tenant",
    }
}

/// How long a ladder is remembered after its last failure, in seconds.
pub const REMEMBERED: i64 = 86_400;
/// How long an address is known to an account after its last login from there, in seconds.
pub const KNOWN: i64 = 30 * 86_400;

impl LadderKind {
    /// How many seconds after a failure the next try is heard, by how many there were. Those of an account, an address and a tenant
    /// come from several: there it takes more.
    pub const fn pause(self, failures: u32) -> u32 {
        let (share, most) = self.shape();
        least(step(failures / share), most)
    }

    /// Which part of its failures counts, and its longest pause in seconds.
    pub const fn shape(self) -> (u32, u32) {
        match self {
            Self::Pair => (1, 86_400),
            Self::Account => (3, 900),
            Self::Address => (4, 900),
            // It slows a flood down, and stops nobody.
            Self::Tenant => (100, 5),
        }
    }
}

const fn step(failures: u32) -> u32 {
    match failures {
        // As many as the limit of a minute: it is said there first.
        0..=4 => 0,
        5 => 1,
        6 => 3,
        7 => 5,
        8 => 10,
        9..=11 => 60,
        12..=99 => 900,
        _ => 86_400,
    }
}

const fn least(one: u32, other: u32) -> u32 {
    if one < other { one } else { other }
}

/// One ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ladder {
    /// Whose failures it counts.
    pub kind: LadderKind,
    /// Who that is.
    pub of: CountedSubject,
}

/// Counts failures. The one in process counts those of this node; one that nodes share counts all.
#[async_trait]
pub trait Ladders: Send + Sync {
    /// Counts a failure on all of them; or, if one of them pauses, on none, and gives the longest pause in seconds.
    async fn climb(&self, together: &Together, on: &[Ladder], now: Timestamp) -> Result<Option<u32>, Failure>;

    /// Takes one failure back from each.
    async fn step_back(&self, together: &Together, on: &[Ladder]) -> Result<(), Failure>;

    /// Forgets all failures of each.
    async fn clear(&self, together: &Together, on: &[Ladder]) -> Result<(), Failure>;

    /// Notes that a pair is known from now on, and forgets its failures.
    async fn know(&self, together: &Together, pair: &Ladder, now: Timestamp) -> Result<(), Failure>;

    /// Whether a pair is known.
    async fn knows(&self, together: &Together, pair: &Ladder, now: Timestamp) -> Result<bool, Failure>;
}

/// A try that is counted as failed until it succeeds.
pub(crate) struct Try {
    tenant: TenantId,
    /// Whose account; an id that nobody has for a name that nobody has.
    user: UserId,
    address: Option<IpAddr>,
    together: Together,
    pair: Ladder,
    others: Vec<Ladder>,
}

/// Counts a try; or gives the pause in seconds. `user` may be missing: a name that nobody has is an account too, and the two look the
/// same.
pub(crate) async fn begin(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    (user, name): (Option<UserId>, &str),
) -> Result<Result<Try, u32>, Failure> {
    let account = account_of(user, name);
    let (together, address) = (tenant.to_bytes(), masked(instance, request.address).await?);
    let pair = pair(&account, &address);
    let ladder = |kind, of| Ladder { kind, of };
    let mut others = vec![ladder(LadderKind::Address, address)];
    let owner = UserId::from_bytes(account);
    let known = instance.ladders().knows(&together, &pair, instance.now()).await?
        || known::is_known(instance, tenant, owner, request.address).await?;
    if !known {
        others.push(ladder(LadderKind::Account, account));
        others.push(ladder(LadderKind::Tenant, together));
    }
    let all: Vec<Ladder> = std::iter::once(pair).chain(others.iter().copied()).collect();
    match instance.ladders().climb(&together, &all, instance.now()).await? {
        Some(pause) => {
            if let Some(user) = user {
                // That of the whole tenant is nobody's own.
                let own: Vec<Ladder> = all.into_iter().filter(|ladder| ladder.kind != LadderKind::Tenant).collect();
                instance.paused_accounts.note(tenant, user, &own, instance.now().plus_seconds(pause.into()));
            }
            Ok(Err(pause))
        }
        None => Ok(Ok(Try { tenant, user: owner, address: request.address, together, pair, others })),
    }
}

impl Try {
    /// The password was right.
    pub(crate) async fn succeeded(self, instance: &Instance) -> Result<(), Failure> {
        instance.ladders().step_back(&self.together, &self.others).await?;
        instance.ladders().know(&self.together, &self.pair, instance.now()).await?;
        if let Err(failure) = known::remember(instance, self.tenant, self.user, self.address).await {
            let error: &dyn std::error::Error = &failure;
            tracing::warn!(error, "Could not store from where a user logged in; the next login tries again");
        }
        Ok(())
    }

    /// It was neither right nor wrong: it could not be compared.
    pub(crate) async fn undone(&self, instance: &Instance) -> Result<(), Failure> {
        instance.ladders().step_back(&self.together, &self.others).await?;
        instance.ladders().step_back(&self.together, &[self.pair]).await
    }
}

/// What an account is on the ladders: the user, or its name if nobody has it.
fn account_of(user: Option<UserId>, name: &str) -> CountedSubject {
    let mut of = CountedSubject::default();
    match user {
        Some(user) => user.to_bytes(),
        None => {
            let digest = chancery_crypto::sha256(name.to_lowercase().as_bytes());
            of.iter_mut().zip(digest).for_each(|(slot, byte)| *slot = byte);
            of
        }
    }
}

fn pair(account: &CountedSubject, address: &CountedSubject) -> Ladder {
    let digest = chancery_crypto::sha256(&[account.as_slice(), address.as_slice()].concat());
    let mut of = CountedSubject::default();
    of.iter_mut().zip(digest).for_each(|(slot, byte)| *slot = byte);
    Ladder { kind: LadderKind::Pair, of }
}

/// Lets a user log in again at once: from an address if one is named, and as far as failures from unknown addresses go.
///
/// # Errors
///
/// [`Failure`] if the counts do not answer.
pub(crate) async fn release(
    instance: &Instance,
    tenant: TenantId,
    user: UserId,
    address: Option<IpAddr>,
) -> Result<(), Failure> {
    let account = user.to_bytes();
    let mut ladders = vec![Ladder { kind: LadderKind::Account, of: account }];
    if let Some(address) = address {
        let address = masked(instance, Some(address)).await?;
        ladders.extend([pair(&account, &address), Ladder { kind: LadderKind::Address, of: address }]);
    }
    instance.ladders().clear(&tenant.to_bytes(), &ladders).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_never_shrink() {
        for kind in LadderKind::ALL {
            let pauses: Vec<u32> = (0..1_000).map(|failures| kind.pause(failures)).collect();
            assert!(pauses.is_sorted() && pauses[0] == 0, "{kind}");
        }
        let pair = |failures| LadderKind::Pair.pause(failures);
        assert_eq!([4, 5, 6, 7, 8, 9, 12, 99, 100].map(pair), [0, 1, 3, 5, 10, 60, 900, 900, 86_400]);
        assert_eq!((LadderKind::Tenant.pause(10_000), LadderKind::Account.pause(10_000)), (5, 900));
    }

    #[test]
    fn a_name_that_nobody_has_is_an_account_too() {
        assert_eq!(account_of(None, "Ann"), account_of(None, "ann"));
        assert_ne!(account_of(None, "ann"), account_of(None, "bob"));
        let user = UserId::from_bytes([7; 16]);
        assert_eq!(account_of(Some(user), "ann"), account_of(Some(user), "ann@x.test"));
    }
}
