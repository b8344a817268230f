//! For whom passkeys are, and which are accepted.

use crate::time::Timestamp;

codes! {
    /// What happens when an authenticator counts no further than before: there may be two of it.
    pub enum SignCountPolicy {
        /// The login is refused; an event is written.
        Refuse = "refuse",
        /// An event is written.
        Record = "record",
    }
}

/// For whom passkeys are: what browsers and authenticators bind them to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    name: String,
    origins: Vec<String>,
    attestation: bool,
    sign_counts: SignCountPolicy,
}

/// Why there is no such relying party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotARelyingParty {
    /// The id is no domain.
    #[error("its id is no domain name in lower case")]
    Id,
    /// No origins.
    #[error("it has no origins")]
    NoOrigins,
    /// An origin is not one, or is not encrypted.
    #[error("an origin is not written as https://host or https://host:port (http for localhost)")]
    Origin,
    /// An origin's host is neither the id nor beneath it: no browser would use it.
    #[error("an origin's host is neither its id nor ends in it")]
    Elsewhere,
}

impl RelyingParty {
    /// With this id, and exactly these origins.
    ///
    /// # Errors
    ///
    /// [`NotARelyingParty`].
    pub fn new(id: &str, name: &str, origins: Vec<String>) -> Result<Self, NotARelyingParty> {
        if !is_domain(id) {
            return Err(NotARelyingParty::Id);
        }
        if origins.is_empty() {
            return Err(NotARelyingParty::NoOrigins);
        }
        for origin in &origins {
            let host = host(origin).ok_or(NotARelyingParty::Origin)?;
            let beneath = host.strip_suffix(id).is_some_and(|before| before.is_empty() || before.ends_with('.'));
            if !beneath {
                return Err(NotARelyingParty::Elsewhere);
            }
        }
        let (id, name) = (id.to_owned(), name.to_owned());
        Ok(Self { id, name, origins, attestation: false, sign_counts: SignCountPolicy::Refuse })
    }

    /// That wants to know who made an authenticator.
    #[must_use]
    pub fn with_attestation(mut self) -> Self {
        self.attestation = true;
        self
    }

    /// That does this with authenticators that count no further.
    #[must_use]
    pub fn with_sign_counts(mut self, policy: SignCountPolicy) -> Self {
        self.sign_counts = policy;
        self
    }

    /// The domain that passkeys are bound to.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people see.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The origins of pages that may use them, exactly as browsers write them.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// Whether the maker of an authenticator is asked for.
    pub fn wants_attestation(&self) -> bool {
        self.attestation
    }

    /// What is done about authenticators that count no further.
    pub fn sign_counts(&self) -> SignCountPolicy {
        self.sign_counts
    }
}

/// Whether an authenticator counted on (WebAuthn §7.2 step 22). Those that do not count say 0 each time.
pub(super) fn counted_on(stored: u32, shown: u32) -> bool {
    shown > stored || (stored == 0 && shown == 0)
}

/// Until when a ceremony begun `now` may end.
pub(super) fn end(now: Timestamp) -> Timestamp {
    now.plus_seconds(super::CHALLENGE_SECONDS)
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_no_number = text.rsplit('.').next().is_some_and(|last| last.bytes().any(|byte| !byte.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && last_is_no_number
}

/// The host of an origin as browsers write it: no path, no default port; `http` for this machine alone.
fn host(origin: &str) -> Option<&str> {
    let (scheme, rest) = origin.split_once("://")?;
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let local = host == "localhost" || host.ends_with(".localhost");
    let default = match scheme {
        "https" => "443",
        "http" if local => "80",
        _ => return None,
    };
    let port_is_fine = port.is_none_or(|port| {
        port != default && !port.starts_with('0') && !port.starts_with('+') && port.parse::<u16>().is_ok()
    });
    (is_domain(host) && port_is_fine).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_exactly_and_lie_beneath_the_id() {
        let made = |id: &str, origin: &str| RelyingParty::new(id, "Clinic", vec![origin.to_owned()]).map(|_| ());
        for (id, origin) in [
            ("clinic.test", "https://clinic.test"),
            ("clinic.test", "https://app.clinic.test:8443"),
            ("localhost", "http://localhost:8700"),
            ("localhost", "https://localhost"),
        ] {
            assert_eq!(made(id, origin), Ok(()), "{id} {origin}");
        }
        for origin in [
            "clinic.test",
            "http://clinic.test",
            "https://clinic.test/",
            "https://clinic.test/app",
            "https://clinic.test:443",
            "https://clinic.test:",
            "https://clinic.test:08443",
            "https://clinic.test:99999",
            "https://Clinic.test",
            "https://a@clinic.test",
            "https://",
            "ftp://clinic.test",
        ] {
            assert_eq!(made("clinic.test", origin), Err(NotARelyingParty::Origin), "{origin}");
        }
        for origin in ["https://badclinic.test", "https://clinic.test.evil.test", "https://test"] {
            assert_eq!(made("clinic.test", origin), Err(NotARelyingParty::Elsewhere), "{origin}");
        }
        for id in ["", "127.0.0.1", "Clinic.test", "-a.test", "a..test", "https://clinic.test"] {
            assert_eq!(made(id, "https://clinic.test"), Err(NotARelyingParty::Id), "{id}");
        }
        assert_eq!(RelyingParty::new("clinic.test", "", Vec::new()), Err(NotARelyingParty::NoOrigins));
    }

    #[test]
    fn a_count_goes_up_or_is_none() {
        for (stored, shown, expected) in
            [(0, 0, true), (0, 1, true), (7, 8, true), (7, 7, false), (7, 6, false), (7, 0, false)]
        {
            assert_eq!(counted_on(stored, shown), expected, "{stored} {shown}");
        }
    }
}
