//! What other systems call our events: OCSF class and activity, severity, FHIR AuditEvent codes, and which of them somebody who
//! guards the system looks at first.
//!
//! One match over the whole catalogue: a new kind of event does not compile before somebody says what it is to others.

use super::{Action, EventKind};

/// OCSF's version that the classes and activities are of.
pub const OCSF_VERSION: &str = "1.9.0";

/// How much an event asks to be looked at (OCSF `severity_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Everyday work.
    Informational,
    /// Worth counting.
    Low,
    /// Worth a look the same day.
    Medium,
    /// Worth a look now.
    High,
    /// Somebody must act.
    Critical,
}

impl Severity {
    /// OCSF's `severity_id` and `severity`.
    pub const fn ocsf(self) -> (u32, &'static str) {
        match self {
            Self::Informational => (1, "Informational"),
            Self::Low => (2, "Low"),
            Self::Medium => (3, "Medium"),
            Self::High => (4, "High"),
            Self::Critical => (5, "Critical"),
        }
    }

    /// CEF's 0 to 10.
    pub const fn cef(self) -> u32 {
        match self {
            Self::Informational => 1,
            Self::Low => 3,
            Self::Medium => 5,
            Self::High => 8,
            Self::Critical => 10,
        }
    }

    /// The severity of a line of syslog (RFC 5424, 6.2.1).
    pub const fn syslog(self) -> u32 {
        match self {
            Self::Informational => 6,
            Self::Low => 5,
            Self::Medium => 4,
            Self::High => 3,
            Self::Critical => 2,
        }
    }
}

/// An OCSF class and the activity within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ocsf {
    /// Such as 3002.
    pub class_uid: u32,
    /// Such as `Authentication`.
    pub class_name: &'static str,
    /// Within the class.
    pub activity_id: u32,
    /// Its name.
    pub activity_name: &'static str,
}

impl Ocsf {
    /// Class and activity in one number.
    pub const fn type_uid(self) -> u32 {
        self.class_uid * 100 + self.activity_id
    }

    /// The category that the class is of, and its name.
    pub const fn category(self) -> (u32, &'static str) {
        match self.class_uid / 1_000 {
            2 => (2, "Findings"),
            3 => (3, "Identity & Access Management"),
            _ => (6, "Application Activity"),
        }
    }
}

/// FHIR AuditEvent's `type` and `subtype`, codes of DICOM (DCM).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fhir {
    /// The code and its display.
    pub r#type: (&'static str, &'static str),
    /// The same of the subtype, if there is one.
    pub subtype: Option<(&'static str, &'static str)>,
}

/// What an event is to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// For OCSF.
    pub ocsf: Ocsf,
    /// How much it asks to be looked at.
    pub severity: Severity,
    /// For FHIR.
    pub fhir: Fhir,
    /// Whether it is a security event: somebody tried what must not be, or took power, or took it away.
    pub security: bool,
}

/// What an event is about. Together with the kind of act it gives the codes of others.
#[derive(Debug, Clone, Copy)]
enum Topic {
    /// The installation itself.
    System,
    /// Somebody logged in, or was asked for more.
    Login,
    /// A session or token was given or went on.
    Ticket,
    /// Somebody logged out, or was.
    Logout,
    /// A user or an API key, with OCSF's activity.
    Account(u32, &'static str),
    /// Who may do what.
    Privileges(u32, &'static str),
    /// Settings, fields, providers: what is set up.
    Setup,
    /// Keys and their versions.
    Keys,
    /// A key was used.
    KeyUse,
    /// Personal data, with OCSF's activity.
    Data(u32, &'static str),
    /// Personal data in an emergency.
    Emergency,
    /// Certificates and approvals: statements and consents.
    Statement,
    /// The log was read.
    Log,
    /// Something left, in bulk.
    Export,
    /// Something came, in bulk.
    Import,
    /// Something that must not be.
    Alert,
}

const ALERT: (&str, &str) = ("110113", "Security Alert");
const AUTHENTICATION: (&str, &str) = ("110114", "User Authentication");

impl Topic {
    const fn ocsf(self, action: Action) -> Ocsf {
        let (class_uid, class_name, (activity_id, activity_name)) = match self {
            Self::Alert => (2004, "Detection Finding", (1, "Create")),
            Self::Login => (3002, "Authentication", (1, "Logon")),
            Self::Logout => (3002, "Authentication", (2, "Logoff")),
            Self::Ticket => (3002, "Authentication", (3, "Authentication Ticket")),
            Self::Account(id, name) => (3001, "Account Change", (id, name)),
            Self::Privileges(id, name) => (3005, "User Access Management", (id, name)),
            Self::Setup | Self::Keys => (3004, "Entity Management", crud(action)),
            Self::Data(id, name) => (6005, "Datastore Activity", (id, name)),
            Self::Emergency => (6005, "Datastore Activity", (10, "Decrypt")),
            Self::System | Self::KeyUse | Self::Statement | Self::Log | Self::Export | Self::Import => {
                (6003, "API Activity", crud(action))
            }
        };
        Ocsf { class_uid, class_name, activity_id, activity_name }
    }

    const fn fhir(self) -> Fhir {
        let (r#type, subtype) = match self {
            Self::System | Self::Statement => (("110100", "Application Activity"), None),
            Self::Login | Self::Ticket => (AUTHENTICATION, Some(("110122", "Login"))),
            Self::Logout => (AUTHENTICATION, Some(("110123", "Logout"))),
            Self::Account(..) => (ALERT, Some(("110137", "User Security Attributes Changed"))),
            Self::Privileges(..) => (ALERT, Some(("110136", "Security Roles Changed"))),
            Self::Setup => (ALERT, Some(("110129", "Security Configuration"))),
            Self::Keys => (ALERT, Some(("110135", "Object Security Attributes Changed"))),
            Self::KeyUse => (ALERT, Some(("110132", "Use of Restricted Function"))),
            Self::Data(..) => (("110110", "Patient Record"), None),
            Self::Emergency => (ALERT, Some(("110127", "Emergency Override Started"))),
            Self::Log => (("110101", "Audit Log Used"), None),
            Self::Export => (("110106", "Export"), None),
            Self::Import => (("110107", "Import"), None),
            Self::Alert => (ALERT, None),
        };
        Fhir { r#type, subtype }
    }

    const fn mapping(self, action: Action, severity: Severity, security: bool) -> Mapping {
        Mapping { ocsf: self.ocsf(action), severity, fhir: self.fhir(), security }
    }
}

/// OCSF's activities of classes that create, read, update and delete.
const fn crud(action: Action) -> (u32, &'static str) {
    match action {
        Action::Create => (1, "Create"),
        Action::Read => (2, "Read"),
        Action::Update => (3, "Update"),
        Action::Delete => (4, "Delete"),
        Action::Execute => (99, "Other"),
    }
}

/// What an application's own event is to others.
pub const fn of_application(action: Action) -> Mapping {
    Topic::System.mapping(action, Severity::Informational, false)
}

/// What the event of this type is to others. Whatever the catalogue does not have is an application's own.
pub fn of(kind: &str, action: Action) -> Mapping {
    kind.parse::<EventKind>().map_or_else(|_| of_application(action), EventKind::mapping)
}

/// A type in words, for those who read it in a list: `record.open_failed` is `Record open failed`.
pub fn title(kind: &str) -> String {
    let mut title = kind.replace(['.', '_', '-'], " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

impl EventKind {
    /// Whether somebody who guards the system looks at it first.
    pub const fn is_security(self) -> bool {
        self.mapping().security
    }

    /// What it is to others.
    pub const fn mapping(self) -> Mapping {
        let (topic, severity, security) = self.sorted();
        topic.mapping(self.action(), severity, security)
    }

    /// What it is about, how much it asks to be looked at, and whether it is a security event.
    const fn sorted(self) -> (Topic, Severity, bool) {
        use Severity::{Critical, High, Informational as Info, Low, Medium};
        match self {
            Self::InstanceInitialised | Self::BackupMade => (Topic::System, Info, false),
            Self::BackupRestored => (Topic::System, High, true),
            Self::RootRecipientProven => (Topic::Keys, Info, false),
            Self::RootRecipientAdded | Self::RootRecipientRemoved | Self::RootVersionAdded => (Topic::Keys, High, true),
            Self::RootRetired | Self::TenantKeyRotated | Self::TenantKeyDestroyed => (Topic::Keys, Medium, true),
            Self::RootRecipientFailed => (Topic::Alert, Critical, true),
            Self::TenantKeyRewrapped | Self::TenantKeyMoved | Self::SubjectKeysMoved => (Topic::Keys, Info, false),

            Self::TenantRead | Self::SettingsRead | Self::FieldRead | Self::DatasetRead => (Topic::Setup, Info, false),
            Self::TenantCreated | Self::TenantUpdated | Self::TenantResumed => (Topic::Setup, Low, false),
            Self::TenantSuspended | Self::SettingsChanged => (Topic::Setup, Medium, true),
            Self::FieldDefined | Self::IndexDefined | Self::IndexDropped => (Topic::Setup, Low, false),
            Self::IndexReady | Self::IndexRetired | Self::DatasetRegistered => (Topic::Setup, Low, false),
            Self::DatasetRemoved => (Topic::Setup, Low, false),
            Self::IdentityProviderRead | Self::IdentityProviderTested => (Topic::Setup, Info, false),
            Self::IdentityProviderCreated | Self::IdentityProviderUpdated | Self::IdentityProviderDeleted => {
                (Topic::Setup, High, true)
            }

            Self::WebhookSourceCreated | Self::WebhookSourceUpdated | Self::WebhookSourceDeleted => {
                (Topic::Setup, Medium, true)
            }
            Self::WebhookSubscribed | Self::WebhookSubscriptionUpdated | Self::WebhookUnsubscribed => {
                (Topic::Setup, Medium, true)
            }
            Self::WebhookSecretAdded | Self::WebhookSecretEnded | Self::WebhookSecretShown => {
                (Topic::Keys, Medium, true)
            }
            Self::WebhookDeviceChallenged => (Topic::Keys, Info, false),
            Self::WebhookDeviceEnrolled => (Topic::Keys, Low, false),
            Self::WebhookDeviceRevoked => (Topic::Keys, Medium, true),
            Self::WebhookDeviceRefused => (Topic::Alert, Medium, true),
            Self::WebhookDiscarded => (Topic::Setup, Medium, true),
            Self::WebhookSecretDue | Self::WebhookRedriven => (Topic::Setup, Low, false),
            Self::WebhookRead => (Topic::Setup, Info, false),
            Self::WebhookSecretsOpened => (Topic::KeyUse, Info, false),
            Self::WebhookReceived => (Topic::Import, Info, false),
            Self::WebhookForwarding => (Topic::Export, Info, false),
            Self::WebhookQuarantined => (Topic::System, Medium, false),
            Self::WebhookReplayed => (Topic::Alert, Medium, true),
            Self::WebhookStalled => (Topic::Alert, High, true),
            Self::WebhookRecovered => (Topic::System, Low, false),

            Self::UserRead | Self::ApiKeyRead => (Topic::Data(1, "Read"), Info, false),
            Self::UserCreated | Self::UserRegistered => (Topic::Account(1, "Create"), Low, false),
            Self::UsersImported | Self::ApiKeysImported => (Topic::Import, Medium, true),
            Self::UserUpdated | Self::ApiKeyUpdated => (Topic::Account(99, "Other"), Low, false),
            Self::ApiKeyCreated => (Topic::Account(1, "Create"), Medium, true),
            Self::ApiKeyRotated => (Topic::Account(99, "Other"), Low, false),
            Self::ApiKeyRevoked => (Topic::Account(5, "Disable"), Medium, true),
            Self::ApiKeySuspended => (Topic::Account(9, "Lock"), Medium, true),
            Self::ApiKeyResumed | Self::SessionResumed => (Topic::Account(12, "Unlock"), Medium, true),
            Self::UserEnabled => (Topic::Account(2, "Enable"), Low, false),
            Self::UserDisabled => (Topic::Account(5, "Disable"), Medium, true),
            Self::UserLocked => (Topic::Account(9, "Lock"), Medium, true),
            Self::UserUnlocked => (Topic::Account(12, "Unlock"), Medium, true),
            Self::UserDeleted => (Topic::Account(6, "Delete"), Medium, true),
            Self::PasswordChanged | Self::PasswordSet => (Topic::Account(3, "Password Change"), Low, false),
            Self::PasswordInvited => (Topic::Account(4, "Password Reset"), Low, false),
            Self::PasswordForced => (Topic::Account(4, "Password Reset"), Medium, true),
            Self::FactorBegun | Self::FactorRead | Self::PasskeyRenamed => (Topic::Account(99, "Other"), Info, false),
            Self::FactorEnrolled => (Topic::Account(10, "MFA Factor Enable"), Low, false),
            Self::FactorRemoved | Self::FactorReset => (Topic::Account(11, "MFA Factor Disable"), Medium, true),
            Self::RecoveryCodesMade => (Topic::Account(99, "Other"), Low, false),

            Self::UserLoggedIn | Self::UserChallenged | Self::FactorTried => (Topic::Login, Info, false),
            Self::FactorPassed | Self::SessionProved => (Topic::Login, Info, false),
            Self::RecoveryCodeUsed => (Topic::Login, Medium, true),
            Self::FactorFailed | Self::SessionProofFailed => (Topic::Login, Medium, true),
            Self::SessionRefreshed | Self::TokenIssued | Self::TokenExchanged => (Topic::Ticket, Info, false),
            Self::SessionRead | Self::RevocationRead | Self::TokenIntrospected => (Topic::Ticket, Info, false),
            Self::SessionEnded => (Topic::Logout, Info, false),
            Self::TokenRevoked | Self::TokensDenied => (Topic::Logout, Medium, true),
            Self::SessionStopped | Self::SessionReused | Self::PasskeyRegressed => (Topic::Alert, High, true),

            Self::RoleDefined | Self::RoleGiven => (Topic::Privileges(1, "Assign Privileges"), Medium, true),
            Self::RoleDeleted | Self::RoleTaken => (Topic::Privileges(2, "Revoke Privileges"), Medium, true),
            Self::RoleRead | Self::AccessExplained => (Topic::Setup, Info, false),

            Self::KeyRead | Self::KeyActivated | Self::KeyRetired | Self::KeyStaged => (Topic::Keys, Info, false),
            Self::KeyRotated | Self::KeyCreated | Self::KeyUpdated | Self::KeyDrained => (Topic::Keys, Low, false),
            Self::KeyExpired | Self::KeyRotationDue => (Topic::Keys, Low, false),
            Self::KeySuspended | Self::KeyResumed | Self::KeyImported => (Topic::Keys, Medium, true),
            Self::KeyRevoked | Self::KeyDestroyed | Self::KeyDeletionDone | Self::KeyDestroying => {
                (Topic::Keys, High, true)
            }
            Self::KeyDeletionScheduled | Self::KeyDeletionCancelled => (Topic::Keys, High, true),
            Self::KeyCopying | Self::KeyBackedUp | Self::KeyCopyRemoving => (Topic::Export, Medium, true),
            Self::KeyCopyRemoved => (Topic::Keys, Medium, true),
            Self::KeyRestored => (Topic::Import, High, true),
            Self::KeyUsed => (Topic::KeyUse, Info, false),
            Self::KeyUseFailed => (Topic::KeyUse, Medium, true),
            Self::KeyAnomaly => (Topic::Alert, High, true),

            Self::RecordSealed => (Topic::Data(9, "Encrypt"), Info, false),
            Self::RecordOpened => (Topic::Data(10, "Decrypt"), Info, false),
            Self::RecordResealed => (Topic::Data(2, "Update"), Info, false),
            Self::TermsDerived => (Topic::Data(4, "Query"), Info, false),
            Self::RecordOpenFailed => (Topic::Alert, High, true),
            Self::RecordGlassBroken => (Topic::Emergency, High, true),
            Self::SubjectCreated | Self::SubjectRecreated => (Topic::Data(6, "Create"), Low, false),
            Self::SubjectErased => (Topic::Data(7, "Delete"), High, true),
            Self::DatasetJobStarted | Self::DatasetJobEnded => (Topic::Data(2, "Update"), Low, false),
            Self::DatasetCounted | Self::CensusReported => (Topic::Data(8, "List"), Info, false),

            Self::CertificateIssued | Self::CertificateRead => (Topic::Statement, Info, false),
            Self::CertificateVerified => (Topic::Statement, Info, false),
            Self::CertificateRevoked => (Topic::Statement, Medium, true),
            Self::CertificateSuperseded => (Topic::Statement, Low, false),
            Self::CertificateExported => (Topic::Export, Low, false),
            Self::ApprovalRequested | Self::ApprovalApproved | Self::ApprovalUsed => (Topic::Statement, Medium, true),
            Self::ApprovalDenied => (Topic::Statement, Medium, true),
            Self::ApprovalCancelled | Self::ApprovalReviewed | Self::ApprovalRead => (Topic::Statement, Info, false),

            Self::NodeStarted | Self::NodeAlive | Self::NodeStopped => (Topic::System, Info, false),
            Self::AuditRead => (Topic::Log, Info, false),
            Self::LogScrubbed | Self::LogHeadNoted => (Topic::Log, Info, false),
            Self::LogRestoreAccepted | Self::LogPinsAccepted => (Topic::Log, High, true),
            Self::IntegrityFailed | Self::EventQuarantined => (Topic::Alert, Critical, true),
            Self::AuditExported => (Topic::Export, Low, false),
            Self::SinkFailed => (Topic::Alert, High, true),
            Self::SinkRecovered => (Topic::System, Low, false),
            Self::SinkSkipped => (Topic::Alert, High, true),
            Self::SinkRead => (Topic::Log, Info, false),
            Self::LogsSampled => (Topic::Log, Low, true),
            Self::RetentionChanged | Self::HoldLifted => (Topic::Log, High, true),
            Self::HoldPlaced => (Topic::Log, Medium, true),
            Self::PurgeOrdered | Self::PurgeDismissed => (Topic::Log, High, true),
            Self::PurgeEnded | Self::MonthDropped => (Topic::Log, Low, false),
            Self::AuditArchived => (Topic::Export, Low, false),
            Self::ArchiveLost => (Topic::Log, High, true),

            Self::AccessRefused | Self::AccessRefusedAnonymous | Self::LimitExceeded => (Topic::Alert, Medium, true),
            Self::AddressBlocked | Self::AddressUnblocked => (Topic::System, Medium, true),
            Self::BlockRead | Self::LockoutRead | Self::LimitsRead | Self::RoutesRead => (Topic::Log, Info, false),
            Self::LimitsReset => (Topic::System, Medium, true),
            Self::RoutesApplied | Self::RoutesRefused | Self::RoutesRolledBack => (Topic::System, Medium, true),
            Self::CredentialConflict | Self::TenantMismatch | Self::LimitsDisabled => (Topic::Alert, High, true),
            Self::RequestForwarded => (Topic::System, Info, false),
            Self::TlsCertificateTaken => (Topic::System, Medium, true),
            Self::TlsCertificateRefused | Self::TlsCertificateEnding | Self::TlsRenewalFailed => {
                (Topic::Alert, High, true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_codes_that_are_ocsfs() {
        for kind in EventKind::ALL {
            let Mapping { ocsf, fhir, .. } = kind.mapping();
            assert!([2004, 3001, 3002, 3004, 3005, 6003, 6005].contains(&ocsf.class_uid), "{kind}");
            assert_eq!(ocsf.type_uid() / 100, ocsf.class_uid, "{kind}");
            assert_eq!(ocsf.class_uid / 1_000, ocsf.category().0, "{kind}");
            assert!(fhir.r#type.0.starts_with("1101"), "{kind}");
        }
    }

    #[test]
    fn what_stops_power_or_breaks_a_rule_is_a_security_event() {
        for kind in [
            EventKind::AccessRefused,
            EventKind::TenantMismatch,
            EventKind::CredentialConflict,
            EventKind::RecordOpenFailed,
            EventKind::RecordGlassBroken,
            EventKind::UserLocked,
            EventKind::KeyRevoked,
            EventKind::TokenRevoked,
            EventKind::SessionReused,
            EventKind::SinkSkipped,
            EventKind::LimitsDisabled,
            EventKind::RoutesRefused,
            EventKind::TlsCertificateRefused,
            EventKind::TlsCertificateEnding,
            EventKind::TlsRenewalFailed,
        ] {
            assert!(kind.is_security(), "{kind}");
            assert!(kind.mapping().severity >= Severity::Medium, "{kind}");
        }
        for kind in [EventKind::RecordOpened, EventKind::AuditRead, EventKind::UserLoggedIn] {
            assert!(!kind.is_security(), "{kind}");
        }
    }

    #[test]
    fn an_applications_own_event_is_mapped_by_its_act() {
        let mapping = of("app.visit.closed", Action::Update);
        assert_eq!((mapping.ocsf.class_uid, mapping.ocsf.activity_name, mapping.security), (6003, "Update", false));
        assert_eq!(of("record.opened", Action::Update), EventKind::RecordOpened.mapping());
        assert_eq!(title("record.open_failed"), "Record open failed");
    }
}
