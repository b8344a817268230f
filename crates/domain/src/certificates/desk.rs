//! Where certificates are signed and stored, within a change.

use std::sync::Arc;

use chancery_crypto::{canonical, commitment, dsse, random, sha256_hex};

use super::{
    Certificate, CertificateEnd, CertificateError, EndReason, EndState, Issued, PAYLOAD_TYPE,
    payload::{Claim, Issuing, SUBJECT_COMMITMENT},
    revoke,
};
use crate::{
    Instance,
    audit::{Change, Detail, Event, EventKind},
    faults::Faults,
    ids::{CertificateId, EventId, TenantId},
    instance::Failure,
    keyring::{KeyVersion, KeyringError, Managed, ring::RingVersion, statement},
    lockdown,
};

/// Where certificates of one change are issued: with one key, for one log.
pub(super) struct Desk {
    version: KeyVersion,
    origin: String,
}

impl Desk {
    pub(super) async fn open(change: &mut Change<'_>) -> Result<Self, Failure> {
        let no_key = || Failure::Keyring(KeyringError::NoActiveKey(Managed::Certificate));
        let key = change.rows().managed_key(Managed::Certificate).await?.ok_or_else(no_key)?;
        // Held until the commit: nobody retires the key before these certificates are queued.
        let version = change.rows().hold_active_version(key.id).await?.ok_or_else(no_key)?;
        let origin = change.rows().log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
        Ok(Self { version, origin })
    }

    pub(super) async fn issue(
        &self,
        instance: &Instance,
        change: &mut Change<'_>,
        claim: &Claim,
    ) -> Result<(Issued, Event), CertificateError> {
        if !claim.is_known() {
            return Err(Failure::Internal("a statement of an unknown kind").into());
        }
        lockdown::check(instance, change.rows(), claim).await?;
        let salt: [u8; 32] = random::array(instance.random())?;
        let ring = Arc::clone(change.keyring());
        let lent = change.lent(Managed::Certificate, &self.version.key_id);
        let signer = match &lent {
            Some(lent) => lent.as_ref(),
            None => ring.version(Managed::Certificate, &self.version.key_id)?,
        };
        let certificate = self.sign(instance, signer, ring.tenant(), claim, &salt).await?;
        change.rows().insert_certificate(&certificate).await?;
        let names: Vec<String> = match change.keyring().subject_references(&subject_name(claim)) {
            Ok(names) => names.into_iter().map(|(_, reference)| reference).collect(),
            // Never to be found about its subject, it would be missing in every pack about it.
            Err(error) if !claim.is_own() => return Err(Failure::Keyring(error).into()),
            // A stopped subject key does not hold up what Chancery states of itself, which is about no person.
            Err(_) => Vec::new(),
        };
        if let Some(reference) = names.first() {
            change.rows().insert_certificate_subject(certificate.id, reference).await?;
        }
        if let Some(old) = claim.supersedes {
            supersede(instance, change, claim, old, &names, &certificate).await?;
        }
        let event = told(&certificate);
        Ok((Issued { certificate, subject_salt: salt }, event))
    }

    /// Whether each signature is asked of a provider.
    pub(super) fn signs_elsewhere(&self, change: &Change<'_>) -> bool {
        change.keyring().lives_at(&self.version.key_id).is_some()
    }

    async fn sign(
        &self,
        instance: &Instance,
        signer: &RingVersion,
        tenant: TenantId,
        claim: &Claim,
        salt: &[u8; 32],
    ) -> Result<Certificate, CertificateError> {
        // Clocks of two nodes differ; a certificate is never older than its key.
        let issued_at = self.version.activated_at.map_or(instance.now(), |activated| activated.max(instance.now()));
        claim.check_end(issued_at)?;
        let id = CertificateId::make(issued_at, instance.random())?;
        let committed = commitment(salt, SUBJECT_COMMITMENT, claim.subject_ref.expose().as_bytes());
        let payload = claim.payload(&Issuing {
            id,
            tenant,
            log_origin: &self.origin,
            issuer_name: &instance.settings().name,
            key_id: &signer.key_id,
            alg: signer.public.as_ref().and_then(dsse::algorithm).unwrap_or_default(),
            subject_commitment: &data_encoding::HEXLOWER.encode(&committed),
            issued_at,
        });
        let payload = canonical::to_vec(&payload).map_err(|_| Failure::Internal("a certificate is not canonical"))?;
        let envelope = statement(instance, signer, PAYLOAD_TYPE, payload).await?;
        Ok(Certificate {
            id,
            key_id: signer.key_id.clone(),
            kind: claim.kind.clone(),
            issued_at,
            envelope: envelope.to_json(),
            event: EventId::make(issued_at, instance.random())?,
        })
    }
}

/// The name by which certificates about one thing are found. It is never a person's own reference: those have no such letter.
fn subject_name(claim: &Claim) -> String {
    named(&claim.subject_kind, claim.subject_ref.expose())
}

/// As above, of a kind and a reference.
pub(super) fn named(kind: &str, reference: &str) -> String {
    format!("\u{0}certificate\u{0}{kind}\u{0}{reference}")
}

/// Ends the certificate that a new one takes the place of: one of the same kind about the same subject, by any of its `names`.
async fn supersede(
    instance: &Instance,
    change: &mut Change<'_>,
    claim: &Claim,
    old: CertificateId,
    names: &[String],
    new: &Certificate,
) -> Result<(), CertificateError> {
    let refused = |code, message: &str| Faults::one("/supersedes", code, message);
    let found = change.rows().certificate(old).await?;
    let found = found.ok_or_else(|| refused("unknown", "there is no such certificate"))?;
    if found.kind != claim.kind {
        return Err(refused("kind", "it is of another kind").into());
    }
    let mut same = false;
    for name in names {
        same = same || change.rows().is_certificate_about(old, name).await?;
    }
    if !same {
        return Err(refused("subject", "it is about another subject").into());
    }
    if !revoke::ends_of(change.rows(), old).await?.is_empty() {
        return Err(refused("ended", "it does not stand any more").into());
    }
    let end = CertificateEnd {
        certificate: old,
        state: EndState::Superseded,
        reason: EndReason::Superseded,
        successor: Some(new.id),
        at: new.issued_at,
        event: EventId::make(new.issued_at, instance.random())?,
    };
    revoke::note(change, &end).await?;
    Ok(change.record(revoke::told(&end)).await?)
}

/// The event of a new certificate.
fn told(certificate: &Certificate) -> Event {
    Event::new(EventKind::CertificateIssued)
        .identified(certificate.event)
        .on("certificate", certificate.id)
        .with("key_id", Detail::Id(certificate.key_id.clone()))
        .with("envelope_sha256", Detail::Id(sha256_hex(&certificate.envelope)))
}
