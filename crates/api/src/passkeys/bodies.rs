//! What browsers take and give, in the JSON forms of WebAuthn Level 3 (§5.1.8 to §5.1.10).

use chancery_domain::Faults;
use chancery_domain::passkeys::{
    AllowedPasskey, AssertionAnswer, AssertionOptions, CHALLENGE_SECONDS, RegistrationAnswer, RegistrationOptions,
};
use chancery_middleware::Problem;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::wiped;

/// The algorithms that are taken, the best first: ES256, ES384, RS256.
const ALGORITHMS: [i32; 3] = [-7, -35, -257];
/// What is signed may have so many bytes.
const MAX_PART: usize = 32 * 1024;

fn text(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn descriptors(passkeys: &[AllowedPasskey]) -> Value {
    let each = |passkey: &AllowedPasskey| {
        let mut one = json!({"type": "public-key", "id": text(&passkey.credential)});
        if let (Some(members), false) = (one.as_object_mut(), passkey.transports.is_empty()) {
            members.insert("transports".to_owned(), json!(passkey.transports));
        }
        one
    };
    passkeys.iter().map(each).collect()
}

/// What a browser needs: for `PublicKeyCredential.parseCreationOptionsFromJSON()` or `parseRequestOptionsFromJSON()`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PasskeyOptions)]
pub(crate) struct OptionsBody {
    /// The options, as WebAuthn Level 3 writes them in JSON.
    #[schema(value_type = Object)]
    options: Value,
    /// Until when the answer may come.
    expires_at: String,
}

impl From<RegistrationOptions> for OptionsBody {
    fn from(options: RegistrationOptions) -> Self {
        let RegistrationOptions { party, user_handle, username, challenge, exclude, expires_at } = options;
        let algorithms = ALGORITHMS.map(|alg| json!({"type": "public-key", "alg": alg}));
        let options = json!({
            "rp": {"id": party.id(), "name": party.name()},
            "user": {"id": text(&user_handle), "name": username, "displayName": username},
            "challenge": text(&challenge),
            "pubKeyCredParams": algorithms,
            "timeout": CHALLENGE_SECONDS * 1_000,
            "excludeCredentials": descriptors(&exclude),
            "authenticatorSelection": {
                "residentKey": "required",
                "requireResidentKey": true,
                "userVerification": "required",
            },
            "attestation": if party.wants_attestation() { "direct" } else { "none" },
        });
        Self { options, expires_at: expires_at.to_string() }
    }
}

impl From<AssertionOptions> for OptionsBody {
    fn from(options: AssertionOptions) -> Self {
        let AssertionOptions { party, challenge, allow, expires_at } = options;
        let options = json!({
            "challenge": text(&challenge),
            "timeout": CHALLENGE_SECONDS * 1_000,
            "rpId": party.id(),
            "allowCredentials": descriptors(&allow),
            "userVerification": "required",
        });
        Self { options, expires_at: expires_at.to_string() }
    }
}

/// Bytes of a part of an answer, in base64url.
#[derive(Deserialize)]
#[serde(transparent)]
struct Part(#[serde(deserialize_with = "wiped::bytes")] Vec<u8>);

/// What `toJSON()` gives of a new credential. Members that browsers add are passed over.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewPasskeyCredential)]
pub(crate) struct AttestationBody {
    /// What the authenticator calls it, in base64url.
    #[serde(rename = "rawId")]
    #[schema(value_type = String)]
    raw_id: Part,
    /// Always `public-key`.
    #[schema(example = "public-key")]
    r#type: String,
    /// What was signed.
    response: AttestationResponse,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = NewPasskeyResponse)]
struct AttestationResponse {
    /// What the browser saw.
    #[serde(rename = "clientDataJSON")]
    #[schema(value_type = String)]
    client_data: Part,
    /// What the authenticator made.
    #[serde(rename = "attestationObject")]
    #[schema(value_type = String)]
    attestation_object: Part,
    /// How the browser reaches the authenticator.
    #[serde(default)]
    transports: Vec<String>,
}

/// What `toJSON()` gives of an assertion. Members that browsers add are passed over.
#[derive(Deserialize, ToSchema)]
#[schema(as = PasskeyCredential)]
pub(crate) struct AssertionBody {
    /// Which credential, in base64url.
    #[serde(rename = "rawId")]
    #[schema(value_type = String)]
    raw_id: Part,
    /// Always `public-key`.
    #[schema(example = "public-key")]
    r#type: String,
    /// What was signed.
    response: AssertionResponse,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = PasskeyResponse)]
struct AssertionResponse {
    /// What the browser saw.
    #[serde(rename = "clientDataJSON")]
    #[schema(value_type = String)]
    client_data: Part,
    /// What the authenticator saw.
    #[serde(rename = "authenticatorData")]
    #[schema(value_type = String)]
    authenticator_data: Part,
    /// Its signature.
    #[schema(value_type = String)]
    signature: Part,
    /// Whose it says the credential is.
    #[serde(default, rename = "userHandle")]
    #[schema(value_type = Option<String>)]
    user_handle: Option<Part>,
}

/// Whether everything has a length that it can have.
fn check(kind: &str, id: &Part, parts: &[&Part]) -> Result<(), Problem> {
    let odd = |pointer: &str, code, message: &str| Problem::invalid(Faults::one(pointer, code, message));
    if kind != "public-key" {
        return Err(odd("/credential/type", "unknown", "send what `toJSON()` gave"));
    }
    if id.0.is_empty() || id.0.len() > 1_023 {
        return Err(odd("/credential/rawId", "length", "send 1 to 1,023 bytes"));
    }
    if parts.iter().any(|part| part.0.is_empty() || part.0.len() > MAX_PART) {
        return Err(odd("/credential/response", "length", "send 1 to 32,768 bytes in each member"));
    }
    Ok(())
}

impl AttestationBody {
    /// For the domain.
    pub(crate) fn answer(self) -> Result<RegistrationAnswer, Problem> {
        let Self { raw_id, r#type, response } = self;
        check(&r#type, &raw_id, &[&response.client_data, &response.attestation_object])?;
        Ok(RegistrationAnswer {
            credential: raw_id.0,
            client_data: response.client_data.0,
            attestation_object: response.attestation_object.0,
            transports: response.transports,
        })
    }
}

impl AssertionBody {
    /// For the domain.
    pub(crate) fn answer(self) -> Result<AssertionAnswer, Problem> {
        let Self { raw_id, r#type, response } = self;
        check(&r#type, &raw_id, &[&response.client_data, &response.authenticator_data, &response.signature])?;
        Ok(AssertionAnswer {
            credential: raw_id.0,
            client_data: response.client_data.0,
            authenticator_data: response.authenticator_data.0,
            signature: response.signature.0,
            user_handle: response.user_handle.map(|part| part.0),
        })
    }
}
