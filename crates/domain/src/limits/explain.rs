//! What is counted of somebody, and how an administrator lets them begin anew.

use std::{net::IpAddr, sync::Arc};

use super::{Ask, CountedSubject, Judged, Limit, Per, Policy, Together, subject_at};
use crate::{
    Instance, TenantId,
    access::{Call, Denied, Permission},
    audit::{Change, Event, EventKind, receipt::note},
    ids::{ApiKeyId, UserId},
    instance::{Failure, fails},
    lockouts,
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
    of: CountedSubject,
    limits: Vec<(Arc<Policy>, Limit)>,
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
    let Of { together, of, limits } = find(instance, call, whom).await?;
    let asks: Vec<Ask<'_>> = limits.iter().map(|(policy, limit)| Ask { policy, limit: *limit, of, cost: 0 }).collect();
    let answers = instance.limiter().take(&together, &asks, instance.now()).await?;
    note(instance, call, call.tenant(), whom.event(EventKind::LimitsRead)).await?;
    let judged = limits.iter().zip(answers);
    Ok(judged.map(|((policy, limit), answer)| Judged { policy: Arc::clone(policy), limit: *limit, answer }).collect())
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
    let Of { together, of, limits } = find(instance, call, whom).await?;
    // The event first: what is forgotten without one could not be told.
    Change::begin(instance, call, call.tenant()).await?.commit(whom.event(EventKind::LimitsReset)).await?;
    let asks: Vec<Ask<'_>> = limits.iter().map(|(policy, limit)| Ask { policy, limit: *limit, of, cost: 0 }).collect();
    instance.limiter().forget(&together, &asks).await?;
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
    let all = |per| rules(per).map(|rule| (Arc::clone(&rule.policy), rule.policy.limit)).collect::<Vec<_>>();
    let tenant: TenantId = call.tenant();
    match whom {
        Counted::User(id, _) => {
            instance.store().view(tenant).await?.user(id).await?.ok_or(CountedError::NotFound)?;
            Ok(Of { together: tenant.to_bytes(), of: id.to_bytes(), limits: all(Per::Account) })
        }
        Counted::ApiKey(id) => {
            let key = instance.store().view(tenant).await?.api_key(id).await?.ok_or(CountedError::NotFound)?;
            let mut limits = all(Per::ApiKey);
            let count = key.rate_limit.unwrap_or(instance.settings().api_key_per_minute);
            if count > 0 {
                limits.insert(0, (Arc::clone(&settings.api_key), Limit { count, seconds: 60 }));
            }
            Ok(Of { together: tenant.to_bytes(), of: id.to_bytes(), limits })
        }
        Counted::Address(address) => {
            let of = subject_at(instance, Some(address)).await?;
            Ok(Of { together: of, of, limits: all(Per::Address) })
        }
    }
}
