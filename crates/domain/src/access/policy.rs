//! The whole policy on one page: what each role may do, and which roles it may grant.
//!
//! `tests/access.snap` is this table as a reviewer reads it; a change here without one there fails.

codes! {
    /// One thing a caller may do. Every use case asks for one.
    pub enum Permission {
        /// Make tenants, and change their records.
        TenantsCreate = "tenants.create",
        /// See tenants.
        TenantsRead = "tenants.read",
        /// Suspend and resume a tenant.
        TenantsSuspend = "tenants.suspend",
        /// Erase a tenant.
        TenantsErase = "tenants.erase",
        /// Act inside a tenant by its path to set up its first administrator.
        TenantsBootstrap = "tenants.bootstrap",
        /// Read certificates and the audit log of another tenant by its path.
        CrossTenantRead = "cross_tenant.read",
        /// Block and unblock addresses for all tenants, and see which are blocked.
        AddressesBlock = "addresses.block",
        /// See the gateway's routes and what they saw, and put others to work.
        GatewayManage = "gateway.manage",
        /// Make users.
        UsersCreate = "users.create",
        /// See users, their e-mail and names.
        UsersRead = "users.read",
        /// Change, lock and unlock users.
        UsersUpdate = "users.update",
        /// Delete users.
        UsersDelete = "users.delete",
        /// Make API keys.
        ApiKeysCreate = "api_keys.create",
        /// List API keys.
        ApiKeysRead = "api_keys.read",
        /// Revoke and rotate API keys.
        ApiKeysRevoke = "api_keys.revoke",
        /// Revoke access tokens and end sessions of others.
        TokensRevoke = "tokens.revoke",
        /// Change a tenant's settings: limits, issuers, headers, webhook sources.
        SettingsWrite = "settings.write",
        /// See a tenant's settings.
        SettingsRead = "settings.read",
        /// Enroll devices with sources of webhooks, and revoke them.
        DevicesEnroll = "devices.enroll",
        /// See keys and their public halves.
        KeysRead = "keys.read",
        /// Make keys.
        KeysCreate = "keys.create",
        /// Rotate keys.
        KeysRotate = "keys.rotate",
        /// Suspend and resume keys.
        KeysSuspend = "keys.suspend",
        /// Revoke keys.
        KeysRevoke = "keys.revoke",
        /// Schedule and cancel deletion of keys.
        KeysDelete = "keys.delete",
        /// Back up and escrow keys.
        KeysBackup = "keys.backup",
        /// Take copies of keys away from where they were backed up or escrowed.
        KeysCopiesRemove = "keys.copies_remove",
        /// Sign, verify, encrypt, decrypt with a named key, as its access policy allows.
        KeysUse = "keys.use",
        /// Use keys whose access policy is `admin_only`.
        KeysUseAdminOnly = "keys.use_admin_only",
        /// See registered fields.
        FieldsRead = "fields.read",
        /// Register and change fields.
        FieldsWrite = "fields.write",
        /// Seal values.
        DataSeal = "data.seal",
        /// Open values of `public` fields.
        DataOpenPublic = "data.open.public",
        /// Open values of `internal` fields.
        DataOpenInternal = "data.open.internal",
        /// Open values of `confidential` fields.
        DataOpenConfidential = "data.open.confidential",
        /// Open values of `restricted` fields.
        DataOpenRestricted = "data.open.restricted",
        /// Move values to the newest key without seeing them.
        DataReseal = "data.reseal",
        /// Derive search terms.
        TermsDerive = "terms.derive",
        /// Register datasets and start jobs over them.
        DatasetsWrite = "datasets.write",
        /// Destroy a subject's key.
        SubjectsErase = "subjects.erase",
        /// Issue certificates.
        CertificatesIssue = "certificates.issue",
        /// Attest what people did: reviews, drills, controls.
        CertificatesAttest = "certificates.attest",
        /// Read, verify and export certificates.
        CertificatesRead = "certificates.read",
        /// Revoke certificates.
        CertificatesRevoke = "certificates.revoke",
        /// Query the audit log, its checkpoints and proofs.
        AuditRead = "audit.read",
        /// See the sealed parts of events: addresses, user agents, reasons.
        AuditReadSealed = "audit.read_sealed",
        /// Append the application's own events.
        AuditAppend = "audit.append",
        /// Export the audit log.
        AuditExport = "audit.export",
        /// Set retention and legal holds.
        AuditRetain = "audit.retain",
        /// Approve what needs two people.
        ApprovalsApprove = "approvals.approve",
        /// Open in an emergency under an approval.
        BreakGlass = "break_glass",
    }
}

codes! {
    /// A named set of permissions.
    pub enum Role {
        /// Runs the installation: tenants, and nothing of their data.
        PlatformAdmin = "platform_admin",
        /// Audits across tenants.
        PlatformAuditor = "platform_auditor",
        /// Runs one tenant: users, API keys, settings.
        TenantAdmin = "tenant_admin",
        /// Keys, fields, rotation, revocation.
        SecurityOfficer = "security_officer",
        /// Audit log, verification, packs.
        Auditor = "auditor",
        /// Works with patients' data.
        Clinician = "clinician",
        /// Works with internal and confidential data.
        Staff = "staff",
        /// A program that works with patients' data.
        Service = "service",
    }
}

use Permission as P;
use Role as R;

const PLATFORM_ROLES: &[Role] = &[R::PlatformAdmin, R::PlatformAuditor];
const TENANT_ROLES: &[Role] = &[R::TenantAdmin, R::SecurityOfficer, R::Auditor, R::Clinician, R::Staff, R::Service];

/// Of a service.
const SERVICE: [Permission; 12] = [
    P::FieldsRead,
    P::DataSeal,
    P::DataOpenPublic,
    P::DataOpenInternal,
    P::DataOpenConfidential,
    P::DataOpenRestricted,
    P::TermsDerive,
    P::CertificatesIssue,
    P::CertificatesRead,
    P::AuditAppend,
    P::KeysUse,
    P::DevicesEnroll,
];
/// Of a clinician: all but the last, which is for programs.
const CARE: &[Permission] = SERVICE.split_at(SERVICE.len() - 1).0;

impl Role {
    /// What a holder may do.
    pub const fn permissions(self) -> &'static [Permission] {
        match self {
            R::PlatformAdmin => &[
                P::TenantsCreate,
                P::TenantsRead,
                P::TenantsSuspend,
                P::TenantsErase,
                P::TenantsBootstrap,
                P::AddressesBlock,
                P::GatewayManage,
                P::UsersCreate,
                P::UsersRead,
                P::UsersUpdate,
                P::UsersDelete,
                P::ApiKeysCreate,
                P::ApiKeysRead,
                P::ApiKeysRevoke,
                P::TokensRevoke,
                P::SettingsRead,
                P::SettingsWrite,
                P::KeysRead,
                P::KeysRotate,
                P::KeysSuspend,
                P::KeysRevoke,
                P::KeysBackup,
                P::KeysCopiesRemove,
                P::FieldsRead,
                P::ApprovalsApprove,
            ],
            R::PlatformAuditor => &[
                P::TenantsRead,
                P::CrossTenantRead,
                P::KeysRead,
                P::FieldsRead,
                P::SettingsRead,
                P::CertificatesRead,
                P::AuditRead,
                P::AuditReadSealed,
                P::AuditExport,
            ],
            R::TenantAdmin => &[
                P::UsersCreate,
                P::UsersRead,
                P::UsersUpdate,
                P::UsersDelete,
                P::ApiKeysCreate,
                P::ApiKeysRead,
                P::ApiKeysRevoke,
                P::TokensRevoke,
                P::SettingsRead,
                P::SettingsWrite,
                P::DevicesEnroll,
                P::KeysRead,
                P::FieldsRead,
            ],
            R::SecurityOfficer => &[
                P::TokensRevoke,
                P::KeysRead,
                P::KeysCreate,
                P::KeysRotate,
                P::KeysSuspend,
                P::KeysRevoke,
                P::KeysDelete,
                P::KeysBackup,
                P::KeysCopiesRemove,
                P::KeysUse,
                P::KeysUseAdminOnly,
                P::FieldsRead,
                P::FieldsWrite,
                P::DataReseal,
                P::DatasetsWrite,
                P::SubjectsErase,
                P::CertificatesAttest,
                P::CertificatesRead,
                P::CertificatesRevoke,
                P::SettingsRead,
                P::AuditRead,
                P::AuditReadSealed,
                P::AuditRetain,
                P::ApprovalsApprove,
                P::BreakGlass,
            ],
            R::Auditor => &[
                P::AuditRead,
                P::AuditReadSealed,
                P::AuditExport,
                P::CertificatesRead,
                P::KeysRead,
                P::FieldsRead,
                P::SettingsRead,
            ],
            R::Clinician => CARE,
            R::Service => &SERVICE,
            R::Staff => &[
                P::FieldsRead,
                P::DataSeal,
                P::DataOpenPublic,
                P::DataOpenInternal,
                P::DataOpenConfidential,
                P::TermsDerive,
            ],
        }
    }

    /// Which roles a holder may give to others in its own tenant.
    pub const fn may_grant(self) -> &'static [Role] {
        match self {
            R::PlatformAdmin => PLATFORM_ROLES,
            R::TenantAdmin => TENANT_ROLES,
            R::PlatformAuditor | R::SecurityOfficer | R::Auditor | R::Clinician | R::Staff | R::Service => &[],
        }
    }

    /// Whether it belongs to the platform; all others belong to tenants.
    pub const fn is_platform(self) -> bool {
        matches!(self, R::PlatformAdmin | R::PlatformAuditor)
    }

    /// Whether a person who holds it logs in with a second factor, and a program needs an expiry and a CIDR list in production.
    pub const fn is_privileged(self) -> bool {
        matches!(self, R::PlatformAdmin | R::PlatformAuditor | R::TenantAdmin | R::SecurityOfficer)
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PermissionSet(u128);

impl PermissionSet {
    /// Whether it holds `permission`.
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// This set and `permission`.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        Self(self.0 | (1 << permission as u8))
    }

    /// Of these permissions.
    pub fn of(permissions: &[Permission]) -> Self {
        permissions.iter().fold(Self::default(), |set, permission| set.with(*permission))
    }

    /// What either holds.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both hold.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `self` is in `other`.
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The permissions, in order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.contains(*permission))
    }

    /// As text codes, separated by spaces, for the store.
    pub fn to_text(self) -> String {
        self.iter().map(Permission::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    ///
    /// [`crate::ids::UnknownCode`] on a word that is no permission.
    pub fn from_text(text: &str) -> Result<Self, crate::ids::UnknownCode> {
        let permissions = text.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<Permission>, _>>()?;
        Ok(Self::of(&permissions))
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct RoleSet(u16);

impl RoleSet {
    /// Of these roles.
    pub fn of(roles: &[Role]) -> Self {
        roles.iter().fold(Self::default(), |set, role| Self(set.0 | (1 << *role as u8)))
    }

    /// Whether it holds `role`.
    pub const fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Whether all of `self` is in `other`.
    pub const fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What both hold.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What either holds.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that need no second factor.
    #[must_use]
    pub fn unprivileged(self) -> Self {
        self.iter().filter(|role| !role.is_privileged()).fold(Self::default(), |set, role| set.union(Self::of(&[role])))
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The roles, in order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.iter().copied().filter(move |role| self.contains(*role))
    }

    /// Everything these roles may do.
    pub fn permissions(self) -> PermissionSet {
        self.iter().flat_map(|role| role.permissions()).fold(PermissionSet::default(), |set, p| set.with(*p))
    }

    /// Every role these roles may grant.
    pub fn may_grant(self) -> Self {
        self.iter().fold(Self::default(), |set, role| Self(set.0 | Self::of(role.may_grant()).0))
    }

    /// As text codes, separated by spaces, for the store.
    pub fn to_text(self) -> String {
        self.iter().map(Role::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    ///
    /// [`crate::ids::UnknownCode`] on a word that is no role.
    pub fn from_text(text: &str) -> Result<Self, crate::ids::UnknownCode> {
        let roles = text.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<Role>, _>>()?;
        Ok(Self::of(&roles))
    }
}

impl std::fmt::Debug for RoleSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(Role::as_str)).finish()
    }
}
