//! The asymmetric half of AWS KMS as its API reference describes it, with real keys.

use std::{collections::HashMap, sync::Mutex};

use aws_lc_rs::{
    digest::{Digest, SHA256, SHA384},
    encoding::{AsDer as _, PublicKeyX509Der},
    rsa::{
        KeyPair as RsaPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey,
        PrivateDecryptingKey,
    },
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaEncoding,
    },
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use wiremock::{Request, Respond, ResponseTemplate};

use super::{answer, body, header};

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaPair),
    Decrypts(OaepPrivateDecryptingKey, Vec<u8>),
}

/// Keys by ARN, with their specification.
#[derive(Default)]
pub(crate) struct Kms(Mutex<HashMap<String, (String, Pair)>>);

fn fault(code: &str) -> ResponseTemplate {
    answer(400, json!({ "__type": code, "message": "said" }))
}

fn bytes(asked: &Value, name: &str) -> Vec<u8> {
    BASE64.decode(asked[name].as_str().unwrap().as_bytes()).unwrap()
}

fn make(spec: &str, usage: &str) -> Pair {
    let size = if spec == "RSA_4096" { KeySize::Rsa4096 } else { KeySize::Rsa2048 };
    match (spec, usage) {
        ("ECC_NIST_P256", "SIGN_VERIFY") => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
        ("ECC_NIST_P384", "SIGN_VERIFY") => Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap()),
        ("RSA_2048" | "RSA_4096", "SIGN_VERIFY") => Pair::Rsa(RsaPair::generate(size).unwrap()),
        ("RSA_2048" | "RSA_4096", "ENCRYPT_DECRYPT") => {
            let private = PrivateDecryptingKey::generate(size).unwrap();
            let public: PublicKeyX509Der<'_> = private.public_key().as_der().unwrap();
            let public = public.as_ref().to_vec();
            Pair::Decrypts(OaepPrivateDecryptingKey::new(private).unwrap(), public)
        }
        other => panic!("{other:?}"),
    }
}

impl Pair {
    fn public(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ec(pair) => pair.public_key().as_der().unwrap(),
            Self::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Self::Decrypts(_, public) => return public.clone(),
        };
        der.as_ref().to_vec()
    }

    /// `None`: not with this key.
    fn sign(&self, spec: &str, algorithm: &str, digest: &[u8]) -> Option<Vec<u8>> {
        let hash = if algorithm.ends_with("384") { &SHA384 } else { &SHA256 };
        let digest = Digest::import_less_safe(digest, hash).unwrap();
        let rsa = |pair: &RsaPair, encoding: &'static dyn RsaEncoding| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign_digest(encoding, &digest, &mut signature).unwrap();
            signature
        };
        match (self, algorithm) {
            (Self::Ec(pair), "ECDSA_SHA_256") if spec == "ECC_NIST_P256" => {
                Some(pair.sign_digest(&digest).unwrap().as_ref().to_vec())
            }
            (Self::Ec(pair), "ECDSA_SHA_384") if spec == "ECC_NIST_P384" => {
                Some(pair.sign_digest(&digest).unwrap().as_ref().to_vec())
            }
            (Self::Rsa(pair), "RSASSA_PSS_SHA_256") => Some(rsa(pair, &RSA_PSS_SHA256)),
            (Self::Rsa(pair), "RSASSA_PKCS1_V1_5_SHA_256") => Some(rsa(pair, &RSA_PKCS1_SHA256)),
            _ => None,
        }
    }
}

impl Respond for Kms {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let asked = body(request);
        let target = header(request, "x-amz-target").strip_prefix("TrentService.").unwrap();
        let mut keys = self.0.lock().unwrap();
        if target == "CreateKey" {
            let text = |name: &str| asked[name].as_str().unwrap();
            let arn = format!("arn:aws:kms:eu-central-1:111122223333:key/{:08}", keys.len());
            keys.insert(arn.clone(), (text("KeySpec").to_owned(), make(text("KeySpec"), text("KeyUsage"))));
            assert_eq!(asked["Tags"], json!([{ "TagKey": "chancery", "TagValue": "resident" }]));
            return answer(200, json!({ "KeyMetadata": { "KeyId": &arn[40..], "Arn": arn } }));
        }
        let id = asked["KeyId"].as_str().unwrap();
        let Some((spec, pair)) = keys.get(id) else { return fault("NotFoundException") };
        match target {
            "GetPublicKey" => {
                let public = BASE64.encode(&pair.public());
                answer(200, json!({ "KeyId": id, "KeySpec": spec, "PublicKey": public }))
            }
            "Sign" => {
                assert_eq!(asked["MessageType"], "DIGEST");
                match pair.sign(spec, asked["SigningAlgorithm"].as_str().unwrap(), &bytes(&asked, "Message")) {
                    Some(signature) => answer(200, json!({ "KeyId": id, "Signature": BASE64.encode(&signature) })),
                    None => fault("InvalidKeyUsageException"),
                }
            }
            "Decrypt" => {
                let Pair::Decrypts(private, _) = pair else { return fault("InvalidKeyUsageException") };
                let algorithm = match asked["EncryptionAlgorithm"].as_str().unwrap() {
                    "RSAES_OAEP_SHA_256" => &OAEP_SHA256_MGF1SHA256,
                    "RSAES_OAEP_SHA_1" => &OAEP_SHA1_MGF1SHA1,
                    other => panic!("{other}"),
                };
                let mut out = vec![0; private.min_output_size()];
                match private.decrypt(algorithm, &bytes(&asked, "CiphertextBlob"), &mut out, None) {
                    Ok(opened) => answer(200, json!({ "KeyId": id, "Plaintext": BASE64.encode(opened) })),
                    Err(_) => fault("InvalidCiphertextException"),
                }
            }
            "ScheduleKeyDeletion" => {
                assert_eq!(asked["PendingWindowInDays"], 7);
                answer(200, json!({ "KeyId": id, "DeletionDate": 1_800_000_000.5, "KeyState": "PendingDeletion" }))
            }
            other => panic!("{other}"),
        }
    }
}
