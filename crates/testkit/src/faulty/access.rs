//! Rows of tenants and of who gets in.

use async_trait::async_trait;
use chancery_domain::TenantId;
use chancery_domain::access::{Bearer, BearerRows, Role, Stands};
use chancery_domain::api_keys::{ApiKey, ApiKeyRows, ApiKeyWrites};
use chancery_domain::approvals::{Approval, ApprovalRows, ApprovalState, ApprovalWrites, DeedKind};
use chancery_domain::blocks::{Block, BlockRows, BlockWrites, Network};
use chancery_domain::factors::{FactorRows, FactorWrites, RecoveryCode, Totp};
use chancery_domain::identity_providers::{
    IdentityProvider, IdentityProviderEntry, IdentityProviderRows, IdentityProviderWrites,
};
use chancery_domain::ids::{
    ApiKeyId, ApprovalId, BlockId, IdentityProviderId, LockoutId, OneTimeId, PasskeyId, SessionId, TokenId, UserId,
};
use chancery_domain::lockouts::{Lockout, LockoutKind, LockoutRows, LockoutWrites};
use chancery_domain::one_time::{OneTimeRows, OneTimeToken, OneTimeWrites};
use chancery_domain::passkeys::{Passkey, PasskeyRows, PasskeyWrites};
use chancery_domain::revocations::{Revocation, RevocationRows, RevocationWrites};
use chancery_domain::roles::{DefinedRole, RoleRows, RoleWrites};
use chancery_domain::sessions::{Authentication, Head, Session, SessionRows, SessionState, SessionWrites};
use chancery_domain::store::{ApiKeyEntry, StoreError};
use chancery_domain::tenants::{Registration, Tenant, TenantRows, TenantState, TenantWrites};
use chancery_domain::time::Timestamp;
use chancery_domain::tokens::ProofWrites;
use chancery_domain::users::{User, UserRows, UserWrites};

use super::FaultyTx;

hand_on!(TenantRows {
    fn tenant_record(id: TenantId) -> Option<Tenant>;
    fn tenant_records(after: Option<TenantId>, limit: u32) -> Vec<Tenant>;
    fn tenants_by_email_terms(terms: &[String]) -> Vec<Tenant>;
});
hand_on!(TenantWrites {
    fn insert_tenant(tenant: &Tenant) -> ();
    fn hold_tenant() -> ();
    fn set_tenant_state(id: TenantId, from: TenantState, to: TenantState) -> ();
    fn set_clear_fields(count: u32) -> ();
    fn hold_tenant_record(id: TenantId) -> Option<Tenant>;
    fn update_tenant(tenant: &Tenant) -> ();
    fn set_registration(registration: Registration) -> ();
});
hand_on!(UserRows {
    fn user(id: UserId) -> Option<User>;
    fn user_by_username(username: &str) -> Option<User>;
    fn users_by_email_terms(terms: &[String]) -> Vec<User>;
    fn users(after: Option<UserId>, limit: u32) -> Vec<User>;
    fn unfolded_users(after: Option<UserId>, limit: u32) -> Vec<(UserId, String)>;
    fn count_users_with_role(role: Role) -> u32;
});
hand_on!(UserWrites {
    fn insert_user(user: &User) -> ();
    fn hold_user(id: UserId) -> Option<User>;
    fn update_user(user: &User) -> ();
    fn clear_password_hash(id: UserId) -> ();
    fn fold_username(id: UserId, key: &str) -> bool;
    fn set_password_hash(id: UserId, hash: &str) -> ();
});
hand_on!(SessionRows {
    fn session(id: SessionId) -> Option<Session>;
    fn active_sessions(user: UserId) -> Vec<Session>;
});
hand_on!(SessionWrites {
    fn insert_session(session: &Session) -> ();
    fn advance_session(id: SessionId, from: u32, head: &Head) -> ();
    fn try_session(id: SessionId, most: u32) -> ();
    fn prove_session(id: SessionId, proof: &Authentication) -> ();
    fn end_session(id: SessionId, state: SessionState, at: Timestamp) -> ();
    fn end_sessions_of(user: UserId, at: Timestamp) -> u64;
    fn end_all_sessions(at: Timestamp) -> u64;
    fn forget_sessions(at: Timestamp, limit: u32) -> u64;
});
hand_on!(OneTimeRows { fn one_time_token(id: OneTimeId) -> Option<OneTimeToken>; });
hand_on!(OneTimeWrites {
    fn insert_one_time_token(token: &OneTimeToken) -> ();
    fn try_one_time_token(id: OneTimeId, most: u32) -> ();
    fn take_one_time_token(id: OneTimeId) -> ();
    fn end_one_time_tokens_of(user: UserId) -> u64;
    fn forget_one_time_tokens(now: Timestamp) -> ();
});
hand_on!(ProofWrites {
    fn use_proof(digest: &[u8; 32], expires_at: Timestamp) -> ();
    fn forget_proofs(now: Timestamp) -> ();
});
hand_on!(FactorRows {
    fn totp(user: UserId) -> Option<Totp>;
    fn recovery_codes(user: UserId) -> Vec<RecoveryCode>;
});
hand_on!(FactorWrites {
    fn put_totp(totp: &Totp) -> ();
    fn fail_totp(user: UserId, failures: u32, at: Timestamp) -> ();
    fn pass_totp(totp: &Totp, step: u64, at: Timestamp) -> ();
    fn remove_totp(user: UserId) -> u64;
    fn remove_factors(user: UserId) -> u64;
    fn put_recovery_codes(user: UserId, codes: &[RecoveryCode]) -> ();
    fn use_recovery_code(user: UserId, digest: &[u8; 32], at: Timestamp) -> ();
});
hand_on!(PasskeyRows {
    fn passkeys(user: UserId) -> Vec<Passkey>;
    fn passkey_by_credential(credential: &[u8]) -> Option<Passkey>;
});
hand_on!(PasskeyWrites {
    fn insert_passkey(passkey: &Passkey) -> ();
    fn use_passkey(passkey: &Passkey, sign_count: u32, backed_up: bool, at: Timestamp) -> ();
    fn rename_passkey(user: UserId, id: PasskeyId, name: &str) -> ();
    fn remove_passkey(user: UserId, id: PasskeyId) -> ();
    fn spend_challenge(challenge: &[u8; 32], expires_at: Timestamp, now: Timestamp) -> ();
});
hand_on!(BlockRows {
    fn blocks(now: Timestamp, after: Option<BlockId>, limit: u32) -> Vec<Block>;
    fn find_block(id: BlockId) -> Option<Block>;
});
hand_on!(BlockWrites {
    fn insert_block(block: &Block) -> ();
    fn remove_block_of(network: Network) -> ();
    fn remove_block(id: BlockId) -> ();
    fn forget_blocks(now: Timestamp) -> ();
});
hand_on!(LockoutRows {
    fn lockouts(now: Timestamp, after: Option<LockoutId>, limit: u32) -> Vec<Lockout>;
    fn find_lockout(id: LockoutId) -> Option<Lockout>;
    fn lockout_of(kind: LockoutKind, subject: &str, now: Timestamp) -> Option<Lockout>;
    fn known_address(user: UserId, address: &str) -> Option<Timestamp>;
});
hand_on!(LockoutWrites {
    fn put_lockout(lockout: &Lockout) -> ();
    fn remove_lockout_of(kind: LockoutKind, subject: &str) -> ();
    fn forget_lockouts(now: Timestamp) -> ();
    fn know_address(user: UserId, address: &str, until: Timestamp, most: u32) -> ();
    fn forget_addresses(now: Timestamp) -> ();
    fn forget_addresses_of(user: UserId) -> ();
});
hand_on!(RevocationRows {
    fn revocations_of(token: TokenId, user: Option<UserId>) -> Vec<Revocation>;
    fn revocations(now: Timestamp, after: Option<&str>, limit: u32) -> Vec<Revocation>;
    fn foreign_revocations_of(jti: Option<&str>) -> Vec<Revocation>;
});
hand_on!(RevocationWrites {
    fn revoke(revocation: &Revocation) -> ();
    fn forget_revocations(now: Timestamp) -> ();
});
hand_on!(ApiKeyRows {
    fn api_key(id: ApiKeyId) -> Option<ApiKey>;
    fn api_keys(after: Option<ApiKeyId>, limit: u32) -> Vec<ApiKey>;
    fn count_api_keys_with_role(role: Role, now: Timestamp) -> u32;
    fn old_api_keys_of(prefixes: &[String]) -> Vec<(String, ApiKeyEntry)>;
});
hand_on!(ApiKeyWrites {
    fn hold_api_key(id: ApiKeyId) -> Option<ApiKey>;
    fn insert_api_key(key: &ApiKey) -> ();
    fn revoke_api_key(id: ApiKeyId, at: Timestamp) -> ();
    fn update_api_key(key: &ApiKey) -> ();
    fn touch_api_keys(used: &[(ApiKeyId, Timestamp)]) -> ();
    fn insert_old_api_key(id: ApiKeyId, prefix: &str) -> ();
    fn set_api_key_digest(id: ApiKeyId, from: u32, digest: &[u8; 32], pepper_version: u32) -> ();
});
hand_on!(IdentityProviderRows {
    fn identity_providers() -> Vec<IdentityProvider>;
    fn identity_provider(id: IdentityProviderId) -> Option<IdentityProvider>;
});
hand_on!(IdentityProviderWrites {
    fn hold_issuer(issuer: &str) -> Vec<IdentityProviderEntry>;
    fn put_identity_provider(provider: &IdentityProvider) -> ();
    fn delete_identity_provider(id: IdentityProviderId) -> ();
});
hand_on!(BearerRows {
    fn bearer(bearer: &Bearer) -> Stands;
});
hand_on!(RoleRows {
    fn defined_roles() -> Vec<DefinedRole>;
    fn defined_role(name: &str) -> Option<DefinedRole>;
    fn roles_of(holder: &str) -> Vec<DefinedRole>;
    fn role_holders(name: &str, limit: u32) -> Vec<String>;
});
hand_on!(RoleWrites {
    fn put_role(role: &DefinedRole) -> ();
    fn delete_role(name: &str) -> ();
    fn give_role(name: &str, holder: &str, at: Timestamp) -> ();
    fn take_role(name: &str, holder: &str) -> ();
});
hand_on!(ApprovalRows {
    fn approval(id: ApprovalId) -> Option<Approval>;
    fn approvals(
        state: Option<ApprovalState>, now: Timestamp, after: Option<ApprovalId>, limit: u32
    ) -> Vec<Approval>;
    fn unreviewed_approvals(kind: DeedKind, limit: u32) -> Vec<Approval>;
    fn used_approvals(kind: DeedKind, resource: &str) -> Vec<Approval>;
});
hand_on!(ApprovalWrites {
    fn insert_approval(approval: &Approval) -> ();
    fn update_approval(approval: &Approval) -> ();
});
