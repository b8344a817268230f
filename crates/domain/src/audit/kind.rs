//! The catalogue of events: closed. Which kind of act each is stands in `action.rs`, what SIEMs call it in `mapping.rs`.

codes! {
    /// Everything that can be told of. A closed catalogue.
    pub enum EventKind {
        /// The store was made.
        InstanceInitialised = "instance.initialised",
        /// A node started.
        NodeStarted = "node.started",
        /// A node that had nothing to tell is there.
        NodeAlive = "node.alive",
        /// A node ended, as it was asked to.
        NodeStopped = "node.stopped",
        /// A further provider can give the platform root.
        RootRecipientAdded = "root.recipient_added",
        /// A provider does not give the platform root any more.
        RootRecipientFailed = "root.recipient_failed",
        /// A provider that had failed gives the platform root again.
        RootRecipientProven = "root.recipient_proven",
        /// A provider cannot give the platform root any more: it was taken away.
        RootRecipientRemoved = "root.recipient_removed",
        /// The platform root got a new version.
        RootVersionAdded = "root.version_added",
        /// Nothing is under an old version of the platform root, and its wraps are gone.
        RootRetired = "root.retired",
        /// A tenant's key was put under the newest version of the platform root.
        TenantKeyRewrapped = "tenant_key.rewrapped",
        /// A tenant's key got a new version.
        TenantKeyRotated = "tenant_key.rotated",
        /// Keys were put under the newest tenant key.
        TenantKeyMoved = "tenant_key.keys_moved",
        /// An old version of a tenant's key is gone; nothing was under it.
        TenantKeyDestroyed = "tenant_key.destroyed",
        /// A backup was made and read back.
        BackupMade = "backup.made",
        /// The store was restored from a backup.
        BackupRestored = "backup.restored",
        /// A tenant was made.
        TenantCreated = "tenant.created",
        /// Tenants were read.
        TenantRead = "tenant.read",
        /// A tenant is no longer served.
        TenantSuspended = "tenant.suspended",
        /// A tenant is served again.
        TenantResumed = "tenant.resumed",
        /// A tenant's name, e-mail or metadata was changed.
        TenantUpdated = "tenant.updated",
        /// A tenant's settings were read.
        SettingsRead = "settings.read",
        /// A tenant's settings were changed.
        SettingsChanged = "settings.changed",
        /// A user was made.
        UserCreated = "user.created",
        /// Somebody registered, or tried to with a name that is taken.
        UserRegistered = "user.registered",
        /// A user's personal data was read.
        UserRead = "user.read",
        /// A user was changed.
        UserUpdated = "user.updated",
        /// A user may not log in any more.
        UserDisabled = "user.disabled",
        /// A user that was disabled may log in again.
        UserEnabled = "user.enabled",
        /// A user may not log in for now.
        UserLocked = "user.locked",
        /// A user that was locked may log in again.
        UserUnlocked = "user.unlocked",
        /// A user is gone, and what identified the person.
        UserDeleted = "user.deleted",
        /// A user changed its password.
        PasswordChanged = "password.changed",
        /// A user was invited to set a first password.
        PasswordInvited = "password.invited",
        /// A user must set a new password; the old one is worth nothing.
        PasswordForced = "password.forced",
        /// A user set its password with a token.
        PasswordSet = "password.set",
        /// Users of another system were brought.
        UsersImported = "user.imported",
        /// A user logged in.
        UserLoggedIn = "user.logged_in",
        /// A user has shown a right password and is asked for a second factor.
        UserChallenged = "user.challenged",
        /// A user's second factor is about to be tried.
        FactorTried = "factor.tried",
        /// A second factor was right.
        FactorPassed = "factor.passed",
        /// A second factor was wrong.
        FactorFailed = "factor.failed",
        /// A user was given the secret of a second factor.
        FactorBegun = "factor.begun",
        /// A user has a second factor from here on.
        FactorEnrolled = "factor.enrolled",
        /// A user removed its second factor.
        FactorRemoved = "factor.removed",
        /// A user gave a passkey another name.
        PasskeyRenamed = "passkey.renamed",
        /// An authenticator counted no further than before: there may be two of it.
        PasskeyRegressed = "passkey.sign_count_regressed",
        /// An administrator removed a user's second factors.
        FactorReset = "factor.reset",
        /// A person looked at its second factors.
        FactorRead = "factor.read",
        /// A user got new recovery codes.
        RecoveryCodesMade = "factor.recovery_codes_made",
        /// A recovery code was used.
        RecoveryCodeUsed = "factor.recovery_code_used",
        /// A session got its next tokens.
        SessionRefreshed = "session.refreshed",
        /// The person of a session proved again who it is.
        SessionProved = "session.proved",
        /// Somebody tried that in vain.
        SessionProofFailed = "session.proof_failed",
        /// Sessions of a user were listed.
        SessionRead = "session.read",
        /// A session was ended, or all of a user.
        SessionEnded = "session.ended",
        /// A refresh token was used twice: its session ended.
        SessionReused = "session.reused",
        /// A session is over unless somebody lets it go on: limits refused it again and again.
        SessionStopped = "session.stopped",
        /// A session that was stopped goes on.
        SessionResumed = "session.resumed",
        /// A program got an access token for its API key.
        TokenIssued = "token.issued",
        /// A program asked what a token is.
        TokenIntrospected = "token.introspected",
        /// Access tokens were revoked: one, all of a user, or all of the tenant.
        TokenRevoked = "token.revoked",
        /// The denylist was read.
        RevocationRead = "revocation.read",
        /// A refresh token of an older system was exchanged for a session.
        TokenExchanged = "token.exchanged",
        /// Tokens of other issuers were denied by their ids.
        TokensDenied = "token.denied",
        /// An API key was made.
        ApiKeyCreated = "api_key.created",
        /// API keys were listed.
        ApiKeyRead = "api_key.read",
        /// An API key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// An API key is refused for a while: its limits refused it again and again.
        ApiKeySuspended = "api_key.suspended",
        /// An API key that was suspended works again, before its time.
        ApiKeyResumed = "api_key.resumed",
        /// An API key's description, networks or end were changed.
        ApiKeyUpdated = "api_key.updated",
        /// An API key was replaced by another.
        ApiKeyRotated = "api_key.rotated",
        /// API keys of another system were brought.
        ApiKeysImported = "api_key.imported",
        /// A tenant's own role was defined or changed.
        RoleDefined = "role.defined",
        /// A tenant's own role was given up.
        RoleDeleted = "role.deleted",
        /// A tenant's own role was given to somebody.
        RoleGiven = "role.given",
        /// A tenant's own role was taken from somebody.
        RoleTaken = "role.taken",
        /// Roles were read.
        RoleRead = "role.read",
        /// An issuer whose tokens are taken was set up.
        IdentityProviderCreated = "identity_provider.created",
        /// It was changed.
        IdentityProviderUpdated = "identity_provider.updated",
        /// It was taken away.
        IdentityProviderDeleted = "identity_provider.deleted",
        /// Identity providers were read.
        IdentityProviderRead = "identity_provider.read",
        /// It was asked what comes of a token.
        IdentityProviderTested = "identity_provider.tested",
        /// It was asked why somebody may do something.
        AccessExplained = "access.explained",
        /// Keys were listed.
        KeyRead = "key.read",
        /// A next version of the token key was published; it signs nothing yet.
        KeyStaged = "key.staged",
        /// A key version seals and signs from here on.
        KeyActivated = "key.activated",
        /// A key version seals and signs no more.
        KeyRetired = "key.retired",
        /// A key got a new version.
        KeyRotated = "key.rotated",
        /// The destruction of key versions was scheduled, or done by force.
        KeyDeletionScheduled = "key.deletion_scheduled",
        /// It was cancelled.
        KeyDeletionCancelled = "key.deletion_cancelled",
        /// Its waiting time was over and it was carried out.
        KeyDeletionDone = "key.deletion_done",
        /// The provider of a key version is about to be asked to destroy it.
        KeyDestroying = "key.destroying",
        /// A key version is gone for good.
        KeyDestroyed = "key.destroyed",
        /// A named key was made.
        KeyCreated = "key.created",
        /// A key of another system was brought.
        KeyImported = "key.imported",
        /// A key's policy or schedule was changed.
        KeyUpdated = "key.updated",
        /// A named key was used.
        KeyUsed = "key.used",
        /// An operation on a key did not work.
        KeyUseFailed = "key.use_failed",
        /// A key version was stopped for now.
        KeySuspended = "key.suspended",
        /// A stopped key version goes on.
        KeyResumed = "key.resumed",
        /// A key version was revoked.
        KeyRevoked = "key.revoked",
        /// A key version's time is over.
        KeyExpired = "key.expired",
        /// A data key was not rotated for long.
        KeyRotationDue = "key.rotation_due",
        /// A key's material is about to be copied to a destination.
        KeyCopying = "key.copying",
        /// The copy was read back and is the key's.
        KeyBackedUp = "key.backed_up",
        /// The copy at a destination was taken away.
        KeyCopyRemoved = "key.copy_removed",
        /// A copy is about to be taken away from where it is.
        KeyCopyRemoving = "key.copy_removing",
        /// Material was taken back from a destination.
        KeyRestored = "key.restored",
        /// A key was used by whom, when or how much it usually is not.
        KeyAnomaly = "key.anomaly",
        /// A field was registered or changed.
        FieldDefined = "field.defined",
        /// Registered fields were listed.
        FieldRead = "field.read",
        /// A compound index was defined, or its rule changed.
        IndexDefined = "index.defined",
        /// A compound index was given up.
        IndexDropped = "index.dropped",
        /// Every row is said to carry the terms of an index version.
        IndexReady = "index.ready",
        /// The terms of an index version are asked for no more.
        IndexRetired = "index.retired",
        /// Values were sealed.
        RecordSealed = "record.sealed",
        /// Values were opened.
        RecordOpened = "record.opened",
        /// Values that were to be opened did not.
        RecordOpenFailed = "record.open_failed",
        /// Values under a stopped key were opened in an emergency.
        RecordGlassBroken = "record.glass_broken",
        /// Values were moved to the newest key.
        RecordResealed = "record.resealed",
        /// A person got a key of their own.
        SubjectCreated = "subject.created",
        /// A person's key was destroyed.
        SubjectErased = "subject.erased",
        /// A person who was erased got a new key.
        SubjectRecreated = "subject.recreated",
        /// Keys of persons were moved under the newest version of the subject root.
        SubjectKeysMoved = "subject.keys_moved",
        /// Nothing is sealed under a superseded key version any more.
        KeyDrained = "key.drained",
        /// A table of an application was registered, or its registration changed.
        DatasetRegistered = "dataset.registered",
        /// A table of an application is no longer registered.
        DatasetRemoved = "dataset.removed",
        /// Datasets or jobs over them were read.
        DatasetRead = "dataset.read",
        /// A job over a dataset was started.
        DatasetJobStarted = "dataset.job_started",
        /// A job over a dataset ended.
        DatasetJobEnded = "dataset.job_ended",
        /// The values of a dataset were counted by key version.
        DatasetCounted = "dataset.counted",
        /// An application said how many values it has under a key version.
        CensusReported = "census.reported",
        /// Search terms were derived.
        TermsDerived = "terms.derived",
        /// A certificate was issued.
        CertificateIssued = "certificate.issued",
        /// A certificate was read.
        CertificateRead = "certificate.read",
        /// A certificate was verified.
        CertificateVerified = "certificate.verified",
        /// A pack was exported.
        CertificateExported = "certificate.exported",
        /// A certificate was revoked.
        CertificateRevoked = "certificate.revoked",
        /// Another certificate took a certificate's place.
        CertificateSuperseded = "certificate.superseded",
        /// A second person's consent was asked for.
        ApprovalRequested = "approval.requested",
        /// It was given.
        ApprovalApproved = "approval.approved",
        /// It was refused.
        ApprovalDenied = "approval.denied",
        /// The question was taken back.
        ApprovalCancelled = "approval.cancelled",
        /// The deed was done under it.
        ApprovalUsed = "approval.used",
        /// What was done under it was looked at.
        ApprovalReviewed = "approval.reviewed",
        /// Approvals were read.
        ApprovalRead = "approval.read",
        /// The log was read.
        AuditRead = "audit.read",
        /// Events with their proofs were exported.
        AuditExported = "audit.exported",
        /// A sink does not take events any more.
        SinkFailed = "audit.sink_failed",
        /// A sink that had failed takes events again.
        SinkRecovered = "audit.sink_recovered",
        /// Somebody let a sink pass over events.
        SinkSkipped = "audit.sink_skipped",
        /// It was read how far sinks are.
        SinkRead = "audit.sink_read",
        /// Lines of the program's own log were searched for secrets and personal data.
        LogsSampled = "audit.logs_sampled",
        /// Somebody said how long the log is kept.
        RetentionChanged = "audit.retention_changed",
        /// Events are held beyond their time.
        HoldPlaced = "audit.hold_placed",
        /// They are not held any more.
        HoldLifted = "audit.hold_lifted",
        /// Events of one month whose time is over are to go; their leaf hashes stay.
        PurgeOrdered = "audit.purge_ordered",
        /// They are gone.
        PurgeEnded = "audit.purge_ended",
        /// An officer has seen a purge that nobody ordered and somebody wrote into the store. Nothing goes for it.
        PurgeDismissed = "audit.purge_dismissed",
        /// A month in which nobody has anything any more left the disk whole.
        MonthDropped = "audit.month_dropped",
        /// A part of the log was written into an archive outside the store, and read back.
        AuditArchived = "audit.archived",
        /// An archive that the store tells of is not in its place, or is not what was written: it is written again.
        ArchiveLost = "audit.archive_lost",
        /// A row of the queue was no event of ours, or another one under the id of an event of the log: it was put aside, and its bytes
        /// are kept.
        EventQuarantined = "log.event_quarantined",
        /// Something stored of a log is not what was written.
        IntegrityFailed = "log.integrity_failed",
        /// All that is stored of a log was looked at again.
        LogScrubbed = "log.scrubbed",
        /// A log that is behind what was signed of it goes on: its store was put back, and somebody accepted that.
        LogRestoreAccepted = "log.restore_accepted",
        /// The last signed heads are kept in a new place, which knows nothing of what was signed before.
        LogPinsAccepted = "log.pins_accepted",
        /// The signed head of a tenant's log, told of in the platform's.
        LogHeadNoted = "log.head_noted",
        /// A source of webhooks was set up.
        WebhookSourceCreated = "webhook.source_created",
        /// It was changed.
        WebhookSourceUpdated = "webhook.source_updated",
        /// It was taken away.
        WebhookSourceDeleted = "webhook.source_deleted",
        /// Sources of webhooks, subscriptions or deliveries were read.
        WebhookRead = "webhook.read",
        /// A source or a subscription has a further secret.
        WebhookSecretAdded = "webhook.secret_added",
        /// One of its secrets is not taken any more.
        WebhookSecretEnded = "webhook.secret_ended",
        /// One of its secrets is to be replaced soon: a subscription's is, by itself.
        WebhookSecretDue = "webhook.secret_due",
        /// A new secret of a subscription was shown to who asked for it.
        WebhookSecretShown = "webhook.secret_shown",
        /// Secrets were opened, to verify or to sign with.
        WebhookSecretsOpened = "webhook.secrets_opened",
        /// A challenge was given for a device that shall be enrolled.
        WebhookDeviceChallenged = "webhook.device_challenged",
        /// A device was enrolled with a source.
        WebhookDeviceEnrolled = "webhook.device_enrolled",
        /// An attestation of a device was not taken.
        WebhookDeviceRefused = "webhook.device_refused",
        /// No message of a device is taken any more.
        WebhookDeviceRevoked = "webhook.device_revoked",
        /// A webhook was verified and kept.
        WebhookReceived = "webhook.received",
        /// A copy of one came.
        WebhookReplayed = "webhook.replayed",
        /// A webhook is about to be handed to who it is for.
        WebhookForwarding = "webhook.forwarding",
        /// A webhook was tried in vain and waits for somebody.
        WebhookQuarantined = "webhook.quarantined",
        /// Somebody discarded a webhook that waited.
        WebhookDiscarded = "webhook.discarded",
        /// Somebody let it be tried again.
        WebhookRedriven = "webhook.redriven",
        /// For a quarter of an hour whoever webhooks are for took none of them.
        WebhookStalled = "webhook.stalled",
        /// They are taken again.
        WebhookRecovered = "webhook.recovered",
        /// Somebody subscribed to our own events.
        WebhookSubscribed = "webhook.subscribed",
        /// A subscription was changed.
        WebhookSubscriptionUpdated = "webhook.subscription_updated",
        /// A subscription was taken away.
        WebhookUnsubscribed = "webhook.unsubscribed",
        /// A caller was refused.
        AccessRefused = "access.refused",
        /// Strangers were refused, so many in a minute.
        AccessRefusedAnonymous = "access.refused_anonymous",
        /// Requests from a network are not answered any more.
        AddressBlocked = "address.blocked",
        /// They are answered again.
        AddressUnblocked = "address.unblocked",
        /// Blocked networks were read.
        BlockRead = "address.blocks_read",
        /// Who is kept out for now was read.
        LockoutRead = "lockout.read",
        /// Routes of the gateway, or what they saw, were read.
        RoutesRead = "gateway.routes_read",
        /// The routes of a node's configuration were put to work.
        RoutesApplied = "gateway.routes_applied",
        /// The configuration of a node brings no routes that could be put to work; those at work stay.
        RoutesRefused = "gateway.routes_refused",
        /// The routes before them were put to work again.
        RoutesRolledBack = "gateway.routes_rolled_back",
        /// Somebody was refused by a limit, so many times in a minute.
        LimitExceeded = "limits.exceeded",
        /// What was counted of somebody was read.
        LimitsRead = "limits.read",
        /// What was counted of somebody was forgotten: they may go on.
        LimitsReset = "limits.reset",
        /// A server started in production with all limits switched off.
        LimitsDisabled = "limits.disabled",
        /// The listeners took over another certificate.
        TlsCertificateTaken = "tls.certificate_taken",
        /// New files of the listeners' certificate do not do; the one at work stays.
        TlsCertificateRefused = "tls.certificate_refused",
        /// The listeners' certificate ends soon, or is over.
        TlsCertificateEnding = "tls.certificate_ending",
        /// The authority gave no next certificate; the one at work stays.
        TlsRenewalFailed = "tls.renewal_failed",
        /// A request brought credentials of two callers.
        CredentialConflict = "credential.conflict",
        /// A request named another tenant than its credential's.
        TenantMismatch = "tenant.mismatch",
        /// A request was let through to an application.
        RequestForwarded = "request.forwarded",
    }
}
