//! The denylist.

use chancery_domain::ids::{TokenId, UserId};
use chancery_domain::revocations::{Revocation, RevokedKind};

use super::{Backend, commit, view};
use crate::samples::{NOW, OURS, TEXT, THEIRS, bytes};

fn token(n: u64) -> TokenId {
    TokenId::from_bytes(bytes(n))
}

fn person(n: u64) -> UserId {
    UserId::from_bytes(bytes(n))
}

fn row(kind: RevokedKind, id: impl ToString) -> Revocation {
    let single = kind == RevokedKind::Token;
    Revocation {
        kind,
        id: id.to_string(),
        not_before: (!single).then_some(NOW),
        expires_at: NOW.plus_seconds(900),
        user: single.then_some(person(1)),
        reason: TEXT.to_owned(),
        revoked_at: NOW,
    }
}

/// The token's own, its user's and the tenant's; nothing of other tokens and users.
pub async fn what_stands_against_a_token_is_found(store: &impl Backend) {
    let (one, two) = (row(RevokedKind::Token, token(1)), row(RevokedKind::Token, token(2)));
    let (hers, all) = (row(RevokedKind::User, person(1)), row(RevokedKind::Tenant, OURS));
    commit!(store, OURS, .revoke(&one) .revoke(&two) .revoke(&hers));
    assert_eq!(
        view(store, OURS).await.revocations_of(token(1), Some(person(1))).await.unwrap(),
        [one.clone(), hers.clone()]
    );
    assert_eq!(view(store, OURS).await.revocations_of(token(2), Some(person(2))).await.unwrap(), [two]);
    assert_eq!(view(store, OURS).await.revocations_of(token(3), Some(person(2))).await.unwrap(), []);
    commit!(store, OURS, .revoke(&all));
    // By kind: tenant, token, user.
    let found = view(store, OURS).await.revocations_of(token(1), Some(person(1))).await.unwrap();
    assert_eq!(found, [all.clone(), one, hers]);
    assert_eq!(
        view(store, OURS).await.revocations_of(token(3), Some(person(3))).await.unwrap(),
        std::slice::from_ref(&all)
    );
    // A program's token has no user.
    assert_eq!(view(store, OURS).await.revocations_of(token(3), None).await.unwrap(), [all]);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .revoke(&row(RevokedKind::Token, token(1))) .revoke(&row(RevokedKind::Tenant, OURS)));
    assert_eq!(view(store, THEIRS).await.revocations_of(token(1), Some(person(1))).await.unwrap(), []);
}

/// An earlier moment that comes later takes nothing back.
pub async fn a_later_moment_reaches_further(store: &impl Backend) {
    let first = row(RevokedKind::User, person(1));
    let later = Revocation {
        not_before: Some(NOW.plus_seconds(60)),
        expires_at: NOW.plus_seconds(960),
        reason: "again".to_owned(),
        ..first.clone()
    };
    commit!(store, OURS, .revoke(&first) .revoke(&later));
    let found = view(store, OURS).await.revocations_of(token(1), Some(person(1))).await.unwrap();
    assert_eq!(found.as_slice(), std::slice::from_ref(&later));
    commit!(store, OURS, .revoke(&first));
    let found = view(store, OURS).await.revocations_of(token(1), Some(person(1))).await.unwrap();
    assert_eq!((found[0].not_before, found[0].expires_at), (later.not_before, later.expires_at));
}

/// By what its issuer calls it, and with it what stands against everybody; never by an id of ours.
pub async fn a_foreign_token_is_found(store: &impl Backend) {
    let foreign = Revocation { not_before: None, ..row(RevokedKind::Foreign, TEXT) };
    commit!(store, OURS, .revoke(&foreign) .revoke(&row(RevokedKind::Token, token(1))));
    let found = view(store, OURS).await.foreign_revocations_of(Some(TEXT)).await.unwrap();
    assert_eq!(found.as_slice(), std::slice::from_ref(&foreign));
    let id = token(1).to_string();
    assert_eq!(view(store, OURS).await.foreign_revocations_of(Some(&id)).await.unwrap(), []);
    assert_eq!(view(store, OURS).await.foreign_revocations_of(None).await.unwrap(), []);
    assert_eq!(view(store, THEIRS).await.foreign_revocations_of(Some(TEXT)).await.unwrap(), []);
    let all = row(RevokedKind::Tenant, OURS);
    commit!(store, OURS, .revoke(&all));
    assert_eq!(view(store, OURS).await.foreign_revocations_of(Some(TEXT)).await.unwrap(), [foreign, all.clone()]);
    assert_eq!(view(store, OURS).await.foreign_revocations_of(None).await.unwrap(), [all]);
}

/// Of the own tenant only.
pub async fn what_expired_is_forgotten(store: &impl Backend) {
    let old = row(RevokedKind::Token, token(1));
    let young = Revocation { expires_at: NOW.plus_seconds(2_000), ..row(RevokedKind::Token, token(2)) };
    commit!(store, OURS, .revoke(&old) .revoke(&young));
    commit!(store, THEIRS, .revoke(&old));
    commit!(store, OURS, .forget_revocations(old.expires_at.plus_seconds(1)));
    assert_eq!(view(store, OURS).await.revocations_of(token(1), Some(person(1))).await.unwrap(), []);
    assert_eq!(view(store, OURS).await.revocations_of(token(2), Some(person(1))).await.unwrap(), [young]);
    assert_eq!(view(store, THEIRS).await.revocations_of(token(1), Some(person(1))).await.unwrap(), [old]);
}

/// By id and in pages, without what expired, and of the own tenant only.
pub async fn what_stands_is_listed(store: &impl Backend) {
    let (one, two) = (row(RevokedKind::Token, token(1)), row(RevokedKind::Token, token(2)));
    let hers = Revocation { expires_at: NOW.plus_seconds(2_000), ..row(RevokedKind::User, person(1)) };
    commit!(store, OURS, .revoke(&hers) .revoke(&two) .revoke(&one));
    commit!(store, THEIRS, .revoke(&one));
    let mut view = view(store, OURS).await;
    assert_eq!(view.revocations(NOW, None, 9).await.unwrap(), [one.clone(), two.clone(), hers.clone()]);
    assert_eq!(view.revocations(NOW, None, 1).await.unwrap(), std::slice::from_ref(&one));
    assert_eq!(view.revocations(NOW, Some(&one.id), 9).await.unwrap(), [two, hers.clone()]);
    assert_eq!(view.revocations(one.expires_at, None, 9).await.unwrap(), [hers]);
}
