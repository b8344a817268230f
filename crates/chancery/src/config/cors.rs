//! The section `[cors]`: whose pages may call.

use chancery_domain::instance::Environment;
use chancery_middleware::{BadCors, Cors, CorsRules};

use super::{findings::Findings, source::Settings, text};

/// Reads the section. Without it no page of another origin may call.
pub(super) fn read(settings: &Settings, environment: Environment, findings: &mut Findings) -> Cors {
    let rules = CorsRules {
        origins: text::words(settings, "cors.origins"),
        credentials: text::flag(settings, "cors.credentials", findings),
        headers: text::words(settings, "cors.headers"),
        max_age_seconds: text::number(settings, "cors.max_age_seconds", 600, 0..=86_400, findings),
    };
    if rules.origins.is_empty() && (rules.credentials || !rules.headers.is_empty()) {
        let cure = "name the origins, such as origins = [\"https://app.clinic.example\"], or leave the section out";
        findings.fault("cors.origins", "is empty, so the rest of the section means nothing", cure);
    }
    Cors::new(&rules, environment).unwrap_or_else(|faults| {
        for fault in faults {
            let key = if fault == BadCors::Header { "cors.headers" } else { "cors.origins" };
            let origin = settings.find(key).map_or("default", |setting| setting.origin.as_str());
            findings.fault(text::subject(key, origin), fault.to_string(), fault.cure());
        }
        Cors::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misconfigurations_are_told_with_their_cure() {
        let read_of = |keys: &[(&str, &str)]| {
            let (mut settings, mut findings) = (Settings::default(), Findings::default());
            for (key, value) in keys {
                assert!(settings.set(key, *value, "test"));
            }
            let cors = read(&settings, Environment::Production, &mut findings);
            (cors.is_off(), findings.faults.into_iter().map(|fault| fault.problem).collect::<Vec<_>>())
        };
        assert_eq!(read_of(&[]), (true, Vec::new()));
        assert!(!read_of(&[("cors.origins", "https://app.test,https://b.test"), ("cors.credentials", "true")]).0);
        let (off, faults) = read_of(&[("cors.origins", "*,null"), ("cors.credentials", "true"), ("cors.headers", "*")]);
        assert!(off && faults.len() == 3, "{faults:?}");
        assert!(faults[0].contains("with the cookies of whoever looks at it"), "{faults:?}");
        assert_eq!(read_of(&[("cors.credentials", "true")]).1.len(), 1);
    }
}
