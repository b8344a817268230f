//! Personal parts that are not there: a leaf commits to its texts, so one without them says that somebody took them away.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{LoggedEvent, retention::Purged};
use crate::{Instance, ids::TenantId, instance::Failure, store::StoreError};

/// Whether a leaf commits to texts that lie sealed beside it.
pub(crate) fn has_commitments(core: &Value) -> bool {
    core.pointer("/sealed").and_then(Value::as_object).is_some_and(|texts| !texts.is_empty())
}

/// The places of those events whose personal part is missing: not those that never had one, and not those of which it was purged by
/// order. An erasure takes the key of a part and leaves the part.
pub(crate) async fn missing(
    instance: &Instance,
    tenant: TenantId,
    events: &[LoggedEvent],
) -> Result<BTreeSet<u64>, Failure> {
    let commits = |core: &str| serde_json::from_str::<Value>(core).is_ok_and(|core| has_commitments(&core));
    let bare = events.iter().filter(|logged| logged.event.sealed.is_none() && commits(&logged.event.core));
    let mut missing: BTreeSet<u64> = bare.map(|logged| logged.index).collect();
    if missing.is_empty() {
        return Ok(missing);
    }
    let purged = match instance.keyring(tenant).await {
        Ok(ring) => Purged::told(&mut *instance.store().fresh_view(tenant).await?, &ring).await?,
        Err(Failure::Store(error @ StoreError::Unavailable(_))) => return Err(error.into()),
        // Nobody can say then what was ordered.
        Err(_) => Purged::default(),
    };
    missing.retain(|place| !purged.covers(*place));
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_commits_by_its_own_member_alone() {
        let commits = |core: &str| has_commitments(&serde_json::from_str(core).unwrap());
        assert!(commits(r#"{"sealed":{"note":"00"}}"#));
        for other in [r#"{"sealed":{}}"#, r#"{"detail":{"sealed":{"note":"00"}}}"#, r#"{"sealed":"note"}"#, "{}"] {
            assert!(!commits(other), "{other}");
        }
    }
}
