//! The contract of [`ResidentKeys`], case by case.

use aws_lc_rs::{
    digest,
    rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey},
    signature::{self, ParsedPublicKey},
};
use chancery_domain::keyring::resident::{
    Decryption, Destruction, ResidentError, ResidentId, ResidentKeys, ResidentType, ResidentUse, Signing,
};

/// What a provider offers; the rest it must refuse as [`ResidentError::Unsupported`].
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Types of keys that sign.
    pub types: &'static [ResidentType],
    /// Ways to decrypt.
    pub decryptions: &'static [Decryption],
    /// A stand-in that hashes the digest once more, as moto does with `MessageType=DIGEST`. No real provider may.
    pub hashes_again: bool,
}

/// A named test per case. `$open` is an `async fn() -> Option<(A, P, Offer)>` of the test's module: a provider, whatever must outlive
/// it, and what it offers; `None` skips. `$reopen` is an `async fn(&A) -> P` that opens the same provider again.
#[macro_export]
macro_rules! resident_keys_conformance {
    ($open:ident, $reopen:ident) => {
        $crate::resident_keys_conformance! { @cases $open;
            every_signature_verifies, two_keys_are_not_one, a_key_signs_only_as_its_type_does,
            a_digest_of_another_length_is_refused, what_was_encrypted_to_it_decrypts,
            a_key_does_only_what_it_was_made_for, a_curve_does_not_decrypt, an_unknown_key_is_not_found,
            a_destroyed_key_is_gone,
        }

        #[::tokio::test]
        async fn a_key_is_there_after_being_opened_again() {
            let Some((keep, provider, offer)) = $open().await else { return };
            let again = $reopen(&keep).await;
            $crate::resident_keys::another_handle_signs(&provider, &again, offer).await;
        }
    };
    (@cases $open:ident; $($case:ident,)+) => {
        $(#[::tokio::test]
        async fn $case() {
            let Some((_keep, provider, offer)) = $open().await else { return };
            $crate::resident_keys::$case(&provider, offer).await;
        })+
    };
}

const MESSAGE: &[u8] = b"what is signed";

/// Each type signs in each way it can, and the signature has the promised form.
pub async fn every_signature_verifies(provider: &impl ResidentKeys, offer: Offer) {
    for key_type in ResidentType::ALL.iter().copied() {
        let made = provider.generate("conformance", key_type, ResidentUse::Sign).await;
        if !offer.types.contains(&key_type) {
            assert!(matches!(made, Err(ResidentError::Unsupported)), "{key_type}");
            continue;
        }
        let id = made.unwrap();
        assert_eq!(provider.public(&id).await.unwrap().key_type, key_type);
        for signing in Signing::ALL.iter().copied().filter(|signing| signing.suits(key_type)) {
            let signed = provider.sign(&id, signing, &digest(signing)).await.unwrap();
            assert!(verifies(provider, offer, &id, signing, &signed).await, "{key_type} {signing}");
        }
    }
}

/// What one key signed does not verify under another.
pub async fn two_keys_are_not_one(provider: &impl ResidentKeys, offer: Offer) {
    let ours = provider.generate("ours", ResidentType::EcP256, ResidentUse::Sign).await.unwrap();
    let theirs = provider.generate("ours", ResidentType::EcP256, ResidentUse::Sign).await.unwrap();
    assert_ne!(ours, theirs);
    let signed = provider.sign(&ours, Signing::Es256, &digest(Signing::Es256)).await.unwrap();
    assert!(verifies(provider, offer, &ours, Signing::Es256, &signed).await);
    assert!(!verifies(provider, offer, &theirs, Signing::Es256, &signed).await);
}

/// P-256 does not sign as P-384 or RSA does.
pub async fn a_key_signs_only_as_its_type_does(provider: &impl ResidentKeys, _: Offer) {
    let id = provider.generate("conformance", ResidentType::EcP256, ResidentUse::Sign).await.unwrap();
    for signing in [Signing::Es384, Signing::Ps256, Signing::Rs256] {
        let signed = provider.sign(&id, signing, &digest(signing)).await;
        assert!(matches!(signed, Err(ResidentError::Unsupported)), "{signing}: {signed:?}");
    }
}

/// A message in place of its digest is not signed.
pub async fn a_digest_of_another_length_is_refused(provider: &impl ResidentKeys, _: Offer) {
    let id = provider.generate("conformance", ResidentType::EcP256, ResidentUse::Sign).await.unwrap();
    for wrong in [&[][..], &[7; 31], &[7; 33], &[7; 48]] {
        assert!(matches!(provider.sign(&id, Signing::Es256, wrong).await, Err(ResidentError::Refused)));
    }
}

/// What was encrypted to its public half decrypts; with a byte changed it does not.
pub async fn what_was_encrypted_to_it_decrypts(provider: &impl ResidentKeys, offer: Offer) {
    let id = provider.generate("conformance", ResidentType::Rsa2048, ResidentUse::Decrypt).await.unwrap();
    let public = provider.public(&id).await.unwrap().spki;
    for decryption in Decryption::ALL.iter().copied() {
        let sealed = encrypt(&public, decryption, b"a key");
        let opened = provider.decrypt(&id, decryption, &sealed).await;
        if !offer.decryptions.contains(&decryption) {
            assert!(matches!(opened, Err(ResidentError::Unsupported)), "{decryption}: {opened:?}");
            continue;
        }
        assert_eq!(opened.unwrap().expose(), b"a key", "{decryption}");
        let mut changed = sealed.clone();
        changed[100] ^= 1;
        let opened = provider.decrypt(&id, decryption, &changed).await;
        assert!(matches!(opened, Err(ResidentError::Refused)), "{decryption}: {opened:?}");
    }
}

/// A key that decrypts does not sign, and one that signs does not decrypt.
pub async fn a_key_does_only_what_it_was_made_for(provider: &impl ResidentKeys, offer: Offer) {
    let decrypts = provider.generate("conformance", ResidentType::Rsa2048, ResidentUse::Decrypt).await.unwrap();
    let signed = provider.sign(&decrypts, Signing::Ps256, &digest(Signing::Ps256)).await;
    assert!(matches!(signed, Err(ResidentError::Unsupported)), "{signed:?}");
    let signs = provider.generate("conformance", ResidentType::Rsa2048, ResidentUse::Sign).await.unwrap();
    let public = provider.public(&signs).await.unwrap().spki;
    for decryption in offer.decryptions.iter().copied() {
        let opened = provider.decrypt(&signs, decryption, &encrypt(&public, decryption, b"a key")).await;
        assert!(matches!(opened, Err(ResidentError::Unsupported)), "{opened:?}");
    }
}

/// Keys on curves sign and nothing else.
pub async fn a_curve_does_not_decrypt(provider: &impl ResidentKeys, _: Offer) {
    let made = provider.generate("conformance", ResidentType::EcP256, ResidentUse::Decrypt).await;
    assert!(matches!(made, Err(ResidentError::Unsupported)));
}

/// A name that the provider never gave.
pub async fn an_unknown_key_is_not_found(provider: &impl ResidentKeys, _: Offer) {
    for id in ["00000000000000000000000000000000", "11111111-2222-3333-4444-555555555555", "x"] {
        let id: ResidentId = id.parse().unwrap();
        assert!(matches!(provider.public(&id).await, Err(ResidentError::NotFound)), "{id}");
        let signed = provider.sign(&id, Signing::Es256, &digest(Signing::Es256)).await;
        assert!(matches!(signed, Err(ResidentError::NotFound)), "{id}");
        assert!(matches!(provider.destroy(&id).await, Err(ResidentError::NotFound)), "{id}");
    }
}

/// A destroyed key is not found, unless its provider waits.
pub async fn a_destroyed_key_is_gone(provider: &impl ResidentKeys, _: Offer) {
    let kept = provider.generate("conformance", ResidentType::EcP256, ResidentUse::Sign).await.unwrap();
    let id = provider.generate("conformance", ResidentType::EcP256, ResidentUse::Sign).await.unwrap();
    if provider.destroy(&id).await.unwrap() == Destruction::Done {
        assert!(matches!(provider.public(&id).await, Err(ResidentError::NotFound)));
        let signed = provider.sign(&id, Signing::Es256, &digest(Signing::Es256)).await;
        assert!(matches!(signed, Err(ResidentError::NotFound)));
    }
    provider.sign(&kept, Signing::Es256, &digest(Signing::Es256)).await.unwrap();
}

/// Opened again, it signs with the key that it made before.
pub async fn another_handle_signs(provider: &impl ResidentKeys, again: &impl ResidentKeys, offer: Offer) {
    let id = provider.generate("conformance", ResidentType::EcP256, ResidentUse::Sign).await.unwrap();
    let id: ResidentId = id.as_str().parse().unwrap();
    let signed = again.sign(&id, Signing::Es256, &digest(Signing::Es256)).await.unwrap();
    assert!(verifies(provider, offer, &id, Signing::Es256, &signed).await);
    assert_eq!(provider.kind(), again.kind());
}

fn digest(signing: Signing) -> Vec<u8> {
    let algorithm = if signing == Signing::Es384 { &digest::SHA384 } else { &digest::SHA256 };
    digest::digest(algorithm, MESSAGE).as_ref().to_vec()
}

async fn verifies(
    provider: &impl ResidentKeys,
    offer: Offer,
    id: &ResidentId,
    signing: Signing,
    signed: &[u8],
) -> bool {
    let algorithm: &'static dyn signature::VerificationAlgorithm = match signing {
        Signing::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Signing::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Signing::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Signing::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
    };
    let public = provider.public(id).await.unwrap();
    let message = if offer.hashes_again { digest(signing) } else { MESSAGE.to_vec() };
    ParsedPublicKey::new(algorithm, &public.spki).unwrap().verify_sig(&message, signed).is_ok()
}

fn encrypt(spki: &[u8], decryption: Decryption, message: &[u8]) -> Vec<u8> {
    let algorithm = match decryption {
        Decryption::RsaOaep256 => &OAEP_SHA256_MGF1SHA256,
        Decryption::RsaOaep => &OAEP_SHA1_MGF1SHA1,
    };
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(spki).unwrap()).unwrap();
    let mut out = vec![0; public.key_size_bytes()];
    public.encrypt(algorithm, message, &mut out, None).unwrap().to_vec()
}
