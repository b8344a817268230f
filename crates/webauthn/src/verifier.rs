//! A verifier on webauthn-rs.
//!
//! The core of webauthn-rs is used, not the wrapper around it: challenges come from the domain, credentials must be discoverable,
//! and sign counts are judged by the domain, which tells of them. What that asks of us is kept here: user verification is
//! required of every ceremony, and of every credential for good.
use std::time::Duration;

use chancery_domain::passkeys::{
    Assertion, AssertionAnswer, NewCredential, Passkey, PasskeyVerifier, RegistrationAnswer, RelyingParty, Unverified,
};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::json;
use url::Url;
use webauthn_rs_core::{
    WebauthnCore,
    proto::{
        AttestationCaList, AttestationFormat, AttestationMetadata, AuthenticationExtensionsClientOutputs,
        AuthenticationState, AuthenticatorAssertionResponseRaw, AuthenticatorAttestationResponseRaw, COSEAlgorithm,
        COSEKey, Credential, ParsedAttestation, ParsedAttestationData, PublicKeyCredential,
        RegisterPublicKeyCredential, RegisteredExtensions, RegistrationExtensionsClientOutputs, RegistrationState,
        UserVerificationPolicy,
    },
};

use crate::{BadVerifier, Makers, roots};

/// Verifies for one relying party.
pub(crate) struct Verifier {
    party: RelyingParty,
    core: WebauthnCore,
    roots: Option<AttestationCaList>,
}

impl Verifier {
    /// For this relying party, and only authenticators that `roots` vouch for, if there are any.
    pub(crate) fn new(party: RelyingParty, roots: Option<&Makers<'_>>) -> Result<Self, BadVerifier> {
        let roots = roots.map(roots::read).transpose()?;
        let party = if roots.is_some() { party.with_attestation() } else { party };
        let origins: Result<Vec<Url>, _> = party.origins().iter().map(|origin| Url::parse(origin)).collect();
        let origins = origins.map_err(|_| BadVerifier::Origin)?;
        // Neither beneath an origin nor on another port: exactly those.
        let core = WebauthnCore::new_unsafe_experts_only(
            party.name(),
            party.id(),
            origins,
            Duration::from_secs(300),
            Some(false),
            Some(false),
        );
        Ok(Self { party, core, roots })
    }
}

/// What is told for our log. The library's errors hold no values.
fn unverified(error: impl std::fmt::Debug) -> Unverified {
    Unverified(format!("{error:?}"))
}

/// A ceremony of the library around a challenge of ours.
fn state<T: for<'de> Deserialize<'de>>(mut state: serde_json::Value, challenge: &[u8]) -> Result<T, Unverified> {
    if let Some(members) = state.as_object_mut() {
        members.insert("challenge".to_owned(), json!(BASE64URL_NOPAD.encode(challenge)));
    }
    serde_json::from_value(state).map_err(unverified)
}

impl PasskeyVerifier for Verifier {
    fn relying_party(&self) -> &RelyingParty {
        &self.party
    }

    fn registered(&self, challenge: &[u8], answer: &RegistrationAnswer) -> Result<NewCredential, Unverified> {
        let asked = json!({
            "policy": UserVerificationPolicy::Required,
            "exclude_credentials": [],
            "credential_algorithms": COSEAlgorithm::secure_algs(),
            "require_resident_key": true,
            "authenticator_attachment": null,
            "extensions": {},
            "allow_synchronised_authenticators": true,
        });
        let asked: RegistrationState = state(asked, challenge)?;
        let said = RegisterPublicKeyCredential {
            id: BASE64URL_NOPAD.encode(&answer.credential),
            raw_id: answer.credential.clone(),
            response: AuthenticatorAttestationResponseRaw {
                attestation_object: answer.attestation_object.clone(),
                client_data_json: answer.client_data.clone(),
                transports: None,
            },
            type_: "public-key".to_owned(),
            extensions: RegistrationExtensionsClientOutputs::default(),
        };
        let made = self.core.register_credential(&said, &asked, self.roots.as_ref()).map_err(unverified)?;
        Ok(NewCredential {
            public_key: serde_json::to_vec(&made.cred).map_err(unverified)?,
            sign_count: made.counter,
            backup_eligible: made.backup_eligible,
            backed_up: made.backup_state,
            aaguid: aaguid(&answer.attestation_object)?,
            attested: self.roots.is_some(),
            credential: made.cred_id,
        })
    }

    fn asserted(&self, challenge: &[u8], passkey: &Passkey, answer: &AssertionAnswer) -> Result<Assertion, Unverified> {
        let asked = json!({
            "credentials": [],
            "policy": UserVerificationPolicy::Required,
            "appid": null,
            "allow_backup_eligible_upgrade": false,
        });
        let asked: AuthenticationState = state(asked, challenge)?;
        let said = PublicKeyCredential {
            id: BASE64URL_NOPAD.encode(&answer.credential),
            raw_id: answer.credential.clone(),
            response: AuthenticatorAssertionResponseRaw {
                authenticator_data: answer.authenticator_data.clone(),
                client_data_json: answer.client_data.clone(),
                signature: answer.signature.clone(),
                user_handle: answer.user_handle.clone(),
            },
            extensions: AuthenticationExtensionsClientOutputs::default(),
            type_: "public-key".to_owned(),
        };
        let done = self.core.authenticate_single_credential(&said, &asked, &stored(passkey)?).map_err(unverified)?;
        if !done.user_verified() {
            return Err(Unverified("the user was not verified".to_owned()));
        }
        Ok(Assertion { sign_count: done.counter(), backed_up: done.backup_state() })
    }
}

/// A passkey as the library knows credentials. Its count is left at 0, which every other is above: the domain compares them.
fn stored(passkey: &Passkey) -> Result<Credential, Unverified> {
    let key: COSEKey = serde_json::from_slice(&passkey.public_key).map_err(unverified)?;
    Ok(Credential {
        cred_id: passkey.credential.clone(),
        cred: key,
        counter: 0,
        transports: None,
        user_verified: true,
        backup_eligible: passkey.backup_eligible,
        backup_state: passkey.backed_up,
        registration_policy: UserVerificationPolicy::Required,
        extensions: RegisteredExtensions::none(),
        attestation: ParsedAttestation { data: ParsedAttestationData::None, metadata: AttestationMetadata::None },
        attestation_format: AttestationFormat::None,
    })
}

/// The part of an attestation object that says what the authenticator is. The library has read it before, and keeps it to itself.
#[derive(Deserialize)]
struct Attested<'a> {
    #[serde(rename = "authData", borrow)]
    authenticator_data: &'a [u8],
}

/// The model of an authenticator: 16 bytes after the hash of the id, the flags and the count (WebAuthn §6.5.1).
fn aaguid(attestation_object: &[u8]) -> Result<[u8; 16], Unverified> {
    let attested: Attested<'_> = serde_cbor_2::from_slice(attestation_object).map_err(unverified)?;
    let after = attested.authenticator_data.get(37..53);
    let model = after.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    model.ok_or_else(|| Unverified("authenticator data that is too short".to_owned()))
}
