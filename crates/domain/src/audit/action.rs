//! Which kind of act an event tells of.

use super::EventKind;

codes! {
    /// What kind of act (FHIR AuditEvent.action).
    pub enum Action {
        /// Create.
        Create = "C",
        /// Read.
        Read = "R",
        /// Update.
        Update = "U",
        /// Delete.
        Delete = "D",
        /// Execute.
        Execute = "E",
    }
}

impl EventKind {
    /// Its kind of act.
    pub const fn action(self) -> Action {
        match self {
            Self::InstanceInitialised
            | Self::RootRecipientAdded
            | Self::RootVersionAdded
            | Self::BackupMade
            | Self::TenantCreated
            | Self::UserCreated
            | Self::UserRegistered
            | Self::UsersImported
            | Self::ApiKeyCreated
            | Self::KeyStaged
            | Self::FactorBegun
            | Self::FactorEnrolled
            | Self::RecoveryCodesMade
            | Self::ApiKeysImported
            | Self::RoleDefined
            | Self::IdentityProviderCreated
            | Self::KeyActivated
            | Self::ApprovalRequested
            | Self::KeyCreated
            | Self::KeyImported
            | Self::SubjectCreated
            | Self::SubjectRecreated
            | Self::DatasetRegistered
            | Self::HoldPlaced
            | Self::AuditArchived
            | Self::WebhookSourceCreated
            | Self::WebhookSecretAdded
            | Self::WebhookDeviceChallenged
            | Self::WebhookDeviceEnrolled
            | Self::WebhookSubscribed
            | Self::WebhookReceived
            | Self::AddressBlocked
            | Self::CertificateIssued => Action::Create,
            Self::SubjectErased | Self::RoleDeleted | Self::IdentityProviderDeleted => Action::Delete,
            Self::WebhookSourceDeleted | Self::WebhookUnsubscribed | Self::WebhookDiscarded => Action::Delete,
            Self::TenantRead
            | Self::WebhookRead
            | Self::WebhookSecretsOpened
            | Self::WebhookSecretShown
            | Self::SettingsRead
            | Self::UserRead
            | Self::RevocationRead
            | Self::SessionRead
            | Self::FactorRead
            | Self::TokenIntrospected
            | Self::ApiKeyRead
            | Self::RoleRead
            | Self::IdentityProviderRead
            | Self::IdentityProviderTested
            | Self::AccessExplained
            | Self::KeyRead
            | Self::FieldRead
            | Self::RecordOpened
            | Self::RecordOpenFailed
            | Self::RecordGlassBroken
            | Self::DatasetRead
            | Self::CertificateRead
            | Self::CertificateExported
            | Self::ApprovalRead
            | Self::AuditRead
            | Self::AuditExported
            | Self::BlockRead
            | Self::LockoutRead
            | Self::LimitsRead
            | Self::RoutesRead
            | Self::SinkRead => Action::Read,
            Self::FactorRemoved | Self::FactorReset | Self::UserDeleted => Action::Delete,
            Self::RootRecipientRemoved | Self::RootRetired | Self::TenantKeyDestroyed => Action::Delete,
            Self::TenantKeyRewrapped
            | Self::TenantKeyRotated
            | Self::TenantKeyMoved
            | Self::SubjectKeysMoved
            | Self::TenantSuspended
            | Self::TenantResumed
            | Self::TenantUpdated
            | Self::WebhookSourceUpdated
            | Self::WebhookSecretEnded
            | Self::WebhookDeviceRevoked
            | Self::WebhookSubscriptionUpdated
            | Self::SettingsChanged
            | Self::ApiKeyRevoked
            | Self::ApiKeySuspended
            | Self::ApiKeyResumed
            | Self::SessionStopped
            | Self::SessionResumed
            | Self::UserUpdated
            | Self::UserDisabled
            | Self::UserEnabled
            | Self::UserLocked
            | Self::UserUnlocked
            | Self::PasswordChanged
            | Self::PasskeyRenamed
            | Self::PasswordInvited
            | Self::PasswordForced
            | Self::PasswordSet
            | Self::SessionProved
            | Self::SessionEnded
            | Self::SessionReused
            | Self::TokenRevoked
            | Self::TokensDenied
            | Self::ApiKeyUpdated
            | Self::ApiKeyRotated
            | Self::RoleGiven
            | Self::IdentityProviderUpdated
            | Self::RoleTaken
            | Self::KeyRetired
            | Self::KeyRotated
            | Self::KeyBackedUp
            | Self::KeyRestored
            | Self::KeyDeletionScheduled
            | Self::KeyDeletionCancelled
            | Self::KeyUpdated
            | Self::KeySuspended
            | Self::KeyResumed
            | Self::KeyRevoked
            | Self::KeyExpired
            | Self::FieldDefined
            | Self::ApprovalApproved
            | Self::ApprovalDenied
            | Self::ApprovalCancelled
            | Self::ApprovalReviewed
            | Self::IndexDefined
            | Self::IndexReady
            | Self::IndexRetired
            | Self::KeyDrained
            | Self::CensusReported
            | Self::CertificateRevoked
            | Self::CertificateSuperseded
            | Self::SinkSkipped
            | Self::RetentionChanged
            | Self::HoldLifted
            | Self::PurgeDismissed
            | Self::LimitsReset
            | Self::TlsCertificateTaken
            | Self::RoutesApplied
            | Self::RoutesRolledBack
            | Self::RecordResealed => Action::Update,
            Self::KeyCopyRemoved
            | Self::KeyDeletionDone
            | Self::KeyDestroyed
            | Self::IndexDropped
            | Self::PurgeOrdered
            | Self::PurgeEnded
            | Self::MonthDropped
            | Self::AddressUnblocked
            | Self::DatasetRemoved => Action::Delete,
            Self::UserLoggedIn
            | Self::UserChallenged
            | Self::FactorTried
            | Self::FactorPassed
            | Self::FactorFailed
            | Self::PasskeyRegressed
            | Self::RecoveryCodeUsed
            | Self::SessionRefreshed
            | Self::SessionProofFailed
            | Self::TokenIssued
            | Self::TokenExchanged
            | Self::KeyCopying
            | Self::KeyCopyRemoving
            | Self::KeyDestroying
            | Self::NodeStarted
            | Self::NodeAlive
            | Self::NodeStopped
            | Self::ArchiveLost
            | Self::EventQuarantined
            | Self::IntegrityFailed
            | Self::LogScrubbed
            | Self::LogRestoreAccepted
            | Self::LogPinsAccepted
            | Self::LogHeadNoted
            | Self::BackupRestored
            | Self::ApprovalUsed
            | Self::KeyUsed
            | Self::KeyUseFailed
            | Self::KeyRotationDue
            | Self::KeyAnomaly
            | Self::RecordSealed
            | Self::RootRecipientFailed
            | Self::RootRecipientProven
            | Self::DatasetJobStarted
            | Self::DatasetJobEnded
            | Self::DatasetCounted
            | Self::TermsDerived
            | Self::CertificateVerified
            | Self::SinkFailed
            | Self::SinkRecovered
            | Self::LogsSampled
            | Self::WebhookSecretDue
            | Self::WebhookReplayed
            | Self::WebhookDeviceRefused
            | Self::WebhookForwarding
            | Self::WebhookQuarantined
            | Self::WebhookRedriven
            | Self::WebhookStalled
            | Self::WebhookRecovered
            | Self::AccessRefused
            | Self::AccessRefusedAnonymous
            | Self::LimitExceeded
            | Self::LimitsDisabled
            | Self::RoutesRefused
            | Self::TlsCertificateRefused
            | Self::TlsCertificateEnding
            | Self::TlsRenewalFailed
            | Self::CredentialConflict
            | Self::TenantMismatch
            | Self::RequestForwarded => Action::Execute,
        }
    }
}
