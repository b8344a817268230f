//! The module itself: loaded, logged in, with the key that wraps. Lives in the child.

use chancery_crypto::{Random as _, SystemRandom};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use zeroize::Zeroizing;

use super::{Fault, Pkcs11Settings};
use crate::private_file;

const IV: usize = 12;
const TAG: usize = 16;
const PIN_MAX: usize = 1024;

/// A session with a token.
pub(super) struct Module {
    pub(super) session: Session,
    key: ObjectHandle,
    /// Unloading it ends the session.
    _context: Pkcs11,
}

impl Module {
    /// Logs in and finds the key that wraps.
    pub(super) fn open(settings: &Pkcs11Settings) -> Result<Self, Fault> {
        let (context, session) = log_in(settings)?;
        let key = find(&session, settings)?.ok_or_else(|| {
            Fault::Misconfigured(format!(
                "token `{}` has no AES key `{}`; create it first",
                settings.token, settings.key
            ))
        })?;
        check(&session, key, settings)?;
        Ok(Self { session, key, _context: context })
    }

    /// Logs in and makes the key that wraps; refuses if there is one of that label.
    pub(super) fn create(settings: &Pkcs11Settings) -> Result<Self, Fault> {
        let (context, session) = log_in(settings)?;
        if find(&session, settings)?.is_some() {
            return Err(Fault::Misconfigured(format!(
                "token `{}` has a key `{}` already and it is not replaced",
                settings.token, settings.key
            )));
        }
        let template = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::ValueLen(32.into()),
            Attribute::Label(settings.key.as_bytes().to_vec()),
        ];
        let key = session.generate_key(&Mechanism::AesKeyGen, &template).map_err(fault)?;
        check(&session, key, settings)?;
        Ok(Self { session, key, _context: context })
    }

    /// AES-256-GCM in the token: IV, ciphertext, tag.
    pub(super) fn encrypt(&self, plaintext: &[u8], associated_data: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut iv = [0; IV];
        SystemRandom.fill(&mut iv).map_err(|error| Fault::Unavailable(error.to_string()))?;
        // HSMs in FIPS mode draw the IV themselves and write it here.
        let parameters = GcmParams::new(&mut iv, associated_data, 128.into()).map_err(fault)?;
        let mechanism = Mechanism::AesGcm(parameters);
        let sealed = self.session.encrypt(&mechanism, self.key, plaintext).map_err(fault)?;
        drop(mechanism);
        if sealed.len() != plaintext.len() + TAG {
            return Err(Fault::Misconfigured("the module's AES-GCM does not append a tag of 16 bytes".to_owned()));
        }
        Ok([iv.as_slice(), &sealed].concat())
    }

    /// Opens what [`Self::encrypt`] gave.
    pub(super) fn decrypt(&self, sealed: &[u8], associated_data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let (iv, sealed) = sealed.split_first_chunk::<IV>().ok_or(Fault::Refused)?;
        let mut iv = *iv;
        let parameters = GcmParams::new(&mut iv, associated_data, 128.into()).map_err(fault)?;
        let opened = self.session.decrypt(&Mechanism::AesGcm(parameters), self.key, sealed);
        opened.map(Zeroizing::new).map_err(refused)
    }
}

fn log_in(settings: &Pkcs11Settings) -> Result<(Pkcs11, Session), Fault> {
    let context = Pkcs11::new(&settings.module)
        .map_err(|error| Fault::Misconfigured(format!("cannot load {}: {error}", settings.module.display())))?;
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(fault)?;
    let slot = slot(&context, &settings.token)?;
    let token = context.get_token_info(slot).map_err(fault)?;
    if token.user_pin_locked() {
        return Err(Fault::Pin(format!("the PIN of token `{}` is locked", settings.token)));
    }
    let pin =
        private_file::read(&settings.pin_file, PIN_MAX).map_err(|error| Fault::Misconfigured(error.to_string()))?;
    let pin = std::str::from_utf8(&pin)
        .map_err(|_| Fault::Misconfigured(format!("{} is not UTF-8", settings.pin_file.display())))?;
    let pin = AuthPin::new(pin.trim_end_matches(['\r', '\n']).into());
    let session = context.open_rw_session(slot).map_err(fault)?;
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok((context, session)),
        Err(Error::Pkcs11(
            rv @ (RvError::PinIncorrect
            | RvError::PinLocked
            | RvError::PinLenRange
            | RvError::PinInvalid
            | RvError::PinExpired),
            _,
        )) => Err(Fault::Pin(format!(
            "token `{}` does not take the PIN of {} ({rv:?}); it is not tried again until that file changes",
            settings.token,
            settings.pin_file.display()
        ))),
        Err(error) => Err(fault(error)),
    }
}

/// The one slot whose token has this label.
fn slot(context: &Pkcs11, label: &str) -> Result<Slot, Fault> {
    let mut found = Vec::new();
    for slot in context.get_slots_with_initialized_token().map_err(fault)? {
        if context.get_token_info(slot).map_err(fault)?.label() == label {
            found.push(slot);
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        // A network HSM that is off shows no slots.
        [] => Err(Fault::Unavailable(format!("the module shows no token `{label}`"))),
        _ => Err(Fault::Misconfigured(format!("the module shows several tokens `{label}`; give each its own label"))),
    }
}

fn find(session: &Session, settings: &Pkcs11Settings) -> Result<Option<ObjectHandle>, Fault> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Label(settings.key.as_bytes().to_vec()),
    ];
    match session.find_objects(&template).map_err(fault)?.as_slice() {
        [] => Ok(None),
        [key] => Ok(Some(*key)),
        _ => Err(Fault::Misconfigured(format!("token `{}` has several keys `{}`", settings.token, settings.key))),
    }
}

/// The key must be AES-256 and unable to leave the token.
fn check(session: &Session, key: ObjectHandle, settings: &Pkcs11Settings) -> Result<(), Fault> {
    let wanted = [AttributeType::Extractable, AttributeType::Sensitive, AttributeType::ValueLen];
    let seen = session.get_attributes(key, &wanted).map_err(fault)?;
    let stays = seen.contains(&Attribute::Extractable(false)) && seen.contains(&Attribute::Sensitive(true));
    if !stays {
        return Err(Fault::Misconfigured(format!("key `{}` can be read out of its token; make another", settings.key)));
    }
    if !seen.contains(&Attribute::ValueLen(32.into())) {
        return Err(Fault::Misconfigured(format!("key `{}` is not AES-256", settings.key)));
    }
    Ok(())
}

/// What an error means, wherever it comes from.
pub(super) fn fault(error: Error) -> Fault {
    let Error::Pkcs11(rv, function) = &error else { return Fault::Misconfigured(error.to_string()) };
    let text = format!("{function}: {rv:?}");
    match rv {
        RvError::MechanismInvalid | RvError::MechanismParamInvalid | RvError::FunctionNotSupported => {
            Fault::Unsupported
        }
        RvError::KeyTypeInconsistent | RvError::KeyFunctionNotPermitted => Fault::Unsupported,
        RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid => Fault::NotFound,
        RvError::AttributeValueInvalid | RvError::TemplateInconsistent | RvError::TemplateIncomplete => {
            Fault::Misconfigured(text)
        }
        _ => Fault::Unavailable(text),
    }
}

/// What an error of decrypting means. Modules disagree on which one a wrong tag is (SoftHSM: `CKR_GENERAL_ERROR`), so all are but
/// those of the device and the session.
pub(super) fn refused(error: Error) -> Fault {
    match &error {
        Error::Pkcs11(
            RvError::DeviceError
            | RvError::DeviceMemory
            | RvError::DeviceRemoved
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SessionClosed
            | RvError::SessionHandleInvalid
            | RvError::UserNotLoggedIn
            | RvError::HostMemory
            | RvError::CryptokiNotInitialized
            | RvError::OperationActive
            | RvError::ObjectHandleInvalid
            | RvError::KeyHandleInvalid,
            _,
        )
        | Error::Pkcs11(_, Function::DecryptInit) => fault(error),
        _ => Fault::Refused,
    }
}
