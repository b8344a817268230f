//! Records of tenants, and the directory that follows them.

use chancery_domain::TenantId;
use chancery_domain::store::TenantEntry;
use chancery_domain::tenants::{Registration, Tenant, TenantState};

use super::{Backend, begin, changed, commit, taken, unavailable, view};
use crate::samples::{OURS, tenant};

const PLATFORM: TenantId = TenantId::PLATFORM;

/// Nothing of a record is lost: nulls, empty bytes, Unicode.
pub async fn a_record_reads_back(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)) .insert_tenant(&tenant(2)));
    let mut view = view(store, PLATFORM).await;
    for n in [1, 2] {
        assert_eq!(view.tenant_record(tenant(n).id).await.unwrap(), Some(tenant(n)));
    }
    assert_eq!(view.tenant_record(tenant(3).id).await.unwrap(), None);
}

/// Pages follow each other without a gap, ordered by id.
pub async fn records_come_in_pages(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(3)) .insert_tenant(&tenant(1)) .insert_tenant(&tenant(2)));
    let mut view = view(store, PLATFORM).await;
    assert_eq!(view.tenant_records(None, 2).await.unwrap(), [tenant(1), tenant(2)]);
    assert_eq!(view.tenant_records(Some(tenant(2).id), 2).await.unwrap(), [tenant(3)]);
    assert_eq!(view.tenant_records(Some(tenant(3).id), 2).await.unwrap(), []);
}

/// By any of its e-mail's terms, and by no other.
pub async fn a_record_is_found_by_its_terms(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)) .insert_tenant(&tenant(2)) .insert_tenant(&tenant(3)));
    let mut view = view(store, PLATFORM).await;
    let all = [tenant(3).email_terms, tenant(1).email_terms, vec!["\"'; --".to_owned()]].concat();
    assert_eq!(view.tenants_by_email_terms(&all).await.unwrap(), [tenant(1), tenant(3)]);
    assert_eq!(view.tenants_by_email_terms(&tenant(3).email_terms[..1]).await.unwrap(), [tenant(3)]);
    assert_eq!(view.tenants_by_email_terms(&["term".to_owned()]).await.unwrap(), []);
    assert_eq!(view.tenants_by_email_terms(&[]).await.unwrap(), []);
    assert_eq!(view.own_terms().await.unwrap(), 6);
}

/// Not even the tenant itself sees its record; it is the platform's.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)));
    for other in [OURS, tenant(1).id] {
        let mut view = view(store, other).await;
        assert_eq!(view.tenant_record(tenant(1).id).await.unwrap(), None);
        assert_eq!(view.tenant_records(None, 10).await.unwrap(), []);
        assert_eq!(view.tenants_by_email_terms(&tenant(1).email_terms).await.unwrap(), []);
    }
}

/// Nor does it suspend itself or anybody.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)));
    let mut tx = begin(store, OURS).await;
    let attempt = tx.set_tenant_state(tenant(1).id, TenantState::Active, TenantState::Suspended).await;
    assert!(changed(attempt, "tenant"));
    drop(tx);
    assert_eq!(store.tenant(tenant(1).id).await.unwrap().unwrap().state, TenantState::Active);
}

/// A record in the rows of another tenant is refused, and the directory does not learn of it.
pub async fn only_the_platform_keeps_records(store: &impl Backend) {
    let mut tx = begin(store, OURS).await;
    assert!(unavailable(tx.insert_tenant(&tenant(1)).await));
    drop(tx);
    assert_eq!(store.tenant(tenant(1).id).await.unwrap(), None);
}

/// Two tenants do not share a short name.
pub async fn a_slug_is_taken_once(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)));
    let mut double = tenant(2);
    double.slug = tenant(1).slug;
    assert!(taken(begin(store, PLATFORM).await.insert_tenant(&double).await, "slug"));
}

/// Nor an id.
pub async fn an_id_is_taken_once(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)));
    let mut double = tenant(2);
    double.id = tenant(1).id;
    assert!(taken(begin(store, PLATFORM).await.insert_tenant(&double).await, "tenant"));
}

/// A state moves only from where the caller saw it.
pub async fn a_state_moves_by_compare_and_swap(store: &impl Backend) {
    let id = tenant(1).id;
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)));
    commit!(store, PLATFORM, .set_tenant_state(id, TenantState::Active, TenantState::Suspended));
    let mut tx = begin(store, PLATFORM).await;
    assert!(changed(tx.set_tenant_state(id, TenantState::Active, TenantState::Suspended).await, "tenant"));
    assert_eq!(tx.tenant_record(id).await.unwrap().unwrap().state, TenantState::Suspended);
    assert!(changed(tx.set_tenant_state(tenant(2).id, TenantState::Active, TenantState::Erased).await, "tenant"));
}

/// The directory has what the records have, from the same commit on. The platform is in it like any other.
pub async fn the_directory_follows(store: &impl Backend) {
    let mut platform = tenant(2);
    platform.id = PLATFORM;
    platform.slug = "platform".to_owned();
    let mut tx = begin(store, PLATFORM).await;
    tx.insert_tenant(&tenant(1)).await.unwrap();
    tx.insert_tenant(&platform).await.unwrap();
    assert_eq!(store.tenant(tenant(1).id).await.unwrap(), None);
    tx.commit().await.unwrap();

    let entry = TenantEntry {
        id: tenant(1).id,
        slug: tenant(1).slug,
        state: TenantState::Active,
        clear_fields: 0,
        registration: Registration::Closed,
    };
    assert_eq!(store.tenant(entry.id).await.unwrap(), Some(entry.clone()));
    assert_eq!(store.tenant_by_slug(&entry.slug).await.unwrap(), Some(entry.clone()));
    assert_eq!(store.tenant_by_slug("Clinic-1").await.unwrap(), None);
    assert_eq!(store.tenant_by_slug("platform").await.unwrap().unwrap().id, PLATFORM);

    commit!(store, PLATFORM, .set_tenant_state(entry.id, TenantState::Active, TenantState::Suspended));
    assert_eq!(store.tenant(entry.id).await.unwrap().unwrap().state, TenantState::Suspended);
}

/// Jobs walk through all tenants.
pub async fn the_directory_comes_in_pages(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(2)) .insert_tenant(&tenant(1)) .insert_tenant(&tenant(3)));
    let first: Vec<TenantId> = store.tenants(None, 2).await.unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(first, [tenant(1).id, tenant(2).id]);
    let rest: Vec<TenantId> =
        store.tenants(first.last().copied(), 2).await.unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(rest, [tenant(3).id]);
}

/// A tenant notes how many fields it keeps in clear; nobody else's number moves.
pub async fn clear_fields_are_counted_for_the_own_tenant(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)) .insert_tenant(&tenant(2)));
    commit!(store, tenant(1).id, .set_clear_fields(3));
    assert_eq!(store.tenant(tenant(1).id).await.unwrap().unwrap().clear_fields, 3);
    assert_eq!(store.tenant(tenant(2).id).await.unwrap().unwrap().clear_fields, 0);
    let mut tx = begin(store, tenant(3).id).await;
    assert!(changed(tx.set_clear_fields(1).await, "tenant"));
}

/// A tenant says how people become its users; nobody says it for another.
pub async fn registration_is_the_own_tenants(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)) .insert_tenant(&tenant(2)));
    let of = async |n| store.tenant(tenant(n).id).await.unwrap().unwrap().registration;
    assert_eq!(of(1).await, Registration::Closed);
    commit!(store, tenant(1).id, .set_registration(Registration::Open));
    assert_eq!((of(1).await, of(2).await), (Registration::Open, Registration::Closed));
    let mut tx = begin(store, tenant(3).id).await;
    assert!(changed(tx.set_registration(Registration::Open).await, "tenant"));
}

/// Its name and what is sealed; its state and short name stay.
pub async fn a_record_is_updated(store: &impl Backend) {
    commit!(store, PLATFORM, .insert_tenant(&tenant(1)) .insert_tenant(&tenant(2)));
    let wanted = Tenant { id: tenant(1).id, slug: "ignored".to_owned(), state: TenantState::Erased, ..tenant(2) };
    let mut tx = begin(store, PLATFORM).await;
    assert_eq!(tx.hold_tenant_record(wanted.id).await.unwrap(), Some(tenant(1)));
    assert_eq!(tx.hold_tenant_record(tenant(9).id).await.unwrap(), None);
    tx.update_tenant(&wanted).await.unwrap();
    tx.commit().await.unwrap();
    let expected =
        Tenant { slug: tenant(1).slug, state: TenantState::Active, created_at: tenant(1).created_at, ..wanted };
    let mut now = view(store, PLATFORM).await;
    assert_eq!(now.tenant_record(expected.id).await.unwrap(), Some(expected));
    assert_eq!(now.tenant_record(tenant(2).id).await.unwrap(), Some(tenant(2)));
    assert_eq!(now.tenants_by_email_terms(&tenant(1).email_terms).await.unwrap(), []);
    drop(now);
    assert!(changed(begin(store, PLATFORM).await.update_tenant(&tenant(9)).await, "tenant"));
    assert!(changed(begin(store, OURS).await.update_tenant(&tenant(1)).await, "tenant"));
}
