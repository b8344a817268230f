//! The section `[tls.acme]`: an authority that gives the listeners' certificate (RFC 8555).

use std::path::{Path, PathBuf};

use super::{
    findings::Findings,
    path, reach,
    source::{KEYS, Settings},
    text::{self, Choice, subject},
};
use crate::guarded::{Reach, tls_host};

/// The authority that is asked unless another is named.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// As many names as public authorities put into one certificate.
const MOST_DOMAINS: usize = 100;

/// How the listeners' certificate is got.
#[derive(Debug, Clone)]
pub struct AcmeConfig {
    /// The authority.
    pub directory: String,
    /// For which names.
    pub domains: Vec<String>,
    /// Whom the authority tells of trouble, such as `mailto:ops@clinic.example`.
    pub contact: Vec<String>,
    /// How the authority looks whether the names are ours.
    pub look: Look,
    /// Where everything of it is. Processes that share it share account, certificate and proofs, and one of them asks at a time.
    pub folder: PathBuf,
    /// The account that we have with the authority already: the id of a key, and the file with it.
    pub binding: Option<(String, PathBuf)>,
    /// One of the authority's kinds of certificates.
    pub profile: Option<String>,
    /// How the authority is reached.
    pub reach: Reach,
}

impl AcmeConfig {
    /// The file with the certificate and its key.
    pub fn pair(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The folder with what the authority looks for.
    pub fn proofs(&self) -> PathBuf {
        self.folder.join("proofs")
    }
}

/// How an authority looks whether a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At port 443, by a handshake of its own.
    Tls,
    /// At port 80, for a text.
    Http,
}

impl Choice for Look {
    const WORDS: &'static [(&'static str, Self)] = &[("tls-alpn-01", Self::Tls), ("http-01", Self::Http)];
}

/// The section, if there is one.
pub(super) fn read(settings: &Settings, data_dir: &Path, lenient: bool, findings: &mut Findings) -> Option<AcmeConfig> {
    let domains = text::words(settings, "tls.acme.domains");
    if domains.is_empty() {
        let mut begun = KEYS.iter().copied().filter(|key| key.starts_with("tls.acme."));
        if let Some(key) = begun.find(|key| settings.find(key).is_some()) {
            let cure = r#"write domains = ["auth.clinic.example"], or take the section out"#;
            findings.fault(key, "is set and tls.acme.domains names no host", cure);
        }
        return None;
    }
    if !cfg!(feature = "acme") {
        let cure = "use a binary that was built with it: cargo build --release --features acme";
        findings.fault("tls.acme", "is what this binary was built without", cure);
    }
    check_domains(&domains, findings);
    let directory =
        settings.find("tls.acme.directory").map_or_else(|| LETS_ENCRYPT.to_owned(), |setting| setting.text.clone());
    if !(directory.starts_with("https://") || lenient && directory.starts_with("http://")) {
        findings.fault("tls.acme.directory", "is not an https address", format!("write it as {LETS_ENCRYPT}"));
    }
    if !text::flag(settings, "tls.acme.terms_agreed", findings) {
        let cure = "read the authority's terms of service; then set tls.acme.terms_agreed = true";
        findings.fault("tls.acme.terms_agreed", "is not true", cure);
    }
    let contact = text::words(settings, "tls.acme.contact");
    if contact.iter().any(|contact| !contact.starts_with("mailto:")) {
        findings.fault("tls.acme.contact", "is no address of mail", r#"write it as ["mailto:ops@clinic.example"]"#);
    }
    if settings.find("tls.cert_file").is_some() || settings.find("tls.key_file").is_some() {
        let cure = "remove tls.cert_file and tls.key_file, or the section tls.acme";
        findings.fault("tls.acme", "is there beside files of another origin", cure);
    }
    let look = text::read(settings, "tls.acme.challenge", Look::Tls, findings);
    if look == Look::Http && settings.find("tls.redirect_listen").is_none() {
        let cure = r#"set tls.redirect_listen = "0.0.0.0:80", or leave tls.acme.challenge out"#;
        findings.fault("tls.acme.challenge", "is http-01 and nothing answers on plain HTTP", cure);
    }
    let reach = reach::read(settings, "tls.acme", lenient, findings);
    if !reach.pins.is_empty() && !reach.pins.iter().any(|pin| tls_host(&directory).is_some_and(|host| host == pin.host))
    {
        let cure = "correct the host's name as tls.acme.directory has it, or take the pins out";
        findings.fault("tls.acme.pins", "pins other hosts than that of tls.acme.directory", cure);
    }
    Some(AcmeConfig {
        directory,
        domains: domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
        contact,
        look,
        folder: path(settings, "tls.acme.folder").unwrap_or_else(|| data_dir.join("acme")),
        binding: binding(settings, findings),
        profile: settings.find("tls.acme.profile").map(|setting| setting.text.clone()),
        reach,
    })
}

fn check_domains(domains: &[String], findings: &mut Findings) {
    let key = "tls.acme.domains";
    if domains.iter().any(|domain| domain.starts_with("*.")) {
        let cure = "name each host; for a wildcard get the certificate by DNS with another tool, and name its files in tls.cert_file";
        return findings.fault(key, "has a wildcard, which authorities give for records in DNS alone", cure);
    }
    let fine = |domain: &String| {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_address = domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        domain.len() <= 253 && !is_address && domain.split('.').all(label)
    };
    if domains.len() > MOST_DOMAINS || !domains.iter().all(fine) {
        let cure = r#"write up to 100 names of hosts, such as ["auth.clinic.example", "portal.clinic.example"]"#;
        findings.fault(key, "is no list of hosts", cure);
    }
}

fn binding(settings: &Settings, findings: &mut Findings) -> Option<(String, PathBuf)> {
    match (settings.find("tls.acme.eab_key_id"), path(settings, "tls.acme.eab_key_file")) {
        (Some(id), Some(file)) => Some((id.text.clone(), file)),
        (None, None) => None,
        (Some(setting), None) => {
            let subject = subject("tls.acme.eab_key_id", &setting.origin);
            findings.fault(subject, "needs tls.acme.eab_key_file", "set both, as the authority gave them");
            None
        }
        (None, Some(_)) => {
            let cure = "set both, as the authority gave them";
            findings.fault("tls.acme.eab_key_file", "needs tls.acme.eab_key_id", cure);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> (Option<AcmeConfig>, Vec<String>) {
        let mut settings = Settings::default();
        for (key, value) in pairs {
            assert!(settings.set(key, *value, "test"), "{key} is a setting");
        }
        let mut findings = Findings::default();
        let config = read(&settings, Path::new("/data"), false, &mut findings);
        (config, findings.faults.into_iter().map(|fault| format!("{} {}", fault.subject, fault.problem)).collect())
    }

    #[test]
    fn names_and_the_terms_are_enough() {
        let (config, faults) = with(&[
            ("tls.acme.domains", "Auth.clinic.example, gate.clinic.example"),
            ("tls.acme.terms_agreed", "true"),
        ]);
        let config = config.unwrap();
        #[cfg(feature = "acme")]
        assert_eq!(faults, [""; 0]);
        #[cfg(not(feature = "acme"))]
        assert_eq!(faults, ["tls.acme is what this binary was built without"]);
        assert_eq!(config.domains, ["auth.clinic.example", "gate.clinic.example"]);
        assert_eq!((config.directory.as_str(), config.look), (LETS_ENCRYPT, Look::Tls));
        assert_eq!(config.pair(), Path::new("/data/acme/certificate.pem"));
        assert!(with(&[]).0.is_none());
    }

    #[test]
    fn what_an_authority_would_refuse_is_refused_here() {
        for (key, value, fault) in [
            ("tls.acme.domains", "*.clinic.example", "has a wildcard"),
            ("tls.acme.domains", "10.0.0.1", "is no list of hosts"),
            ("tls.acme.domains", "a b", "is no list of hosts"),
            ("tls.acme.domains", "-a.example", "is no list of hosts"),
            ("tls.acme.directory", "http://ca.example/directory", "is not an https address"),
            ("tls.acme.terms_agreed", "false", "is not true"),
            ("tls.acme.contact", "ops@clinic.example", "is no address of mail"),
            ("tls.acme.challenge", "dns-01", "has a value that is not known"),
            ("tls.acme.challenge", "http-01", "nothing answers on plain HTTP"),
            ("tls.acme.eab_key_id", "kid-1", "needs tls.acme.eab_key_file"),
            ("tls.acme.eab_key_file", "/x", "needs tls.acme.eab_key_id"),
            ("tls.cert_file", "/x", "is there beside files of another origin"),
        ] {
            let pairs = [("tls.acme.domains", "auth.clinic.example"), ("tls.acme.terms_agreed", "true"), (key, value)];
            let (_, faults) = with(&pairs);
            assert!(faults.iter().any(|found| found.contains(fault)), "{key} = {value}: {faults:?}");
        }
    }

    #[test]
    fn pins_hold_for_the_authority_that_is_asked() {
        let pin = |host: &str, byte: u8| format!("{host} sha256/{}", data_encoding::BASE64.encode(&[byte; 32]));
        let faults = |host: &str| {
            let pins = [pin(host, 1), pin(host, 2)].join(",");
            let (_, faults) = with(&[
                ("tls.acme.domains", "auth.clinic.example"),
                ("tls.acme.terms_agreed", "true"),
                ("tls.acme.directory", "https://ca.clinic.example/directory"),
                ("tls.acme.ca_file", "/ca.pem"),
                ("tls.acme.pins", &pins),
            ]);
            faults.into_iter().filter(|fault| fault.starts_with("tls.acme.pins")).collect::<Vec<_>>()
        };
        assert_eq!(faults("ca.clinic.example"), [""; 0]);
        assert_eq!(faults("ca.clinic.exampel"), ["tls.acme.pins pins other hosts than that of tls.acme.directory"]);
    }

    #[test]
    fn a_section_without_names_is_refused_whatever_it_says() {
        for key in KEYS.iter().copied().filter(|key| key.starts_with("tls.acme.")) {
            let (config, faults) = with(&[(key, "")]);
            assert!(config.is_none(), "{key}");
            assert_eq!(faults, [format!("{key} is set and tls.acme.domains names no host")]);
        }
    }
}
