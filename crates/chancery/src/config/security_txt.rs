//! The section `[security_txt]`: whom to tell of a weakness (RFC 9116).

use chancery_domain::{Clock as _, Timestamp};
use chancery_middleware::SecurityTxt;

use crate::clock::SystemClock;

use super::{
    findings::Findings,
    source::Settings,
    text::{self, subject},
};

/// The file must be looked at again within this time (RFC 9116 §2.5.5).
const LONGEST_DAYS: i64 = 366;
/// An operator is told so long before the end.
const SOON_DAYS: i64 = 30;

/// The fields that name one address each, besides contacts and keys.
const ADDRESSES: [(&str, &str); 4] = [
    ("security_txt.canonical", "Canonical"),
    ("security_txt.policy", "Policy"),
    ("security_txt.acknowledgments", "Acknowledgments"),
    ("security_txt.hiring", "Hiring"),
];

/// Reads the section, as of now.
pub(super) fn read(settings: &Settings, public_url: &str, findings: &mut Findings) -> Option<SecurityTxt> {
    read_at(settings, public_url, SystemClock.now(), findings)
}

fn read_at(settings: &Settings, public_url: &str, now: Timestamp, findings: &mut Findings) -> Option<SecurityTxt> {
    let contacts = text::words(settings, "security_txt.contact");
    let others = ["expires", "encryption", "preferred_languages", "canonical", "policy", "acknowledgments", "hiring"];
    let any = others.iter().any(|key| settings.find(&format!("security_txt.{key}")).is_some());
    if contacts.is_empty() {
        if any {
            let cure = "write contact = [\"mailto:security@clinic.example\"], the best way first";
            findings.fault("security_txt.contact", "is missing", cure);
        }
        return None;
    }
    let before = findings.faults.len();
    let mut lines = Vec::new();
    for contact in &contacts {
        let fine =
            ["mailto:", "https://", "tel:"].iter().any(|scheme| contact.starts_with(scheme)) && is_plain(contact);
        if !fine {
            let cure = "write mailto:, https:// or tel: before it";
            findings.fault("security_txt.contact", "is no address", cure);
        }
        lines.push(format!("Contact: {contact}"));
    }
    let expires = expires(settings, now, findings);
    lines.extend(expires.map(|expires| format!("Expires: {expires}")));
    for key in text::words(settings, "security_txt.encryption") {
        let fine = ["https://", "dns:", "openpgp4fpr:"].iter().any(|scheme| key.starts_with(scheme)) && is_plain(&key);
        if !fine {
            findings.fault("security_txt.encryption", "is no address of a key", "write https://, dns: or openpgp4fpr:");
        }
        lines.push(format!("Encryption: {key}"));
    }
    for (key, field) in ADDRESSES {
        let Some(setting) = settings.find(key) else { continue };
        if !setting.text.starts_with("https://") || !is_plain(&setting.text) {
            findings.fault(subject(key, &setting.origin), "is no https address", "write https://…");
        }
        lines.push(format!("{field}: {}", setting.text));
    }
    if settings.find("security_txt.canonical").is_none() && public_url.starts_with("https://") {
        lines.push(format!("Canonical: {public_url}/.well-known/security.txt"));
    }
    if let Some(languages) = settings.find("security_txt.preferred_languages") {
        if !languages.text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ',' | ' ')) {
            findings.fault("security_txt.preferred_languages", "is no list of languages", "write \"en, de\"");
        }
        lines.push(format!("Preferred-Languages: {}", languages.text));
    }
    let expires = expires.filter(|_| findings.faults.len() == before)?;
    Some(SecurityTxt { text: (lines.join("\n") + "\n").into(), expires })
}

fn expires(settings: &Settings, now: Timestamp, findings: &mut Findings) -> Option<Timestamp> {
    let cure = "write a moment within a year, such as expires = \"2027-06-30T00:00:00Z\"";
    let Some(setting) = settings.find("security_txt.expires") else {
        findings.fault("security_txt.expires", "is missing", cure);
        return None;
    };
    let subject = subject("security_txt.expires", &setting.origin);
    let Ok(expires) = setting.text.parse::<Timestamp>() else {
        findings.fault(subject, "is no moment", cure);
        return None;
    };
    let days = (expires.as_seconds() - now.as_seconds()).div_euclid(86_400);
    if days > LONGEST_DAYS {
        findings.fault(subject, "is more than a year away", cure);
    } else if days < 0 {
        // Not a fault: a server must start again also when nobody looked at this for a year.
        findings.warn(subject, "is over, so the file is not served", cure);
    } else if days < SOON_DAYS {
        findings.warn(subject, format!("is in {days} days"), "look whether the contacts still hold, and move it on");
    }
    Some(expires)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(keys: &[(&str, &str)]) -> (Option<SecurityTxt>, Findings) {
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        for (key, value) in keys {
            assert!(settings.set(&format!("security_txt.{key}"), *value, "test"), "{key}");
        }
        let now = "2026-11-27T00:00:00Z".parse().unwrap();
        (read_at(&settings, "https://auth.clinic.test", now, &mut findings), findings)
    }

    const CONTACT: (&str, &str) = ("contact", "mailto:security@clinic.test,https://clinic.test/report");

    #[test]
    fn it_says_what_was_written() {
        let keys = [
            CONTACT,
            ("expires", "2027-06-30T00:00:00Z"),
            ("encryption", "https://clinic.test/pgp.txt"),
            ("policy", "https://clinic.test/policy"),
            ("preferred_languages", "en, de"),
        ];
        let (file, findings) = read_of(&keys);
        assert!(findings.faults.is_empty() && findings.warnings.is_empty(), "{findings:?}");
        let file = file.unwrap();
        let lines: Vec<&str> = file.text.lines().collect();
        assert_eq!(lines[..2], ["Contact: mailto:security@clinic.test", "Contact: https://clinic.test/report"]);
        assert!(lines[2].starts_with("Expires: 2027-06-30T00:00:00"), "{}", lines[2]);
        assert_eq!(
            lines[3..],
            [
                "Encryption: https://clinic.test/pgp.txt",
                "Policy: https://clinic.test/policy",
                "Canonical: https://auth.clinic.test/.well-known/security.txt",
                "Preferred-Languages: en, de",
            ]
        );
    }

    #[test]
    fn nonsense_is_refused_and_the_end_is_announced() {
        assert_eq!(read_of(&[]).0, None);
        for (keys, fault) in [
            (vec![("policy", "https://clinic.test/policy")], "security_txt.contact"),
            (vec![CONTACT], "security_txt.expires"),
            (vec![CONTACT, ("expires", "next summer")], "security_txt.expires (test)"),
            (vec![CONTACT, ("expires", "2028-06-30T00:00:00Z")], "security_txt.expires (test)"),
            (vec![("contact", "security@clinic.test"), ("expires", "2027-06-30T00:00:00Z")], "security_txt.contact"),
            (vec![CONTACT, ("expires", "2027-06-30T00:00:00Z"), ("policy", "http://x")], "security_txt.policy (test)"),
        ] {
            let (file, findings) = read_of(&keys);
            assert_eq!(file, None, "{keys:?}");
            assert_eq!(findings.faults.iter().map(|fault| &fault.subject).collect::<Vec<_>>(), [fault], "{keys:?}");
        }
        for (expires, warned) in [("2026-12-20T00:00:00Z", 1), ("2026-11-01T00:00:00Z", 1), ("2027-01-20T00:00:00Z", 0)]
        {
            let (file, findings) = read_of(&[CONTACT, ("expires", expires)]);
            assert!(file.is_some());
            assert_eq!(findings.warnings.len(), warned, "{expires}");
        }
    }
}
