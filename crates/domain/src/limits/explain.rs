//! What is counted of somebody, and how an administrator lets them begin anew.

use std::{net::IpAddr, sync::Arc};

use super::{Ask, CountedSubject, Judged, Limit, Per, Policy, Rule, Together, place_at};
use crate::{
    Instance, TenantId,
    access::{Call, Denied, Permission},
    audit::{Change, Event, EventKind, receipt::note},
    ids::{ApiKeyId, UserId},
    instance::{Failure, fails},
    lockouts::{self, LockoutKind},
};

/// Whose counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A user's of the caller's tenant; and, where an address is named, its failed logins from there.
    User(UserId, Option<IpAddr>),
    /// An API key's of the caller's tenant.
    ApiKey(ApiKeyId),
    /// An address's, before anybody asks who it is; for those who run the platform.
    Address(IpAddr),
}

/// Why nothing was told or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum CountedError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such user or API key in the tenant.
    #[error("no such subject")]
    NotFound,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(CountedError);

/// What stands for somebody among the counts, and the limits that hold for them.
struct Of {
    together: Together,
    limits: Vec<Counting>,
}

/// A limit that holds for somebody.
struct Counting {
    policy: Arc<Policy>,
    limit: Limit,
    of: CountedSubject,
    network: bool,
}

impl Of {
    fn asks(&self) -> Vec<Ask<'_>> {
        fn ask(one: &Counting) -> Ask<'_> {
            Ask { policy: &one.policy, limit: one.limit, of: one.of, cost: 0 }
        }
        self.limits.iter().map(ask).collect()
    }
}

/// Says of every limit of somebody what is left of it. Counts nothing.
///
/// # Errors
///
/// [`CountedError`].
pub async fn check(instance: &Instance, call: &Call, whom: Counted) -> Result<Vec<Judged>, CountedError> {
    call.require(match whom {
        Counted::User(..) => Permission::UsersRead,
        Counted::ApiKey(_) => Permission::ApiKeysRead,
        Counted::Address(_) => Permission::AddressesBlock,
    })?;
    let found = find(instance, call, whom).await?;
    let answers = instance.limiter().take(&found.together, &found.asks(), instance.now()).await?;
    note(instance, call, call.tenant(), whom.event(EventKind::LimitsRead)).await?;
    let judged = found.limits.into_iter().zip(answers);
    Ok(judged
        .map(|(Counting { policy, limit, network, .. }, answer)| Judged { policy, limit, answer, network })
        .collect())
}

/// Forgets what was counted of somebody, failed logins too: they may go on at once, on every node.
///
/// # Errors
///
/// [`CountedError`].
pub async fn reset(instance: &Instance, call: &Call, whom: Counted) -> Result<(), CountedError> {
    call.require(match whom {
        Counted::User(..) => Permission::UsersUpdate,
        Counted::ApiKey(_) => Permission::ApiKeysRevoke,
        Counted::Address(_) => Permission::AddressesBlock,
    })?;
    instance.require_recent(call)?;
    let found = find(instance, call, whom).await?;
    // The event first: what is forgotten without one could not be told.
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    if let Counted::User(user, _) = whom {
        change.rows().remove_lockout_of(LockoutKind::Account, &user.to_string()).await?;
    }
    change.commit(whom.event(EventKind::LimitsReset)).await?;
    instance.limiter().forget(&found.together, &found.asks()).await?;
    if let Counted::User(user, address) = whom {
        lockouts::release(instance, call.tenant(), user, address).await?;
    }
    Ok(())
}

impl Counted {
    fn event(self, kind: EventKind) -> Event {
        let (event, address) = match self {
            Self::User(id, address) => (Event::new(kind).on("user", id), address),
            Self::ApiKey(id) => (Event::new(kind).on("api_key", id), None),
            Self::Address(address) => (Event::new(kind), Some(address)),
        };
        match address {
            Some(address) => event.personal("counted_address", address.to_string()),
            None => event,
        }
    }
}

async fn find(instance: &Instance, call: &Call, whom: Counted) -> Result<Of, CountedError> {
    let settings = &instance.settings().limits;
    let rules = |per| settings.rules.iter().filter(move |rule| rule.per == per);
    let counting = |policy: &Arc<Policy>, limit, of| Counting { policy: Arc::clone(policy), limit, of, network: false };
    let all = |per, of| rules(per).map(|rule| counting(&rule.policy, rule.policy.limit, of)).collect::<Vec<_>>();
    let tenant: TenantId = call.tenant();
    match whom {
        Counted::User(id, _) => {
            instance.store().view(tenant).await?.user(id).await?.ok_or(CountedError::NotFound)?;
            Ok(Of { together: tenant.to_bytes(), limits: all(Per::Account, id.to_bytes()) })
        }
        Counted::ApiKey(id) => {
            let key = instance.store().view(tenant).await?.api_key(id).await?.ok_or(CountedError::NotFound)?;
            let mut limits = all(Per::ApiKey, id.to_bytes());
            let count = key.rate_limit.unwrap_or(instance.settings().api_key_per_minute);
            if count > 0 {
                limits.insert(0, counting(&settings.api_key, Limit { count, seconds: 60 }, id.to_bytes()));
            }
            Ok(Of { together: tenant.to_bytes(), limits })
        }
        Counted::Address(address) => {
            let place = place_at(instance, Some(address)).await?;
            let of_rule = |rule: &Rule| {
                let policy = Arc::clone(&rule.policy);
                let each = place.counted(&rule.policy).collect::<Vec<_>>().into_iter();
                each.map(move |(of, limit, network)| Counting { policy: Arc::clone(&policy), limit, of, network })
            };
            Ok(Of { together: place.together, limits: rules(Per::Address).flat_map(of_rule).collect() })
        }
    }
}
