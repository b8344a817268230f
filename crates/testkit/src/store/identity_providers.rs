//! Issuers outside, and what the directory knows of them.

use chancery_domain::TenantId;
use chancery_domain::identity_providers::{AudienceClaim, IdentityProvider, IdentityProviderEntry};
use chancery_domain::tenants::{Tenant, TenantState};

use super::{Backend, begin, changed, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, identity_provider, tenant};

const PLATFORM: TenantId = TenantId::PLATFORM;

async fn found(store: &impl Backend, provider: &IdentityProvider) -> Vec<IdentityProviderEntry> {
    let audiences: Vec<(AudienceClaim, &str)> =
        provider.audiences.iter().map(|audience| (provider.audience_claim, audience.as_str())).collect();
    store.identity_providers(&provider.issuer, &audiences).await.unwrap()
}

/// What the directory says of a provider: an entry for each audience.
fn entries(tenant: TenantId, provider: &IdentityProvider) -> Vec<IdentityProviderEntry> {
    let entry = |audience: &String| IdentityProviderEntry {
        tenant,
        id: provider.id,
        audience_claim: Some(provider.audience_claim),
        audience: audience.clone(),
        tenant_claim: provider.tenant_claim.clone(),
    };
    provider.audiences.iter().map(entry).collect()
}

/// In an order that does not depend on the engine.
fn sorted(mut entries: Vec<IdentityProviderEntry>) -> Vec<IdentityProviderEntry> {
    entries.sort_by(|a, b| (a.tenant, a.id, &a.audience).cmp(&(b.tenant, b.id, &b.audience)));
    entries
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
    assert_eq!(sorted(found(store, &provider).await), sorted(entries(OURS, &provider)), "once for each audience");
    let claim = provider.audience_claim;
    let by = async |issuer: &str, audiences: &[&str]| {
        let audiences: Vec<_> = audiences.iter().map(|audience| (claim, *audience)).collect();
        store.identity_providers(issuer, &audiences).await.unwrap().len()
    };
    assert_eq!(by(&provider.issuer, &[provider.audiences[1].as_str()]).await, 1);
    assert_eq!(by(&provider.issuer, &["another"]).await, 0);
    assert_eq!(by(&provider.issuer, &[]).await, 0);
    assert_eq!(by(provider.issuer.trim_end_matches('/'), &[provider.audiences[0].as_str()]).await, 0, "to the letter");
    let fewer = IdentityProvider { audiences: vec!["other".to_owned()], tenant_claim: None, ..provider.clone() };
    commit!(store, OURS, .put_identity_provider(&fewer));
    assert_eq!(found(store, &provider).await, []);
    assert_eq!(found(store, &fewer).await, entries(OURS, &fewer));
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
    assert_eq!(sorted(both), sorted([entries(OURS, &ours), entries(THEIRS, &theirs)].concat()));
}

/// A value finds the provider that looks for it in the claim where it stands, and no other.
pub async fn an_audience_is_found_in_its_own_claim(store: &impl Backend) {
    let ours = IdentityProvider { enabled: true, audience_claim: AudienceClaim::Azp, ..identity_provider(1) };
    let theirs =
        IdentityProvider { id: identity_provider(2).id, audience_claim: AudienceClaim::ClientId, ..ours.clone() };
    commit!(store, OURS, .put_identity_provider(&ours));
    commit!(store, THEIRS, .put_identity_provider(&theirs));
    assert_eq!(sorted(found(store, &ours).await), sorted(entries(OURS, &ours)));
    assert_eq!(sorted(found(store, &theirs).await), sorted(entries(THEIRS, &theirs)));
    let audience = ours.audiences[0].as_str();
    let by = async |audiences: &[(AudienceClaim, &str)]| {
        let found = store.identity_providers(&ours.issuer, audiences).await.unwrap();
        found.into_iter().map(|entry| entry.tenant).collect::<Vec<_>>()
    };
    assert_eq!(by(&[(AudienceClaim::Aud, audience)]).await, []);
    assert_eq!(by(&[(AudienceClaim::Azp, "x"), (AudienceClaim::Aud, audience)]).await, []);
    assert_eq!(by(&[(AudienceClaim::Azp, audience), (AudienceClaim::ClientId, audience)]).await, [OURS, THEIRS]);
}

/// A tenant that is not served takes no tokens, and keeps its place.
pub async fn suspended_tenants_are_passed_over(store: &impl Backend) {
    let provider = IdentityProvider { enabled: true, ..identity_provider(1) };
    commit!(store, PLATFORM, .insert_tenant(&Tenant { id: OURS, ..tenant(1) }));
    commit!(store, OURS, .put_identity_provider(&provider));
    assert_eq!(found(store, &provider).await.len(), 2);
    commit!(store, PLATFORM, .set_tenant_state(OURS, TenantState::Active, TenantState::Suspended));
    assert_eq!(found(store, &provider).await, []);
    let held = begin(store, THEIRS).await.hold_issuer(&provider.issuer).await.unwrap();
    assert_eq!(held, sorted(entries(OURS, &provider)), "but who comes beside it must see it");
    commit!(store, PLATFORM, .set_tenant_state(OURS, TenantState::Suspended, TenantState::Active));
    assert_eq!(found(store, &provider).await.len(), 2);
}

/// Of many who come at once, each of another tenant, one finds nobody there.
pub async fn an_issuer_is_held(store: &impl Backend) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..=6_u64 {
        let store = store.clone();
        tasks.spawn(async move {
            let tenant = TenantId::from_bytes(crate::samples::bytes(n));
            // Nothing but the hold keeps these apart: their audiences differ.
            let provider = IdentityProvider {
                enabled: true,
                issuer: "https://shared.example".to_owned(),
                audiences: vec![format!("of {n}")],
                tenant_claim: None,
                ..identity_provider(n)
            };
            let mut tx = begin(&store, tenant).await;
            let there = tx.hold_issuer(&provider.issuer).await.unwrap();
            if there.is_empty() {
                tx.put_identity_provider(&provider).await.unwrap();
            }
            tx.commit().await.unwrap();
            there.len()
        });
    }
    let found = tasks.join_all().await;
    assert_eq!(found.iter().filter(|there| **there == 0).count(), 1, "{found:?}");
    assert_eq!(begin(store, OURS).await.hold_issuer("https://shared.example").await.unwrap().len(), 1);
    assert_eq!(begin(store, OURS).await.hold_issuer("https://other.example").await.unwrap(), []);
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
