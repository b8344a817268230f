//! How it stands with whom a token names.

use chancery_domain::{
    TenantId,
    access::{Bearer, BearingKey, BearingSession, BearingUser, Role, Stands, Whose},
    ids::{LockoutId, SessionId, TokenId},
    lockouts::{Lockout, LockoutKind},
    revocations::{Revocation, RevokedKind},
    roles::DefinedRole,
    sessions::SessionState,
    tenants::TenantState,
    users::UserState,
};

use super::{Backend, commit, view};
use crate::samples::{NOW, OURS, TEXT, THEIRS, api_key, bytes, role, session, tenant, user};

fn bearer(token: u64) -> Bearer {
    person(token, 1, Some(session(1).id))
}

fn person(token: u64, n: u64, session: Option<SessionId>) -> Bearer {
    Bearer { token: TokenId::from_bytes(bytes(token)), whose: Whose::Person(user(n).id, session) }
}

fn client(token: u64, n: u64) -> Bearer {
    Bearer { token: TokenId::from_bytes(bytes(token)), whose: Whose::Client(api_key(n).id) }
}

fn row(kind: RevokedKind, id: impl ToString) -> Revocation {
    Revocation {
        kind,
        id: id.to_string(),
        not_before: (kind != RevokedKind::Token).then_some(NOW),
        expires_at: NOW.plus_seconds(900),
        user: None,
        reason: TEXT.to_owned(),
        revoked_at: NOW,
    }
}

fn of(n: u64) -> DefinedRole {
    DefinedRole { description: String::new(), ..role(n) }
}

async fn fill(store: &impl Backend) {
    let mut ours = tenant(1);
    ours.id = OURS;
    commit!(store, TenantId::PLATFORM, .insert_tenant(&ours));
    let holder = user(1).id.to_string();
    commit!(store, OURS, .insert_user(&user(1)) .insert_user(&user(2)) .insert_session(&session(1)) .insert_session(&session(2))
        .put_role(&role(1)) .put_role(&role(2)) .put_role(&role(3)) .give_role(&role(2).name, &holder, NOW)
        .give_role(&role(1).name, &holder, NOW) .give_role(&role(3).name, &user(2).id.to_string(), NOW));
}

/// The tenant, the denylist, the person, the session, the roles: of this bearer and of no other.
pub async fn everything_that_may_stop_a_token_is_seen(store: &impl Backend) {
    fill(store).await;
    let mut expected = Stands {
        tenant: Some((tenant(1).slug, TenantState::Active)),
        revocations: Vec::new(),
        user: Some(BearingUser { username: user(1).username, state: user(1).state, roles: user(1).roles }),
        session: Some(BearingSession {
            user: session(1).user,
            state: SessionState::Active,
            expires_at: session(1).expires_at,
        }),
        key: None,
        roles: vec![of(1), of(2)],
    };
    assert_eq!(store.bearer(OURS, &bearer(1)).await.unwrap(), expected);
    // Of another token, another person and the person of another session there is nothing in it.
    commit!(store, OURS, .revoke(&row(RevokedKind::Token, bearer(2).token)) .revoke(&row(RevokedKind::User, user(2).id))
        .revoke(&row(RevokedKind::Foreign, bearer(1).token)));
    assert_eq!(store.bearer(OURS, &bearer(1)).await.unwrap(), expected);
    commit!(store, OURS, .revoke(&row(RevokedKind::Token, bearer(1).token)));
    expected.revocations = vec![None];
    assert_eq!(store.bearer(OURS, &bearer(1)).await.unwrap(), expected);
    commit!(store, OURS, .revoke(&row(RevokedKind::User, user(1).id)) .revoke(&row(RevokedKind::Tenant, OURS)));
    let mut all = store.bearer(OURS, &bearer(1)).await.unwrap().revocations;
    all.sort();
    assert_eq!(all, [None, Some(NOW), Some(NOW)]);
    // A token without a session has none, whatever the person has.
    assert_eq!(store.bearer(OURS, &person(1, 1, None)).await.unwrap().session, None);
}

/// A program's key, with what it holds; no person and no session, whatever their ids.
pub async fn a_programs_key_is_seen(store: &impl Backend) {
    fill(store).await;
    for n in [1, 2] {
        let key = api_key(n);
        commit!(store, OURS, .insert_api_key(&key) .give_role(&role(2).name, &key.id.to_string(), NOW));
        let mut expected = BearingKey {
            user: None,
            roles: key.roles,
            allowed_cidrs: key.allowed_cidrs,
            rate_limit: key.rate_limit,
            expires_at: key.expires_at,
            revoked: false,
            suspended_until: None,
        };
        commit!(store, OURS, .revoke(&row(RevokedKind::User, user(1).id)));
        let stands = store.bearer(OURS, &client(9, n)).await.unwrap();
        assert_eq!((stands.key.as_ref(), stands.roles.as_slice()), (Some(&expected), &[of(2)][..]));
        assert_eq!((stands.user, stands.session, stands.revocations), (None, None, Vec::new()));
        commit!(store, OURS, .revoke_api_key(key.id, NOW) .revoke(&row(RevokedKind::Token, client(9, n).token)));
        expected.revoked = true;
        let stands = store.bearer(OURS, &client(9, n)).await.unwrap();
        assert_eq!((stands.key, stands.revocations), (Some(expected), vec![None]));
        assert_eq!(store.bearer(THEIRS, &client(9, n)).await.unwrap(), Stands::default());
        commit!(store, OURS, .forget_revocations(NOW.plus_seconds(9_000)));
    }
}

/// Neither a tenant nor a person nor a session.
pub async fn what_is_not_there_is_not_seen(store: &impl Backend) {
    assert_eq!(store.bearer(OURS, &bearer(1)).await.unwrap(), Stands::default());
    fill(store).await;
    for nobody in [person(1, 7, Some(session(7).id)), client(1, 7)] {
        let stands = store.bearer(OURS, &nobody).await.unwrap();
        assert!(stands.tenant.is_some());
        assert_eq!((stands.user, stands.session, stands.key, stands.roles), (None, None, None, Vec::new()));
    }
}

/// Whatever was committed before.
pub async fn what_changes_is_seen_by_the_next_question(store: &impl Backend) {
    fill(store).await;
    let mut locked = user(1);
    locked.state = UserState::Locked;
    commit!(store, OURS, .end_session(session(1).id, SessionState::Ended, NOW) .update_user(&locked)
        .take_role(&role(1).name, &user(1).id.to_string()));
    commit!(store, TenantId::PLATFORM, .set_tenant_state(OURS, TenantState::Active, TenantState::Suspended));
    let stands = store.bearer(OURS, &bearer(1)).await.unwrap();
    assert_eq!(stands.tenant.unwrap().1, TenantState::Suspended);
    assert_eq!(stands.session.unwrap().state, SessionState::Ended);
    assert_eq!(stands.user.unwrap().state, locked.state);
    assert_eq!(stands.roles, [of(2)]);
}

/// A session that was stopped is over, and a suspended key says until when: of these and of no others.
pub async fn what_is_kept_out_is_seen(store: &impl Backend) {
    fill(store).await;
    commit!(store, OURS, .insert_api_key(&api_key(1)) .insert_api_key(&api_key(2)));
    let lockout = |kind, subject: &dyn ToString| Lockout {
        id: LockoutId::from_bytes(bytes(u64::from(kind == LockoutKind::Session))),
        kind,
        subject: subject.to_string(),
        user: None,
        policy: Some("account".to_owned()),
        ladders: Vec::new(),
        made_at: NOW,
        expires_at: NOW.plus_seconds(60),
    };
    let (stopped, suspended) =
        (lockout(LockoutKind::Session, &session(1).id), lockout(LockoutKind::ApiKey, &api_key(1).id));
    commit!(store, OURS, .put_lockout(&stopped) .put_lockout(&suspended));
    let state = async |n| {
        let stands = store.bearer(OURS, &person(1, n, Some(session(n).id))).await.unwrap();
        stands.session.map(|session| session.state)
    };
    let key = async |n| store.bearer(OURS, &client(1, n)).await.unwrap().key.unwrap();
    assert_eq!((state(1).await, state(2).await), (Some(SessionState::Ended), Some(SessionState::Active)));
    let until = Some(suspended.expires_at);
    assert_eq!((key(1).await.suspended_until, key(2).await.suspended_until), (until, None));
    let mut rows = view(store, OURS).await;
    let shown = [api_key(1).id, api_key(2).id];
    assert_eq!(rows.api_key(shown[0]).await.unwrap().unwrap().suspended_until, until);
    let listed: Vec<_> = rows.api_keys(None, 9).await.unwrap().iter().map(|key| key.suspended_until).collect();
    assert_eq!(listed, [until, None]);
    for (at, usable) in [(NOW, 1), (suspended.expires_at, 1)] {
        // The first expires with its suspension.
        assert_eq!(rows.count_api_keys_with_role(Role::Service, at).await.unwrap(), usable);
    }
    drop(rows);
    commit!(store, OURS, .remove_lockout_of(stopped.kind, &stopped.subject) .remove_lockout_of(suspended.kind, &suspended.subject));
    assert_eq!((state(1).await, key(1).await.suspended_until), (Some(SessionState::Active), None));
    assert_eq!(view(store, OURS).await.count_api_keys_with_role(Role::Service, NOW).await.unwrap(), 2);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    fill(store).await;
    commit!(store, OURS, .revoke(&row(RevokedKind::Token, bearer(1).token)));
    assert_eq!(store.bearer(THEIRS, &bearer(1)).await.unwrap(), Stands::default());
}

/// Asked of a view, it is of the view's moment.
pub async fn a_view_sees_its_own_moment(store: &impl Backend) {
    fill(store).await;
    let mut before = view(store, OURS).await;
    commit!(store, OURS, .revoke(&row(RevokedKind::Token, bearer(1).token)));
    assert_eq!(before.bearer(&bearer(1)).await.unwrap().revocations, []);
    assert_eq!(store.bearer(OURS, &bearer(1)).await.unwrap().revocations, [None]);
}
