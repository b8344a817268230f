//! Issuers outside, and what the directory knows of them.

use chancery_domain::TenantId;
use chancery_domain::identity_providers::{IdentityProvider, IdentityProviderEntry};

use super::{Backend, begin, changed, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, identity_provider};

async fn found(store: &impl Backend, provider: &IdentityProvider) -> Vec<IdentityProviderEntry> {
    let audiences: Vec<&str> = provider.audiences.iter().map(String::as_str).collect();
    store.identity_providers(&provider.issuer, &audiences).await.unwrap()
}

fn entry(tenant: TenantId, provider: &IdentityProvider) -> IdentityProviderEntry {
    IdentityProviderEntry { tenant, id: provider.id, tenant_claim: provider.tenant_claim.clone() }
}

/// Nothing of a provider is lost, and they come in the order of their ids.
pub async fn a_provider_reads_back(store: &impl Backend) {
    commit!(store, OURS, .put_identity_provider(&identity_provider(2)) .put_identity_provider(&identity_provider(1)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.identity_providers().await.unwrap(), [identity_provider(1), identity_provider(2)]);
    assert_eq!(view.identity_provider(identity_provider(2).id).await.unwrap(), Some(identity_provider(2)));
    assert_eq!(view.identity_provider(identity_provider(3).id).await.unwrap(), None);
}

/// It is replaced as a whole, but for its salt and its age.
pub async fn a_provider_is_replaced(store: &impl Backend) {
    let before = identity_provider(1);
    commit!(store, OURS, .put_identity_provider(&before));
    let after =
        IdentityProvider { id: before.id, salt: [9; 32], created_at: NOW.plus_seconds(9), ..identity_provider(2) };
    commit!(store, OURS, .put_identity_provider(&after));
    let kept = IdentityProvider { salt: before.salt, created_at: before.created_at, ..after };
    assert_eq!(view(store, OURS).await.identity_provider(before.id).await.unwrap(), Some(kept));
}

/// It is found by its issuer and each of its audiences, while it is enabled.
pub async fn the_directory_follows(store: &impl Backend) {
    let provider = IdentityProvider { enabled: true, ..identity_provider(1) };
    commit!(store, OURS, .put_identity_provider(&provider));
    assert_eq!(
        found(store, &provider).await,
        [entry(OURS, &provider), entry(OURS, &provider)],
        "once for each audience"
    );
    let by = async |issuer: &str, audiences: &[&str]| store.identity_providers(issuer, audiences).await.unwrap().len();
    assert_eq!(by(&provider.issuer, &[provider.audiences[1].as_str()]).await, 1);
    assert_eq!(by(&provider.issuer, &["another"]).await, 0);
    assert_eq!(by(&provider.issuer, &[]).await, 0);
    assert_eq!(by(provider.issuer.trim_end_matches('/'), &[provider.audiences[0].as_str()]).await, 0, "to the letter");
    let fewer = IdentityProvider { audiences: vec!["other".to_owned()], tenant_claim: None, ..provider.clone() };
    commit!(store, OURS, .put_identity_provider(&fewer));
    assert_eq!(found(store, &provider).await, []);
    assert_eq!(found(store, &fewer).await, [entry(OURS, &fewer)]);
    commit!(store, OURS, .put_identity_provider(&IdentityProvider { enabled: false, ..fewer.clone() }));
    assert_eq!(found(store, &fewer).await, []);
    commit!(store, OURS, .put_identity_provider(&fewer) .delete_identity_provider(fewer.id));
    assert_eq!(found(store, &fewer).await, []);
    assert!(changed(begin(store, OURS).await.delete_identity_provider(fewer.id).await, "identity_provider"));
}

/// Two tenants do not take the same tokens, unless a claim tells them apart.
pub async fn an_issuer_and_audience_are_taken_once(store: &impl Backend) {
    let ours = IdentityProvider { enabled: true, ..identity_provider(1) };
    let theirs = IdentityProvider { id: identity_provider(2).id, ..ours.clone() };
    commit!(store, OURS, .put_identity_provider(&ours));
    assert!(taken(begin(store, THEIRS).await.put_identity_provider(&theirs).await, "identity_provider"));
    assert!(taken(begin(store, OURS).await.put_identity_provider(&theirs).await, "identity_provider"));
    let other = Some(("org".to_owned(), "theirs".to_owned()));
    let theirs = IdentityProvider { tenant_claim: other, ..theirs };
    commit!(store, THEIRS, .put_identity_provider(&theirs));
    let both = found(store, &ours).await;
    assert_eq!(both.len(), 4);
    assert!(both.contains(&entry(OURS, &ours)) && both.contains(&entry(THEIRS, &theirs)));
}

/// The rows of one tenant are out of sight for another, and out of reach.
pub async fn another_tenant_neither_sees_nor_changes_it(store: &impl Backend) {
    let provider = IdentityProvider { enabled: true, ..identity_provider(1) };
    commit!(store, OURS, .put_identity_provider(&provider));
    assert_eq!(view(store, THEIRS).await.identity_providers().await.unwrap(), []);
    assert_eq!(view(store, THEIRS).await.identity_provider(provider.id).await.unwrap(), None);
    assert!(changed(begin(store, THEIRS).await.delete_identity_provider(provider.id).await, "identity_provider"));
    let mut tx = begin(store, THEIRS).await;
    let _ = tx.delete_identity_provider(provider.id).await;
    tx.commit().await.unwrap();
    assert_eq!(found(store, &provider).await.len(), 2);
}

/// Nodes learn of each change of one that is there.
pub async fn changes_raise_the_epoch(store: &impl Backend) {
    let epoch = async || store.epochs(&[OURS]).await.unwrap().of(OURS);
    let provider = identity_provider(1);
    commit!(store, OURS, .put_identity_provider(&provider));
    let first = epoch().await;
    commit!(store, OURS, .put_identity_provider(&IdentityProvider { enabled: false, ..provider.clone() }));
    let second = epoch().await;
    assert!(second > first);
    commit!(store, OURS, .delete_identity_provider(provider.id));
    assert!(epoch().await > second);
}
