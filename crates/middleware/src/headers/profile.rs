//! The presets and what may be changed of them.

use chancery_domain::instance::Environment;

use super::{
    csp::Csp,
    structured::{Dictionary, Item, Member},
};

/// What responses say to browsers. A plain value: [`super::ReadyHeaders`] is made of it once, and set on responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderProfile {
    /// HTTPS only from now on; none in development.
    pub hsts: Option<Hsts>,
    /// What a page may load and do.
    pub csp: Csp,
    /// Violations of the policy are reported and not stopped.
    pub report_only: bool,
    /// Each response gets a nonce of its own: [`super::CspNonce`] in the request's extensions.
    pub nonces: bool,
    /// Where violations go: the address of `POST /reports/{tenant}/{token}`.
    pub report_to: Option<String>,
    /// Who may show it in a frame, for browsers without `frame-ancestors`.
    pub frame: Option<Frame>,
    /// The filter of old browsers.
    pub xss_filter: Option<XssFilter>,
    /// What following a link tells.
    pub referrer: Option<Referrer>,
    /// Features that a page may not use; none set if empty.
    pub permissions: Vec<(String, Permission)>,
    /// Isolation from other origins' windows and resources.
    pub isolation: Isolation,
    /// `Cache-Control: no-store` where a response says nothing about caches.
    pub no_store: bool,
}

/// `Strict-Transport-Security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// For so long.
    pub seconds: u32,
    /// For subdomains too.
    pub subdomains: bool,
    /// The domain may be built into browsers.
    pub preload: bool,
}

/// `X-Frame-Options`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// Nobody.
    Deny,
    /// Pages of the same origin.
    SameOrigin,
}

/// `X-XSS-Protection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XssFilter {
    /// `1; mode=block`.
    Block,
    /// `0`.
    Off,
}

/// `Referrer-Policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referrer {
    /// Nothing.
    NoReferrer,
    /// The whole address within the origin, and nothing else.
    SameOrigin,
    /// The origin, over HTTPS.
    StrictOrigin,
    /// The whole address within the origin, the origin elsewhere.
    StrictOriginWhenCrossOrigin,
}

/// Who may use a feature of the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nobody.
    Nobody,
    /// The page itself.
    Own,
}

/// `Cross-Origin-Embedder-Policy`, `-Opener-Policy` and `-Resource-Policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// `require-corp`, `same-origin`, `same-origin`.
    Full,
    /// `unsafe-none`, `same-origin-allow-popups`, `same-site`.
    Loose,
    /// None of them is set.
    None,
}

/// A set of headers by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// For pages with personal data: no inline scripts, no frames, everything closed.
    Strict,
    /// For answers that are no pages.
    Api,
    /// For pages in development.
    Relaxed,
    /// For Swagger UI and ReDoc.
    Docs,
    /// By environment and two flags.
    Custom {
        /// Inline scripts, `eval()`: in development only.
        inline: bool,
        /// WebSockets to any host: in development only.
        websockets: bool,
    },
}

impl Preset {
    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Api => "api",
            Self::Relaxed => "relaxed",
            Self::Docs => "docs",
            Self::Custom { .. } => "custom",
        }
    }

    /// The one with this name; `custom` without its flags.
    pub fn named(name: &str) -> Option<Self> {
        let custom = Self::Custom { inline: false, websockets: false };
        [Self::Strict, Self::Api, Self::Relaxed, Self::Docs, custom].into_iter().find(|one| one.as_str() == name)
    }

    /// Why this preset is stricter in production than its name and flags say, if it is.
    pub const fn ignored_in_production(self) -> Option<&'static str> {
        match self {
            Self::Strict | Self::Api | Self::Custom { inline: false, websockets: false } => None,
            Self::Relaxed | Self::Docs => Some("inline scripts and eval() are not allowed in production"),
            Self::Custom { inline: true, .. } => {
                Some("the flags for inline scripts and WebSockets count in development only")
            }
            Self::Custom { .. } => {
                Some("the flag for WebSockets counts in development only: 'self' covers those of the own host")
            }
        }
    }
}

/// HD-13.
const PRODUCTION: [(&str, &str); 11] = [
    ("default-src", "'self'"),
    ("script-src", "'self'"),
    ("style-src", "'self'"),
    ("img-src", "'self' data: https:"),
    ("font-src", "'self'"),
    ("connect-src", "'self'"),
    ("object-src", "'none'"),
    ("frame-ancestors", "'none'"),
    ("base-uri", "'self'"),
    ("form-action", "'self'"),
    ("upgrade-insecure-requests", ""),
];
/// HD-12.
const DEVELOPMENT: [(&str, &str); 9] = [
    ("default-src", "'self'"),
    ("script-src", "'self' 'unsafe-inline' 'unsafe-eval'"),
    ("style-src", "'self' 'unsafe-inline'"),
    ("img-src", "'self' data: https: blob:"),
    ("font-src", "'self' data: https:"),
    ("connect-src", "'self' ws: wss:"),
    ("frame-ancestors", "'self'"),
    ("base-uri", "'self'"),
    ("form-action", "'self'"),
];
/// HD-14; what `default-src` does not cover is closed by name.
const API: [(&str, &str); 5] = [
    ("default-src", "'none'"),
    ("connect-src", "'self'"),
    ("frame-ancestors", "'none'"),
    ("base-uri", "'none'"),
    ("form-action", "'none'"),
];
/// What the pages of FastAPI's `/docs` and `/redoc` load.
const DOCS: [(&str, &str); 10] = [
    ("default-src", "'self'"),
    ("script-src", "'self' 'unsafe-inline' https://cdn.jsdelivr.net"),
    ("style-src", "'self' 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com"),
    ("img-src", "'self' data: https:"),
    ("font-src", "'self' https://fonts.gstatic.com"),
    ("connect-src", "'self'"),
    ("worker-src", "'self' blob:"),
    ("object-src", "'none'"),
    ("frame-ancestors", "'none'"),
    ("base-uri", "'self'"),
];

/// Features that pages seldom need: those of OWASP's recommendation, all closed but synchronous requests of the page itself.
const FEATURES: [&str; 29] = [
    "accelerometer",
    "autoplay",
    "camera",
    "cross-origin-isolated",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "keyboard-map",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "sync-xhr",
    "usb",
    "web-share",
    "xr-spatial-tracking",
    "clipboard-read",
    "clipboard-write",
    "gamepad",
    "hid",
    "idle-detection",
    "interest-cohort",
    "serial",
    "unload",
];

impl HeaderProfile {
    /// A preset as it is in `environment`: staging counts as production.
    pub fn preset(preset: Preset, environment: Environment) -> Self {
        let development = environment == Environment::Development;
        let hsts = (!development).then_some(Hsts { seconds: 31_536_000, subdomains: true, preload: true });
        let strict = Self {
            hsts,
            csp: Csp::of(&PRODUCTION),
            report_only: false,
            nonces: false,
            report_to: None,
            frame: Some(Frame::Deny),
            xss_filter: Some(XssFilter::Block),
            referrer: Some(Referrer::StrictOriginWhenCrossOrigin),
            permissions: permissions(),
            isolation: Isolation::Full,
            no_store: true,
        };
        let pages = |csp: Csp| {
            let csp = if development { csp } else { csp.without_unsafe_scripts().0 };
            Self { csp, frame: Some(Frame::SameOrigin), isolation: Isolation::Loose, ..strict.clone() }
        };
        match preset {
            Preset::Strict => strict,
            Preset::Api => Self { csp: Csp::of(&API), referrer: Some(Referrer::NoReferrer), ..strict },
            Preset::Relaxed => Self { hsts: None, ..pages(Csp::of(&DEVELOPMENT)) },
            Preset::Docs => Self { frame: Some(Frame::Deny), ..pages(Csp::of(&DOCS).with("form-action", "'self'")) },
            Preset::Custom { .. } if !development => strict,
            Preset::Custom { inline, websockets } => {
                let csp = Csp::of(&DEVELOPMENT);
                let csp = if inline { csp } else { csp.without_unsafe_scripts().0 };
                pages(if websockets { csp } else { csp.with("connect-src", "'self'") })
            }
        }
    }

    /// With a feature for the page itself, such as `publickey-credentials-get` where people use passkeys.
    #[must_use]
    pub fn permitting(mut self, feature: &str) -> Self {
        self.permissions.retain(|(known, _)| known != feature);
        self.permissions.push((feature.to_owned(), Permission::Own));
        self
    }

    pub(crate) fn permissions_policy(&self) -> Option<Result<Dictionary, super::structured::NotStructured>> {
        if self.permissions.is_empty() {
            return None;
        }
        let member = |permission: &Permission| match permission {
            Permission::Nobody => Member::List(Vec::new()),
            Permission::Own => Member::List(vec![Item::Token("self".to_owned())]),
        };
        let add = |dictionary: Dictionary, (feature, permission): &(String, Permission)| {
            dictionary.with(feature, member(permission))
        };
        Some(self.permissions.iter().try_fold(Dictionary::default(), add))
    }
}

fn permissions() -> Vec<(String, Permission)> {
    let of = |feature: &&str| if *feature == "sync-xhr" { Permission::Own } else { Permission::Nobody };
    FEATURES.iter().map(|feature| ((*feature).to_owned(), of(feature))).collect()
}

impl Hsts {
    pub(crate) fn text(self) -> String {
        let subdomains = if self.subdomains { "; includeSubDomains" } else { "" };
        let preload = if self.preload { "; preload" } else { "" };
        format!("max-age={}{subdomains}{preload}", self.seconds)
    }
}

impl Frame {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "DENY",
            Self::SameOrigin => "SAMEORIGIN",
        }
    }
}

impl XssFilter {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "1; mode=block",
            Self::Off => "0",
        }
    }
}

impl Referrer {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoReferrer => "no-referrer",
            Self::SameOrigin => "same-origin",
            Self::StrictOrigin => "strict-origin",
            Self::StrictOriginWhenCrossOrigin => "strict-origin-when-cross-origin",
        }
    }
}

impl Isolation {
    pub(crate) const fn values(self) -> Option<[&'static str; 3]> {
        match self {
            Self::Full => Some(["require-corp", "same-origin", "same-origin"]),
            Self::Loose => Some(["unsafe-none", "same-origin-allow-popups", "same-site"]),
            Self::None => None,
        }
    }
}
