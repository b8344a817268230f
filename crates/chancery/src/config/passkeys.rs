//! For whom passkeys are, and whose authenticators are registered.

use chancery_domain::passkeys::{NotARelyingParty, RelyingParty, SignCountPolicy};

use super::{
    findings::Findings,
    source::Settings,
    text::{self, Choice, subject},
};

/// Passkeys, where they are offered.
#[derive(Debug, Clone)]
pub struct PasskeyConfig {
    /// What they are bound to.
    pub party: RelyingParty,
    /// The makers' certificates in PEM and the models that are registered; any if there are none.
    pub makers: Option<(String, Vec<String>)>,
    /// Whether somebody wrote so; else they follow from the public address.
    pub explicit: bool,
}

/// Whether the makers of authenticators are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attestation {
    None,
    Direct,
}

impl Choice for Attestation {
    const WORDS: &'static [(&'static str, Self)] = &[("none", Self::None), ("direct", Self::Direct)];
}

impl Choice for SignCountPolicy {
    const WORDS: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("record", Self::Record)];
}

/// The settings under `passkeys`. Without an id they are bound to the host of the public address, if it has a name.
pub(super) fn read(
    settings: &Settings,
    public_url: &str,
    name: &str,
    findings: &mut Findings,
) -> Option<PasskeyConfig> {
    let id = settings.find("passkeys.rp_id");
    let explicit = id.is_some();
    let (origin, host) = origin_of(public_url)?;
    let id = id.map_or(host, |setting| setting.text.trim().to_owned());
    let name = settings.find("passkeys.name").map_or_else(|| name.to_owned(), |setting| setting.text.clone());
    let origins = text::words(settings, "passkeys.origins");
    let origins = if origins.is_empty() { vec![origin] } else { origins };
    let party = match RelyingParty::new(&id, &name, origins) {
        Ok(party) => party,
        // An address without a name has no passkeys; nobody asked for them.
        Err(NotARelyingParty::Id | NotARelyingParty::Origin)
            if !explicit && settings.find("passkeys.origins").is_none() =>
        {
            return None;
        }
        Err(error) => {
            let key = if error == NotARelyingParty::Id { "passkeys.rp_id" } else { "passkeys.origins" };
            let origin = settings.find(key).map_or("from server.public_url", |setting| setting.origin.as_str());
            let cure = "write rp_id = \"example.org\" and origins = [\"https://app.example.org\"]";
            findings.fault(subject(key, origin), error.to_string(), cure);
            return None;
        }
    };
    let policy = text::read(settings, "passkeys.sign_count", SignCountPolicy::Refuse, findings);
    let makers = match text::read(settings, "passkeys.attestation", Attestation::None, findings) {
        Attestation::None => None,
        Attestation::Direct => Some(makers(settings, findings)?),
    };
    Some(PasskeyConfig {
        party: party.with_sign_counts(policy),
        makers,
        explicit: explicit || makers_are_set(settings),
    })
}

fn makers_are_set(settings: &Settings) -> bool {
    settings.find("passkeys.attestation").is_some()
}

fn makers(settings: &Settings, findings: &mut Findings) -> Option<(String, Vec<String>)> {
    let models = text::words(settings, "passkeys.aaguids");
    if models.is_empty() {
        let cure = "name the models, such as aaguids = [\"cb69481e-8ff7-4039-93ec-0a2729a154a8\"], or set attestation = \"none\"";
        findings.fault("passkeys.aaguids", "is empty though attestation is direct", cure);
        return None;
    }
    let Some(file) = settings.find("passkeys.attestation_roots_file") else {
        let cure = "name a PEM file with the certificates of the makers, or set passkeys.attestation = \"none\"";
        findings.fault("passkeys.attestation_roots_file", "is not set though attestation is direct", cure);
        return None;
    };
    match std::fs::read_to_string(&file.text) {
        Ok(pem) => Some((pem, models)),
        Err(error) => {
            let what = subject("passkeys.attestation_roots_file", &file.origin);
            findings.fault(what, format!("cannot be read: {error}"), "correct the path");
            None
        }
    }
}

/// The origin and the host of an address. This machine goes by its name: an address cannot have passkeys.
fn origin_of(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?.to_ascii_lowercase();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, Some(port)),
        _ => (authority.as_str(), None),
    };
    let host = if matches!(host, "127.0.0.1" | "[::1]") { "localhost" } else { host };
    let default = matches!((scheme, port), ("https", Some("443")) | ("http", Some("80")));
    let port = port.filter(|_| !default).map(|port| format!(":{port}")).unwrap_or_default();
    Some((format!("{scheme}://{host}{port}"), host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(url: &str, keys: &[(&str, &str)]) -> (Option<PasskeyConfig>, Vec<String>) {
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        for (key, value) in keys {
            assert!(settings.set(key, *value, "test"), "{key}");
        }
        let read = read(&settings, url, "chancery", &mut findings);
        (read, findings.faults.iter().map(|fault| fault.subject.clone()).collect())
    }

    #[test]
    fn they_follow_from_the_public_address() {
        for (url, id, origin) in [
            ("https://Auth.clinic.test", "auth.clinic.test", "https://auth.clinic.test"),
            ("https://auth.clinic.test:443/x", "auth.clinic.test", "https://auth.clinic.test"),
            ("http://127.0.0.1:8700", "localhost", "http://localhost:8700"),
            ("http://[::1]:8700", "localhost", "http://localhost:8700"),
        ] {
            let (read, faults) = read_of(url, &[]);
            let read = read.unwrap();
            assert_eq!((read.party.id(), read.party.origins(), read.explicit), (id, &[origin.to_owned()][..], false));
            assert!(faults.is_empty() && read.makers.is_none());
            assert_eq!(read.party.sign_counts(), SignCountPolicy::Refuse);
        }
        for url in ["http://192.0.2.7:8700", "http://clinic.test", "https://[2001:db8::1]"] {
            let (read, faults) = read_of(url, &[]);
            assert!(read.is_none() && faults.is_empty(), "{url}");
        }
    }

    #[test]
    fn what_is_written_is_taken_or_refused() {
        let id = ("passkeys.rp_id", "clinic.test");
        let origins = ("passkeys.origins", "https://app.clinic.test,https://clinic.test:8443");
        let (read, faults) = read_of("https://api.clinic.test", &[id, origins, ("passkeys.sign_count", "record")]);
        let read = read.unwrap();
        assert!(faults.is_empty() && read.explicit);
        assert_eq!(read.party.origins(), ["https://app.clinic.test", "https://clinic.test:8443"]);
        assert_eq!(read.party.sign_counts(), SignCountPolicy::Record);
        for (keys, fault) in [
            (vec![("passkeys.rp_id", "192.0.2.7")], "passkeys.rp_id (test)"),
            (vec![("passkeys.rp_id", "other.test")], "passkeys.origins (from server.public_url)"),
            (vec![id, ("passkeys.origins", "https://clinic.test/app")], "passkeys.origins (test)"),
            (vec![id, ("passkeys.attestation", "direct")], "passkeys.aaguids"),
            (
                vec![id, ("passkeys.attestation", "direct"), ("passkeys.aaguids", "x")],
                "passkeys.attestation_roots_file",
            ),
            (vec![id, ("passkeys.attestation", "often")], "passkeys.attestation (test)"),
        ] {
            assert_eq!(read_of("https://clinic.test", &keys).1, [fault], "{keys:?}");
        }
    }
}
