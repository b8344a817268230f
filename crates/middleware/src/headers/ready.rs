//! A profile made ready: values that are set on every response without being written anew.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
};

use super::{
    csp::{Csp, NONCE},
    judge::{self, Severity},
    nonce::CspNonce,
    profile::HeaderProfile,
    removed,
    structured::{Dictionary, Item, Member, NotStructured},
};

const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
const REPORTING: HeaderName = HeaderName::from_static("reporting-endpoints");
const ISOLATION: [HeaderName; 3] = [
    HeaderName::from_static("cross-origin-embedder-policy"),
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
];
const CROSS_DOMAIN: HeaderName = HeaderName::from_static("x-permitted-cross-domain-policies");
/// What reports go to, within one response.
const GROUP: &str = "csp";
/// How many fields a response may get besides those of a profile.
const MORE: usize = 10;

/// What happens to a header that is there already: an application's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderMode {
    /// It stays; what is missing is added.
    AddIfMissing,
    /// Ours takes its place.
    Enforce,
}

/// Why a profile cannot be set on a response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProfile {
    /// A browser would ignore a part of the policy.
    #[error("the content security policy says something that browsers ignore: {0}")]
    Csp(&'static str),
    /// `Permissions-Policy` names something that is no feature.
    #[error("a feature's name is no key")]
    Feature(#[source] NotStructured),
    /// Reports go to an address.
    #[error("reports go to an address with https:// or http://, without commas, semicolons and spaces")]
    ReportTo,
    /// One says that frames are allowed and the other that they are not.
    #[error("X-Frame-Options and frame-ancestors contradict each other")]
    Frames,
    /// Browsers build in domains for a year and with all subdomains only.
    #[error("preload needs a year and all subdomains")]
    Preload,
}

/// A profile made ready.
#[derive(Debug, Clone)]
pub struct ReadyHeaders {
    values: Vec<(HeaderName, HeaderValue)>,
    csp_name: HeaderName,
    csp: ReadyCsp,
    cache: bool,
}

#[derive(Debug, Clone)]
enum ReadyCsp {
    Absent,
    Fixed(HeaderValue),
    /// The pieces between which the nonce goes.
    WithNonces(Vec<String>),
}

impl HeaderProfile {
    /// Makes it ready.
    ///
    /// # Errors
    ///
    /// [`BadProfile`] if it is nonsense.
    pub fn ready(&self) -> Result<ReadyHeaders, BadProfile> {
        let mut values = vec![(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))];
        let mut set =
            |name: &HeaderName, value: &'static str| values.push((name.clone(), HeaderValue::from_static(value)));
        set(&CROSS_DOMAIN, "none");
        set(&header::X_DNS_PREFETCH_CONTROL, "off");
        if let Some(frame) = self.frame {
            set(&header::X_FRAME_OPTIONS, frame.as_str());
        }
        if let Some(filter) = self.xss_filter {
            set(&header::X_XSS_PROTECTION, filter.as_str());
        }
        if let Some(referrer) = self.referrer {
            set(&header::REFERRER_POLICY, referrer.as_str());
        }
        for (name, value) in ISOLATION.iter().zip(self.isolation.values().iter().flatten()) {
            set(name, value);
        }
        if let Some(hsts) = self.hsts {
            if hsts.preload && (hsts.seconds < 31_536_000 || !hsts.subdomains) {
                return Err(BadProfile::Preload);
            }
            values.extend(HeaderValue::from_str(&hsts.text()).map(|value| (header::STRICT_TRANSPORT_SECURITY, value)));
        }
        if let Some(policy) = self.permissions_policy() {
            let policy = policy.map_err(BadProfile::Feature)?.to_string();
            values.extend(HeaderValue::from_str(&policy).map(|value| (PERMISSIONS, value)));
        }
        if let Some(address) = &self.report_to {
            values.push((REPORTING, reporting(address)?));
        }
        let csp_name = if self.report_only {
            header::CONTENT_SECURITY_POLICY_REPORT_ONLY
        } else {
            header::CONTENT_SECURITY_POLICY
        };
        Ok(ReadyHeaders { values, csp_name, csp: self.ready_csp()?, cache: self.no_store })
    }

    fn ready_csp(&self) -> Result<ReadyCsp, BadProfile> {
        if self.csp.directives().is_empty() {
            return Ok(ReadyCsp::Absent);
        }
        let closed = self.csp.directive("frame-ancestors").is_some_and(|sources| sources == ["'none'"]);
        let denied = self.frame == Some(super::profile::Frame::Deny);
        if self.csp.directive("frame-ancestors").is_some() && self.frame.is_some() && closed != denied {
            return Err(BadProfile::Frames);
        }
        let text = self.policy().to_string();
        // What was written into it may have been a comma or a line's end.
        let read = Csp::parse(&text).map_err(|_| BadProfile::Csp("a comma or a character outside of ASCII"))?;
        if let Some(nonsense) = judge::judge(&read).iter().find(|found| found.severity == Severity::Nonsense) {
            return Err(BadProfile::Csp(nonsense.cure));
        }
        if self.nonces {
            return Ok(ReadyCsp::WithNonces(text.split(NONCE).map(str::to_owned).collect()));
        }
        HeaderValue::from_str(&text).map(ReadyCsp::Fixed).map_err(|_| BadProfile::Csp("a character outside of ASCII"))
    }

    /// The policy as browsers get it, with reporting.
    fn policy(&self) -> Csp {
        let mut policy = self.csp.clone();
        if self.nonces {
            policy = policy.with_nonces();
        }
        if self.report_only {
            // It does nothing there, and browsers complain.
            policy = policy.without("upgrade-insecure-requests");
        }
        match &self.report_to {
            Some(address) => policy.with("report-uri", address).with("report-to", GROUP),
            None => policy,
        }
    }
}

fn reporting(address: &str) -> Result<HeaderValue, BadProfile> {
    let fine = (address.starts_with("https://") || address.starts_with("http://"))
        && address.bytes().all(|byte| byte.is_ascii_graphic() && !b",;\"\\'".contains(&byte));
    if !fine {
        return Err(BadProfile::ReportTo);
    }
    let endpoints = Dictionary::default().with(GROUP, Member::One(Item::Text(address.to_owned())));
    let endpoints = endpoints.map_err(|_| BadProfile::ReportTo)?.to_string();
    HeaderValue::from_str(&endpoints).map_err(|_| BadProfile::ReportTo)
}

impl ReadyHeaders {
    /// Whether each response wants a [`CspNonce`].
    pub fn wants_nonce(&self) -> bool {
        matches!(self.csp, ReadyCsp::WithNonces(_))
    }

    /// Sets the headers, takes those away that tell how the response was made, and gives the names of those that were there already
    /// and said something else: which of the two stands now is a question of `mode`.
    ///
    /// `Cache-Control` is never replaced: what may be kept is the application's to say.
    pub fn apply(&self, headers: &mut HeaderMap, mode: HeaderMode, nonce: Option<&CspNonce>) -> Vec<HeaderName> {
        removed::remove_telling(headers);
        let mut conflicts = Vec::new();
        // Once, and not with every few of them: with room for what limits say, and for the request's id.
        headers.reserve(self.values.len() + MORE);
        let mut put = |name: &HeaderName, value: HeaderValue| match headers.entry(name) {
            Entry::Vacant(free) => {
                free.insert(value);
            }
            Entry::Occupied(mut there) => {
                let mut values = there.iter();
                let is_same = values.next() == Some(&value) && values.next().is_none();
                if !is_same {
                    conflicts.push(name.clone());
                }
                if !is_same && mode == HeaderMode::Enforce {
                    there.insert(value);
                }
            }
        };
        for (name, value) in &self.values {
            put(name, value.clone());
        }
        match (&self.csp, nonce) {
            (ReadyCsp::Absent, _) => {}
            (ReadyCsp::Fixed(value), _) => put(&self.csp_name, value.clone()),
            (ReadyCsp::WithNonces(pieces), Some(nonce)) => {
                let text = pieces.join(&format!("'nonce-{}'", nonce.as_str()));
                // INVARIANT: pieces and nonces are of printable ASCII.
                if let Ok(value) = HeaderValue::from_str(&text) {
                    put(&self.csp_name, value);
                }
            }
            // Without a nonce nothing inline runs: the stricter policy.
            (ReadyCsp::WithNonces(pieces), None) => {
                if let Ok(value) = HeaderValue::from_str(&pieces.concat()) {
                    put(&self.csp_name, value);
                }
            }
        }
        if self.cache {
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        }
        conflicts
    }
}

#[cfg(test)]
mod tests {
    use chancery_domain::instance::Environment::{Development, Production, Staging};

    use super::{
        super::profile::{Frame, Hsts, Isolation, Preset, Referrer, XssFilter},
        *,
    };

    fn set(profile: &HeaderProfile) -> HeaderMap {
        let mut headers = HeaderMap::new();
        assert!(profile.ready().unwrap().apply(&mut headers, HeaderMode::Enforce, None).is_empty());
        headers
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    const STRICT: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; \
         font-src 'self'; connect-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'self'; \
         form-action 'self'; upgrade-insecure-requests";
    const RELAXED: &str = "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; \
         style-src 'self' 'unsafe-inline'; img-src 'self' data: https: blob:; font-src 'self' data: https:; \
         connect-src 'self' ws: wss:; frame-ancestors 'self'; base-uri 'self'; form-action 'self'";

    #[test]
    fn strict_has_the_values_of_the_catalogue() {
        for environment in [Production, Staging] {
            let headers = set(&HeaderProfile::preset(Preset::Strict, environment));
            for (name, value) in [
                ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
                ("x-frame-options", "DENY"),
                ("x-content-type-options", "nosniff"),
                ("x-xss-protection", "1; mode=block"),
                ("referrer-policy", "strict-origin-when-cross-origin"),
                ("cross-origin-embedder-policy", "require-corp"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("content-security-policy", STRICT),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(text(&headers, name), value, "{name}");
            }
            assert!(text(&headers, "permissions-policy").starts_with("accelerometer=(), autoplay=(), camera=(), "));
        }
        let headers = set(&HeaderProfile::preset(Preset::Strict, Development));
        assert!(!headers.contains_key("strict-transport-security"));
        assert_eq!(text(&headers, "content-security-policy"), STRICT);
    }

    #[test]
    fn api_opens_one_thing() {
        let headers = set(&HeaderProfile::preset(Preset::Api, Production));
        let policy =
            "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
        assert_eq!(text(&headers, "content-security-policy"), policy);
        assert_eq!(text(&headers, "referrer-policy"), "no-referrer");
        assert_eq!(text(&headers, "x-frame-options"), "DENY");
    }

    #[test]
    fn relaxed_is_for_development_and_production_takes_its_inline_scripts_away() {
        let headers = set(&HeaderProfile::preset(Preset::Relaxed, Development));
        assert_eq!(text(&headers, "content-security-policy"), RELAXED);
        assert_eq!(text(&headers, "x-frame-options"), "SAMEORIGIN");
        assert!(!headers.contains_key("strict-transport-security"));
        for preset in [Preset::Relaxed, Preset::Docs, Preset::Custom { inline: true, websockets: true }] {
            let headers = set(&HeaderProfile::preset(preset, Production));
            let policy = Csp::parse(text(&headers, "content-security-policy")).unwrap();
            let scripts = policy.effective("script-src").unwrap().join(" ");
            assert!(!scripts.contains("unsafe"), "{preset:?}: {scripts}");
            assert!(preset.ignored_in_production().is_some());
        }
    }

    #[test]
    fn custom_is_made_of_its_flags_and_of_the_environment() {
        let policy = |inline, websockets, environment| {
            let preset = Preset::Custom { inline, websockets };
            text(&set(&HeaderProfile::preset(preset, environment)), "content-security-policy").to_owned()
        };
        assert_eq!(policy(true, true, Development), RELAXED);
        let closed = policy(false, false, Development);
        assert!(closed.contains("script-src 'self';") && closed.contains("connect-src 'self';"), "{closed}");
        for (inline, websockets) in [(false, false), (true, false), (false, true), (true, true)] {
            assert_eq!(policy(inline, websockets, Production), STRICT);
        }
    }

    #[test]
    fn every_preset_is_without_nonsense() {
        let custom = |inline, websockets| Preset::Custom { inline, websockets };
        let presets =
            [Preset::Strict, Preset::Api, Preset::Relaxed, Preset::Docs, custom(true, false), custom(false, true)];
        for (preset, environment) in presets.iter().flat_map(|preset| [(preset, Development), (preset, Production)]) {
            let profile = HeaderProfile::preset(*preset, environment);
            profile.ready().unwrap();
            HeaderProfile { nonces: true, report_only: true, ..profile.clone() }.ready().unwrap();
            let high = judge::judge(&profile.csp).iter().any(|found| found.severity >= Severity::High);
            let open = environment == Development && !matches!(preset, Preset::Strict | Preset::Api);
            assert!(!high || open, "{preset:?} in {environment:?}: {:?}", judge::judge(&profile.csp));
        }
    }

    #[test]
    fn an_applications_own_headers_stay_or_give_way() {
        let ready = HeaderProfile::preset(Preset::Strict, Production).ready().unwrap();
        let own = || {
            let pairs = [("server", "x"), ("x-frame-options", "SAMEORIGIN"), ("cache-control", "max-age=60")];
            let mut own = HeaderMap::new();
            for (name, value) in pairs.into_iter().chain([("x-content-type-options", "nosniff"), ("x-powered-by", "y")])
            {
                own.append(name, HeaderValue::from_static(value));
            }
            own
        };
        for (mode, stands) in [(HeaderMode::AddIfMissing, "SAMEORIGIN"), (HeaderMode::Enforce, "DENY")] {
            let mut headers = own();
            assert_eq!(ready.apply(&mut headers, mode, None), ["x-frame-options"]);
            assert_eq!(text(&headers, "x-frame-options"), stands);
            assert_eq!(text(&headers, "cache-control"), "max-age=60");
            assert!(!headers.contains_key("server") && !headers.contains_key("x-powered-by"));
            assert_eq!(text(&headers, "content-security-policy"), STRICT);
        }
        // Said twice is said differently, even if one of them is ours.
        let mut twice = own();
        twice.append("x-content-type-options", HeaderValue::from_static("nosniff"));
        assert!(ready.apply(&mut twice, HeaderMode::Enforce, None).iter().any(|name| name == "x-content-type-options"));
        assert_eq!(twice.get_all("x-content-type-options").iter().count(), 1);
    }

    #[test]
    fn a_nonce_is_in_one_response_only() {
        let profile = HeaderProfile { nonces: true, ..HeaderProfile::preset(Preset::Strict, Production) };
        let ready = profile.ready().unwrap();
        assert!(ready.wants_nonce());
        let make = || CspNonce::make(&chancery_crypto::random::SystemRandom).unwrap();
        let (first, second) = (make(), make());
        assert_ne!(first, second);
        let policy = |nonce: Option<&CspNonce>| {
            let mut headers = HeaderMap::new();
            ready.apply(&mut headers, HeaderMode::Enforce, nonce);
            text(&headers, "content-security-policy").to_owned()
        };
        let own = format!("script-src 'self' 'nonce-{}'; style-src 'self' 'nonce-{}';", first.as_str(), first.as_str());
        assert!(policy(Some(&first)).contains(&own), "{}", policy(Some(&first)));
        assert!(!policy(Some(&second)).contains(first.as_str()));
        assert!(!policy(None).contains("nonce"));
    }

    #[test]
    fn reports_have_an_address_in_both_ways() {
        let address = "https://auth.clinic.test/reports/clinic/abc";
        let profile = HeaderProfile {
            report_to: Some(address.to_owned()),
            report_only: true,
            ..HeaderProfile::preset(Preset::Strict, Production)
        };
        let headers = set(&profile);
        assert_eq!(text(&headers, "reporting-endpoints"), format!("csp=\"{address}\""));
        let policy = text(&headers, "content-security-policy-report-only");
        assert!(policy.ends_with(&format!("report-uri {address}; report-to csp")), "{policy}");
        assert!(!policy.contains("upgrade-insecure-requests") && !headers.contains_key("content-security-policy"));
        for bad in ["ftp://x", "/reports", "https://x/a b", "https://x/a;b", "https://x/a\r\nb", "https://x/\"a"] {
            let profile = HeaderProfile { report_to: Some(bad.to_owned()), ..profile.clone() };
            assert_eq!(profile.ready().err(), Some(BadProfile::ReportTo), "{bad}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let strict = HeaderProfile::preset(Preset::Strict, Production);
        let bad = |profile: HeaderProfile| profile.ready().err().unwrap();
        let csp =
            |name: &str, sources: &str| HeaderProfile { csp: strict.csp.clone().with(name, sources), ..strict.clone() };
        assert!(matches!(bad(csp("script-src", "self")), BadProfile::Csp(_)));
        assert!(matches!(bad(csp("img-src", "a, b")), BadProfile::Csp(_)));
        assert!(matches!(bad(csp("img-src", "\u{e4}.test")), BadProfile::Csp(_)));
        assert_eq!(bad(csp("frame-ancestors", "'self'")), BadProfile::Frames);
        assert_eq!(bad(HeaderProfile { frame: Some(Frame::SameOrigin), ..strict.clone() }), BadProfile::Frames);
        let hsts = |seconds, subdomains| Some(Hsts { seconds, subdomains, preload: true });
        assert_eq!(bad(HeaderProfile { hsts: hsts(31_535_999, true), ..strict.clone() }), BadProfile::Preload);
        assert_eq!(bad(HeaderProfile { hsts: hsts(31_536_000, false), ..strict.clone() }), BadProfile::Preload);
        assert!(matches!(bad(strict.clone().permitting("Camera\r\n")), BadProfile::Feature(_)));
    }

    #[test]
    fn switches_change_what_they_name() {
        let profile = HeaderProfile {
            xss_filter: Some(XssFilter::Off),
            referrer: Some(Referrer::NoReferrer),
            permissions: Vec::new(),
            isolation: Isolation::None,
            ..HeaderProfile::preset(Preset::Strict, Production)
        };
        let headers = set(&profile);
        assert_eq!(text(&headers, "x-xss-protection"), "0");
        assert_eq!(text(&headers, "referrer-policy"), "no-referrer");
        assert!(!headers.contains_key("permissions-policy") && !headers.contains_key("cross-origin-opener-policy"));
        let passkeys = HeaderProfile::preset(Preset::Strict, Production).permitting("publickey-credentials-get");
        assert!(text(&set(&passkeys), "permissions-policy").ends_with("publickey-credentials-get=(self)"));
    }

    /// OWASP's list of what to have, and why we differ where we do.
    #[test]
    fn owasps_recommendation_is_met_or_the_difference_is_known() {
        let list: serde_json::Value = serde_json::from_slice(include_bytes!(
            "../../../../testdata/vectors/owasp-secure-headers/headers_add.json"
        ))
        .unwrap();
        const DIFFERENT: [(&str, &str); 5] = [
            // `max-age=0` beside `no-store` says nothing more (RFC 9111 §5.2.2.5).
            ("cache-control", "no-store"),
            // Would log everybody out with every answer; it belongs to the end of a session.
            ("clear-site-data", ""),
            // HD-01: a year, and ready to be built into browsers; `headers.hsts_seconds = 63072000` for two.
            ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
            // Of pages HD-13's longer policy; an answer that is no page may do nothing at all.
            (
                "content-security-policy",
                "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            ),
            // The same word in capitals.
            ("x-frame-options", "DENY"),
        ];
        let headers = set(&HeaderProfile::preset(Preset::Api, Production));
        for entry in list["headers"].as_array().unwrap() {
            let name = entry["name"].as_str().unwrap().to_lowercase();
            let known = DIFFERENT.iter().find(|(known, _)| *known == name).map(|(_, ours)| *ours);
            let wanted = known.unwrap_or(entry["value"].as_str().unwrap());
            assert_eq!(text(&headers, &name), wanted, "{name}");
        }
    }
}
