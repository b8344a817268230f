//! What the column holds now: plaintext, or what another system sealed.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use chancery_crypto::{
    Key256, Phi, Secret,
    legacy::{FernetKey, FernetKeys, GcmKey, HkdfHash, KeyDerivation, LegacyError},
    sha256_hex,
};
use clap::{Args, ValueEnum};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use super::private_text;

/// How the column is read.
#[derive(Debug, Args)]
pub(super) struct LegacyArgs {
    /// What the column holds now
    #[arg(long, value_enum, default_value = "plaintext")]
    legacy: Form,
    /// A file of mode 600. fernet: keys, one per line, the newest first. gcm: the 32-byte master key in hex or base64. gcm-wrapped: the
    /// Fernet keys that wrap the data key
    #[arg(long, value_name = "FILE")]
    legacy_key_file: Option<PathBuf>,
    /// gcm-wrapped: a file of mode 600 with the wrapped data key, a Fernet token
    #[arg(long, value_name = "FILE")]
    legacy_data_key_file: Option<PathBuf>,
    /// gcm, gcm-wrapped: HKDF's info; {row} stands for the row's id. Without it the key is used as it is
    #[arg(long, value_name = "TEXT")]
    legacy_info: Option<String>,
    /// gcm, gcm-wrapped: HKDF's salt in hex
    #[arg(long, value_name = "HEX", default_value = "")]
    legacy_salt: String,
    /// gcm, gcm-wrapped: HKDF's hash
    #[arg(long, value_enum, default_value = "sha256")]
    legacy_hkdf: Hkdf,
    /// gcm, gcm-wrapped: the associated data; {row} stands for the row's id
    #[arg(long, value_name = "TEXT", default_value = "")]
    legacy_aad: String,
    /// Take values that are not of the form for plaintext: an older system without its key wrote some
    #[arg(long)]
    legacy_mixed: bool,
    /// What the column of terms holds now, if it exists already
    #[arg(long, value_enum, default_value = "none")]
    legacy_hash: HashForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Plaintext
    Plaintext,
    /// Fernet tokens, under one of several keys
    Fernet,
    /// base64 of nonce, ciphertext and tag: AES-256-GCM under a master key, or under an HKDF of it
    Gcm,
    /// The same under a data key that is wrapped in a Fernet token
    GcmWrapped,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Hkdf {
    Sha256,
    Sha384,
    Sha512,
}

/// A search hash of before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum HashForm {
    /// The column is new
    None,
    /// SHA-256 of the plaintext, in hex
    Sha256,
    /// SHA-256 of the plaintext in lower case, in hex
    Sha256Lower,
}

impl HashForm {
    pub(super) fn of(self, text: &Phi<String>) -> Option<String> {
        match self {
            Self::None => None,
            Self::Sha256 => Some(sha256_hex(text.expose().as_bytes())),
            Self::Sha256Lower => Some(sha256_hex(text.expose().to_lowercase().as_bytes())),
        }
    }
}

enum Source {
    Plaintext,
    Fernet(FernetKeys),
    Gcm { master: Secret<Vec<u8>>, info: Option<String>, salt: Vec<u8>, hash: HkdfHash, aad: String },
}

/// Reads what the column holds.
pub(super) struct Reader {
    source: Source,
    mixed: bool,
    pub(super) hash: HashForm,
}

impl Reader {
    pub(super) fn of(args: &LegacyArgs) -> Result<Self> {
        let key_file = || args.legacy_key_file.as_deref().context("this form needs --legacy-key-file");
        let source = match args.legacy {
            Form::Plaintext => Source::Plaintext,
            Form::Fernet => Source::Fernet(fernet_keys(&private_text(key_file()?)?)?),
            Form::Gcm => args.gcm(key_bytes(&private_text(key_file()?)?)?)?,
            Form::GcmWrapped => {
                let keys = fernet_keys(&private_text(key_file()?)?)?;
                let file = args.legacy_data_key_file.as_deref().context("this form needs --legacy-data-key-file")?;
                let key = keys.open_data_key(&private_text(file)?).context("the wrapped data key")?;
                args.gcm(Secret::new(key.expose().to_vec()))?
            }
        };
        Ok(Self { source, mixed: args.legacy_mixed, hash: args.legacy_hash })
    }

    /// The plaintext of a stored value; `None` if it does not open.
    pub(super) fn read(&self, row: &str, stored: &Phi<String>) -> Option<Phi<String>> {
        let text = stored.expose();
        let opened = match &self.source {
            Source::Plaintext => return Some(Phi::new(text.clone())),
            Source::Fernet(keys) => keys.open(text),
            Source::Gcm { master, info, salt, hash, aad } => {
                let of_row = |template: &str| template.replace("{row}", row);
                let key = match info {
                    Some(info) => {
                        let derivation = KeyDerivation { hash: *hash, salt, info: &of_row(info).into_bytes() };
                        GcmKey::derive(master.expose(), &derivation)
                    }
                    None => Key256::from_slice(master.expose())
                        .ok_or(LegacyError::NotThisForm)
                        .and_then(|key| GcmKey::from_key(&key)),
                };
                key.and_then(|key| key.open(text, of_row(aad).as_bytes()))
            }
        };
        match opened {
            Ok(bytes) => String::from_utf8(bytes.expose().clone()).ok().map(Phi::new),
            Err(LegacyError::NotThisForm) if self.mixed => Some(Phi::new(text.clone())),
            // Of the right form and not opened: a wrong key or a changed byte, and never plaintext.
            Err(LegacyError::NotThisForm | LegacyError::WrongKeyOrTampered) => None,
        }
    }
}

impl LegacyArgs {
    fn gcm(&self, master: Secret<Vec<u8>>) -> Result<Source> {
        let salt = HEXLOWER_PERMISSIVE.decode(self.legacy_salt.as_bytes()).context("--legacy-salt is not hex")?;
        if self.legacy_info.is_none() && !salt.is_empty() {
            bail!("--legacy-salt is for HKDF, which needs --legacy-info too (it may be empty)");
        }
        let hash = match self.legacy_hkdf {
            Hkdf::Sha256 => HkdfHash::Sha256,
            Hkdf::Sha384 => HkdfHash::Sha384,
            Hkdf::Sha512 => HkdfHash::Sha512,
        };
        Ok(Source::Gcm { master, info: self.legacy_info.clone(), salt, hash, aad: self.legacy_aad.clone() })
    }
}

fn fernet_keys(text: &str) -> Result<FernetKeys> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Option<Vec<FernetKey>> = lines.map(FernetKey::from_text).collect();
    match keys {
        Some(keys) if !keys.is_empty() => Ok(FernetKeys::from(keys)),
        _ => bail!("the file holds no Fernet keys, one per line"),
    }
}

fn key_bytes(text: &str) -> Result<Secret<Vec<u8>>> {
    let hex = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().filter(|bytes| bytes.len() == 32);
    let bytes = hex.or_else(|| BASE64.decode(text.as_bytes()).ok().filter(|bytes| bytes.len() == 32));
    bytes.map(Secret::new).context("the file holds no 32-byte key in hex or base64")
}
