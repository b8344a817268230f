//! The section `[headers]`: a profile, what is changed of it, and other profiles for some paths.

use std::sync::Arc;

use chancery_domain::instance::Environment;
use chancery_gateway::RouteHeaders;
use chancery_middleware::headers::{
    BadProfile, CspFinding, Frame, HeaderMode, HeaderProfile, HeaderRules, Hsts, Isolation, Preset, Referrer, Severity,
    XssFilter, judge,
};

use super::{
    entry::Entry,
    findings::Findings,
    source::Settings,
    text::{self, Choice, subject},
};

/// The list of paths with a profile of their own.
pub(super) const LIST: &str = "headers.routes";

/// A year: what browsers want before they build a domain in.
const YEAR: u32 = 31_536_000;
/// The directives that may be set.
const DIRECTIVES: [&str; 14] = [
    "default_src",
    "script_src",
    "style_src",
    "img_src",
    "font_src",
    "connect_src",
    "media_src",
    "object_src",
    "frame_src",
    "worker_src",
    "manifest_src",
    "frame_ancestors",
    "base_uri",
    "form_action",
];

/// A value that may be switched off.
#[derive(Clone, Copy)]
struct Said<T>(Option<T>);

impl Choice for Preset {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("strict", Self::Strict),
        ("api", Self::Api),
        ("relaxed", Self::Relaxed),
        ("docs", Self::Docs),
        ("custom", Self::Custom { inline: false, websockets: false }),
    ];
}

impl Choice for Said<Frame> {
    const WORDS: &'static [(&'static str, Self)] =
        &[("deny", Said(Some(Frame::Deny))), ("sameorigin", Said(Some(Frame::SameOrigin))), ("none", Said(None))];
}

impl Choice for Said<XssFilter> {
    const WORDS: &'static [(&'static str, Self)] =
        &[("block", Said(Some(XssFilter::Block))), ("off", Said(Some(XssFilter::Off))), ("none", Said(None))];
}

impl Choice for Said<Referrer> {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("no-referrer", Said(Some(Referrer::NoReferrer))),
        ("same-origin", Said(Some(Referrer::SameOrigin))),
        ("strict-origin", Said(Some(Referrer::StrictOrigin))),
        ("strict-origin-when-cross-origin", Said(Some(Referrer::StrictOriginWhenCrossOrigin))),
        ("none", Said(None)),
    ];
}

impl Choice for Isolation {
    const WORDS: &'static [(&'static str, Self)] =
        &[("full", Self::Full), ("loose", Self::Loose), ("none", Self::None)];
}

/// Reads the section: the preset that holds everywhere, and all rules.
pub(super) fn read(settings: &Settings, environment: Environment, findings: &mut Findings) -> (Preset, HeaderRules) {
    let preset = flagged(text::read(settings, "headers.profile", Preset::Api, findings), settings, findings);
    tell_ignored(preset, environment, "headers.profile", findings);
    let profile = changed(preset, settings, environment, findings);
    let mut rules = HeaderRules::new(&profile).unwrap_or_else(|error| {
        fault(error, "headers", findings);
        HeaderRules::default()
    });
    for (number, (table, origin)) in &settings.tables(LIST) {
        let entry = Entry::new(LIST, *number, origin, table, findings);
        if let Some((path, profile)) = route(entry, preset, settings, environment) {
            rules = match rules.clone().with_path(&path, &profile) {
                Ok(rules) => rules,
                Err(error) => {
                    fault(error, format!("{LIST}[{number}] ({origin})"), findings);
                    rules
                }
            };
        }
    }
    (preset, rules)
}

/// `custom` with its flags.
fn flagged(preset: Preset, settings: &Settings, findings: &mut Findings) -> Preset {
    let inline = text::flag(settings, "headers.inline", findings);
    let websockets = text::flag(settings, "headers.websockets", findings);
    match preset {
        Preset::Custom { .. } => Preset::Custom { inline, websockets },
        _ if inline || websockets => {
            let cure = "set headers.profile = \"custom\", or leave headers.inline and headers.websockets out";
            findings.fault("headers.inline", "belongs to the profile custom alone", cure);
            preset
        }
        _ => preset,
    }
}

fn tell_ignored(preset: Preset, environment: Environment, key: &str, findings: &mut Findings) {
    let ignored = preset.ignored_in_production().filter(|_| environment != Environment::Development);
    if let Some(ignored) = ignored {
        let cure = "use nonces (headers.nonces) or hashes, or try a policy first with report_only on a path";
        findings.warn(key, format!("is {} and {ignored}", preset.as_str()), cure);
    }
}

/// The preset, and what the section changes of it.
fn changed(preset: Preset, settings: &Settings, environment: Environment, findings: &mut Findings) -> HeaderProfile {
    let mut profile = HeaderProfile::preset(preset, environment);
    hsts(&mut profile, settings, environment, findings);
    policy(&mut profile, settings, environment, findings);
    profile.nonces = text::flag(settings, "headers.nonces", findings);
    profile.report_only = text::flag(settings, "headers.report_only", findings);
    if let Some(address) = settings.find("headers.report_to") {
        profile.report_to = Some(address.text.trim().to_owned());
        if profile.ready().err() == Some(BadProfile::ReportTo) {
            fault(BadProfile::ReportTo, subject("headers.report_to", &address.origin), findings);
            profile.report_to = None;
        }
    }
    frames(&mut profile, settings, findings);
    let said = Said(profile.xss_filter);
    profile.xss_filter = text::read(settings, "headers.xss_filter", said, findings).0;
    let said = Said(profile.referrer);
    profile.referrer = text::read(settings, "headers.referrer_policy", said, findings).0;
    profile.isolation = text::read(settings, "headers.isolation", profile.isolation, findings);
    if !switch(settings, "headers.permissions", true, findings) {
        profile.permissions.clear();
    }
    for feature in text::words(settings, "headers.permissions_allow") {
        if profile.permissions.iter().any(|(known, _)| *known == feature) {
            profile = profile.permitting(&feature);
        } else {
            let cure = "name features as browsers do, such as publickey-credentials-get, with headers.permissions on";
            findings.fault("headers.permissions_allow", "names something that is not closed", cure);
        }
    }
    profile
}

fn hsts(profile: &mut HeaderProfile, settings: &Settings, environment: Environment, findings: &mut Findings) {
    let set = settings.find("headers.hsts_seconds").is_some();
    let seconds = text::number(settings, "headers.hsts_seconds", YEAR, 0..=315_360_000, findings);
    let subdomains = switch(settings, "headers.hsts_subdomains", true, findings);
    let preload = switch(settings, "headers.hsts_preload", true, findings);
    if environment == Environment::Development {
        if set {
            findings.warn("headers.hsts_seconds", "is not sent in development", "leave it out there");
        }
        return;
    }
    if seconds == 0 || !(set || profile.hsts.is_some()) {
        profile.hsts = None;
        return;
    }
    if preload && (seconds < YEAR || !subdomains) {
        let cure = "set headers.hsts_preload = false, or hsts_seconds of 31536000 or more with hsts_subdomains";
        return findings.fault("headers.hsts_preload", "needs a year and all subdomains", cure);
    }
    profile.hsts = Some(Hsts { seconds, subdomains, preload });
}

/// Single directives, each instead of the preset's.
fn policy(profile: &mut HeaderProfile, settings: &Settings, environment: Environment, findings: &mut Findings) {
    let development = environment == Environment::Development;
    for key in DIRECTIVES {
        let (key, name) = (format!("headers.csp.{key}"), key.replace('_', "-"));
        let Some(setting) = settings.find(&key) else { continue };
        let subject = subject(&key, &setting.origin);
        if !setting.text.bytes().all(|byte| (0x20..=0x7e).contains(&byte) && byte != b',' && byte != b';') {
            findings.fault(
                subject,
                "holds a comma, a semicolon or an odd character",
                "write sources with spaces between them",
            );
            continue;
        }
        let mut csp = profile.csp.clone().with(&name, &setting.text);
        if !development {
            let (safe, found) = csp.without_unsafe_scripts();
            if found {
                let cure = "use nonces (headers.nonces) or hashes, or report_only on a path first";
                findings.warn(&subject, "allows inline scripts or eval(); production ignores that", cure);
            }
            csp = safe;
        }
        let of_it = |found: &CspFinding| found.directive == Some(name.as_str()) && found.severity >= Severity::High;
        let wrong: Vec<CspFinding> = judge(&csp).into_iter().filter(of_it).collect();
        for found in &wrong {
            let lenient = development && found.severity == Severity::High;
            findings.fault_unless(lenient, &subject, found.code.replace('_', " "), found.cure);
        }
        if !wrong.iter().any(|found| found.severity == Severity::Nonsense) {
            profile.csp = csp;
        }
    }
}

/// Two headers say who may frame a page; what is said in one holds for both.
fn frames(profile: &mut HeaderProfile, settings: &Settings, findings: &mut Findings) {
    let option = settings.find("headers.frame_options").is_some();
    let ancestors = settings.find("headers.csp.frame_ancestors").is_some();
    if option {
        profile.frame = text::read(settings, "headers.frame_options", Said(profile.frame), findings).0;
        if !ancestors {
            let said = if profile.frame == Some(Frame::SameOrigin) { "'self'" } else { "'none'" };
            profile.csp = profile.csp.clone().with("frame-ancestors", said);
        }
    } else if ancestors {
        profile.frame = match profile.csp.directive("frame-ancestors").unwrap_or_default() {
            [one] if one == "'none'" => Some(Frame::Deny),
            [one] if one == "'self'" => Some(Frame::SameOrigin),
            // Other hosts cannot be said in it.
            _ => None,
        };
    }
}

/// One path with a profile of its own.
fn route(
    mut entry: Entry<'_>,
    everywhere: Preset,
    settings: &Settings,
    environment: Environment,
) -> Option<(String, HeaderProfile)> {
    let path = entry.needed("path", "/docs");
    if !path.starts_with('/') || path.contains(['{', '*', '?', '#', ' ']) {
        entry.fault(
            "path",
            "is no path",
            "write it from the first slash, without patterns: everything below it counts",
        );
        return None;
    }
    let preset = match entry.text("profile") {
        None => everywhere,
        Some(word) => match Preset::named(&word) {
            Some(preset) => preset,
            None => {
                entry.fault("profile", "is none", "write strict, api, relaxed, docs or custom");
                return None;
            }
        },
    };
    let inline = entry.flag("inline", false);
    let websockets = entry.flag("websockets", false);
    let preset = if let Preset::Custom { .. } = preset { Preset::Custom { inline, websockets } } else { preset };
    let flags = Flags { report_only: entry.flag("report_only", false), nonces: entry.flag("nonces", false) };
    entry.refuse_unknown("path");
    tell_ignored(preset, environment, &format!("{LIST}[{}].profile ({})", entry.number, entry.origin), entry.findings);
    Some((path, profile(preset, everywhere, flags, settings, environment)))
}

/// What a path says besides the name of its profile.
struct Flags {
    report_only: bool,
    nonces: bool,
}

/// The profile of one path or route.
fn profile(
    preset: Preset,
    everywhere: Preset,
    flags: Flags,
    settings: &Settings,
    environment: Environment,
) -> HeaderProfile {
    // What the section says of the profile everywhere holds here too, if it is the same one; its faults were told.
    let profile = if preset == everywhere {
        changed(preset, settings, environment, &mut Findings::default())
    } else {
        HeaderProfile::preset(preset, environment)
    };
    let report_to = settings.find("headers.report_to").map(|address| address.text.trim().to_owned());
    let (report_only, nonces) = (flags.report_only || profile.report_only, flags.nonces || profile.nonces);
    HeaderProfile { report_only, nonces, report_to, ..profile }
}

impl Choice for HeaderMode {
    const WORDS: &'static [(&'static str, Self)] = &[("add", Self::AddIfMissing), ("enforce", Self::Enforce)];
}

/// What a route of the gateway says of the headers of its application's answers.
pub(super) fn of_route(entry: &mut Entry<'_>, settings: &Settings, environment: Environment) -> Option<RouteHeaders> {
    let word = entry.text("headers");
    let mode = entry.choice("headers_mode", HeaderMode::AddIfMissing);
    let flags =
        Flags { report_only: entry.flag("headers_report_only", false), nonces: entry.flag("headers_nonces", false) };
    let Some(word) = word else {
        for key in ["headers_mode", "headers_report_only", "headers_nonces"] {
            if entry.table.contains_key(key) && !entry.table.contains_key("headers") {
                entry.fault(key, "changes a profile that is not named", "set headers, or take it out");
            }
        }
        return None;
    };
    let Some(preset) = Preset::named(&word) else {
        entry.fault("headers", "is no profile", "write strict, api, relaxed, docs or custom");
        return None;
    };
    let everywhere = text::read(settings, "headers.profile", Preset::Api, &mut Findings::default());
    // `custom` of a route is that of the section, with its flags.
    let everywhere = flagged(everywhere, settings, &mut Findings::default());
    let same = std::mem::discriminant(&preset) == std::mem::discriminant(&everywhere);
    let preset = if same { everywhere } else { preset };
    tell_ignored(preset, environment, &entry.subject("headers"), entry.findings);
    match profile(preset, everywhere, flags, settings, environment).ready() {
        Ok(ready) => Some(RouteHeaders { profile: word, ready: Arc::new(ready), mode }),
        Err(error) => {
            fault(error, entry.subject("headers"), entry.findings);
            None
        }
    }
}

fn fault(error: BadProfile, subject: impl Into<String>, findings: &mut Findings) {
    let cure = match error {
        BadProfile::Csp(_) => "correct headers.csp",
        BadProfile::Feature(_) => "correct headers.permissions_allow",
        BadProfile::ReportTo => "write https://HOST/reports/TENANT/TOKEN, as GET /v1/csp/reports gives it",
        BadProfile::Frames => "say it in one of headers.frame_options and headers.csp.frame_ancestors",
        BadProfile::Preload => "set headers.hsts_preload = false",
    };
    findings.fault(subject, error.to_string(), cure);
}

/// A flag that is `default` if nothing is said.
fn switch(settings: &Settings, key: &str, default: bool, findings: &mut Findings) -> bool {
    if settings.find(key).is_some() { text::flag(settings, key, findings) } else { default }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn read_of(environment: Environment, keys: &[(&str, &str)]) -> (HeaderRules, Findings) {
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        for (key, value) in keys {
            assert!(settings.set(key, *value, "test"), "{key}");
        }
        let (_, rules) = read(&settings, environment, &mut findings);
        (rules, findings)
    }

    fn header(rules: &HeaderRules, path: &str, name: &str) -> String {
        let mut headers = HeaderMap::new();
        rules.of(path).unwrap().apply(&mut headers, HeaderMode::Enforce, None);
        headers.get(name).map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    }

    const PRODUCTION: Environment = Environment::Production;

    #[test]
    fn every_tunable_part_is_tuned() {
        let (rules, findings) = read_of(
            PRODUCTION,
            &[
                ("headers.profile", "strict"),
                ("headers.hsts_seconds", "63072000"),
                ("headers.csp.img_src", "'self' https://img.clinic.test"),
                ("headers.frame_options", "sameorigin"),
                ("headers.xss_filter", "off"),
                ("headers.referrer_policy", "no-referrer"),
                ("headers.permissions_allow", "publickey-credentials-get"),
                ("headers.isolation", "none"),
                ("headers.report_to", "https://auth.clinic.test/reports/c/t"),
            ],
        );
        assert!(findings.faults.is_empty() && findings.warnings.is_empty(), "{findings:?}");
        let header = |name| header(&rules, "/", name);
        assert_eq!(header("strict-transport-security"), "max-age=63072000; includeSubDomains; preload");
        let csp = header("content-security-policy");
        assert!(csp.contains("img-src 'self' https://img.clinic.test;"), "{csp}");
        assert!(csp.contains("frame-ancestors 'self';") && csp.contains("report-to csp"), "{csp}");
        assert_eq!(header("x-frame-options"), "SAMEORIGIN");
        assert_eq!(header("x-xss-protection"), "0");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert!(header("permissions-policy").contains("publickey-credentials-get=(self)"));
        assert_eq!(header("cross-origin-opener-policy"), "");
        let (off, _) = read_of(PRODUCTION, &[("headers.permissions", "false"), ("headers.referrer_policy", "none")]);
        assert_eq!(self::header(&off, "/", "permissions-policy") + &self::header(&off, "/", "referrer-policy"), "");
    }

    #[test]
    fn all_nonsense_is_told_at_once() {
        let (_, findings) = read_of(
            PRODUCTION,
            &[
                ("headers.csp.script_src", "self"),
                ("headers.csp.object_src", "*"),
                ("headers.csp.img_src", "'self'; script-src *"),
                ("headers.hsts_seconds", "300"),
                ("headers.report_to", "/reports"),
                ("headers.permissions_allow", "camara"),
                ("headers.inline", "true"),
                ("headers.frame_options", "sideways"),
            ],
        );
        let subjects: Vec<&str> = findings.faults.iter().map(|fault| fault.subject.as_str()).collect();
        assert_eq!(
            subjects,
            [
                "headers.inline",
                "headers.hsts_preload",
                "headers.csp.script_src (test)",
                "headers.csp.img_src (test)",
                "headers.csp.object_src (test)",
                "headers.report_to (test)",
                "headers.frame_options (test)",
                "headers.permissions_allow",
            ]
        );
        let (_, findings) = read_of(
            PRODUCTION,
            &[("headers.frame_options", "deny"), ("headers.csp.frame_ancestors", "https://portal.clinic.test")],
        );
        assert!(findings.faults[0].problem.contains("contradict"), "{findings:?}");
    }

    #[test]
    fn production_ignores_inline_scripts_wherever_they_are_written_and_says_so() {
        for keys in [
            &[("headers.profile", "custom"), ("headers.inline", "true"), ("headers.websockets", "true")][..],
            &[("headers.profile", "relaxed")],
            &[("headers.profile", "docs")],
            &[("headers.profile", "strict"), ("headers.csp.script_src", "'self' 'unsafe-inline' 'unsafe-eval'")],
        ] {
            for environment in [PRODUCTION, Environment::Staging] {
                let (rules, findings) = read_of(environment, keys);
                let policy = header(&rules, "/", "content-security-policy");
                let scripts = policy.split("script-src").nth(1).unwrap().split(';').next().unwrap();
                assert!(!scripts.contains("unsafe"), "{policy}");
                assert!(findings.faults.is_empty());
                assert_eq!(findings.warnings.len(), 1, "{findings:?}");
            }
        }
        let custom = [("headers.profile", "custom"), ("headers.inline", "true")];
        let (rules, findings) = read_of(Environment::Development, &custom);
        assert!(header(&rules, "/", "content-security-policy").contains("'unsafe-inline' 'unsafe-eval'"));
        assert!(findings.warnings.is_empty());
    }

    #[test]
    fn a_path_has_a_profile_of_its_own_and_may_only_report() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        let text = "[headers]\nprofile = \"strict\"\nreport_to = \"https://a.test/reports/c/t\"\n\
            [[headers.routes]]\npath = \"/docs\"\nprofile = \"docs\"\n\
            [[headers.routes]]\npath = \"/old\"\nreport_only = true\n\
            [[headers.routes]]\npath = \"old\"\n[[headers.routes]]\npath = \"/x\"\nprofile = \"lax\"\ncolour = 1\n";
        std::fs::write(&file, text).unwrap();
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        settings.read_file(&file, &mut findings);
        let (preset, rules) = read(&settings, Environment::Development, &mut findings);
        assert_eq!(preset, Preset::Strict);
        assert!(header(&rules, "/docs/x", "content-security-policy").contains("cdn.jsdelivr.net"));
        assert_eq!(header(&rules, "/old/page", "content-security-policy"), "");
        assert!(header(&rules, "/old/page", "content-security-policy-report-only").contains("report-to csp"));
        assert!(header(&rules, "/", "content-security-policy").starts_with("default-src 'self'"));
        let faults: Vec<_> = findings.faults.iter().map(|fault| fault.subject.split(" (").next().unwrap()).collect();
        assert_eq!(faults, ["headers.routes[2].path", "headers.routes[3].profile"]);
    }
}
