//! An HSM by PKCS#11.
//!
//! The module is somebody else's C code. It is loaded by a child process, never by the server: a module that hangs, crashes or
//! writes where it should not takes the child with it, and [`Worker`] starts another.
//!
//! - [`Worker`] is the server's side. It starts a command, talks to it over stdin and stdout, and kills it when it is late.
//! - [`serve`] is what that command runs.

use std::path::PathBuf;

use chancery_domain::keyring::{ProviderError, resident::ResidentError};

mod attributes;
mod module;
mod protocol;
mod resident;
mod serve;
mod spki;
mod worker;

pub use serve::serve;
pub use worker::{Worker, WorkerCommand};

/// Which key of which token of which module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11Settings {
    /// The module: a shared library, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// The token's label. Slots are renumbered by some modules, so they are not asked for.
    pub token: String,
    /// The label of the AES-256 key that wraps.
    pub key: String,
    /// A file of mode 600 with the user's PIN.
    pub pin_file: PathBuf,
}

impl Pkcs11Settings {
    /// As a URI ([RFC 7512](https://www.rfc-editor.org/rfc/rfc7512)).
    fn name(&self) -> String {
        format!("pkcs11:token={};object={}", encode(&self.token), encode(&self.key))
    }
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// Why the module did not do it; travels from the child to the server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    /// The bytes do not open.
    #[error("refused")]
    Refused,
    /// The device, the session or the child is in trouble.
    #[error("{0}")]
    Unavailable(String),
    /// Somebody has to change something.
    #[error("{0}")]
    Misconfigured(String),
    /// The token does not take the PIN. Trying again may lock it.
    #[error("{0}")]
    Pin(String),
    /// No such key.
    #[error("no such key")]
    NotFound,
    /// Not with this module or this key.
    #[error("not supported")]
    Unsupported,
}

impl From<Fault> for ProviderError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused => Self::Refused,
            Fault::Unavailable(_) => Self::Unavailable(Box::new(fault)),
            Fault::Misconfigured(text) | Fault::Pin(text) => Self::Misconfigured(text),
            Fault::NotFound => Self::Misconfigured("the token has no such key".to_owned()),
            Fault::Unsupported => Self::Misconfigured("the module does not do AES-GCM with this key".to_owned()),
        }
    }
}

impl From<Fault> for ResidentError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused => Self::Refused,
            Fault::Unavailable(_) => Self::Unavailable(Box::new(fault)),
            Fault::Misconfigured(text) | Fault::Pin(text) => Self::Misconfigured(text),
            Fault::NotFound => Self::NotFound,
            Fault::Unsupported => Self::Unsupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_a_uri_that_gives_no_pin() {
        let settings = Pkcs11Settings {
            module: "/m.so".into(),
            token: "my token".to_owned(),
            key: "root/ä".to_owned(),
            pin_file: "/pin".into(),
        };
        assert_eq!(settings.name(), "pkcs11:token=my%20token;object=root%2F%C3%A4");
    }
}
