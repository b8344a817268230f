//! What is wrong with a content security policy: nonsense that no browser follows, and openings that undo it.

use serde::Serialize;

use super::csp::{Csp, Directive, is_for_scripts};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To know about.
    Low,
    /// Weakens the policy.
    Medium,
    /// Undoes the policy: whoever can put text into the page can run scripts.
    High,
    /// A browser ignores it, so the policy is not what it looks like.
    Nonsense,
}

/// One finding. Never holds a source: what was written stays with whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CspFinding {
    /// The directive, if it is one that exists.
    pub directive: Option<&'static str>,
    /// The place of the source within it, from 0; none if it is about the directive.
    pub source: Option<usize>,
    /// A stable code.
    pub code: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// What to do.
    pub cure: &'static str,
}

/// Every directive that browsers know.
pub const DIRECTIVES: [&str; 26] = [
    "default-src",
    "script-src",
    "script-src-elem",
    "script-src-attr",
    "style-src",
    "style-src-elem",
    "style-src-attr",
    "img-src",
    "font-src",
    "connect-src",
    "media-src",
    "object-src",
    "frame-src",
    "child-src",
    "worker-src",
    "manifest-src",
    "fenced-frame-src",
    "frame-ancestors",
    "base-uri",
    "form-action",
    "sandbox",
    "upgrade-insecure-requests",
    "require-trusted-types-for",
    "trusted-types",
    "report-uri",
    "report-to",
];

/// Those that take no sources.
const OTHERS: [&str; 6] =
    ["sandbox", "upgrade-insecure-requests", "require-trusted-types-for", "trusted-types", "report-uri", "report-to"];

const KEYWORDS: [&str; 10] = [
    "self",
    "none",
    "unsafe-inline",
    "unsafe-eval",
    "unsafe-hashes",
    "strict-dynamic",
    "report-sample",
    "wasm-unsafe-eval",
    "inline-speculation-rules",
    "unsafe-allow-redirects",
];

/// Everything that is to be said of a policy, the heaviest first.
pub fn judge(policy: &Csp) -> Vec<CspFinding> {
    let mut findings: Vec<CspFinding> = policy.directives().iter().flat_map(of_directive).collect();
    findings.extend(missing(policy));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn of_directive(directive: &Directive) -> Vec<CspFinding> {
    let Some(name) = DIRECTIVES.iter().copied().find(|known| *known == directive.name) else {
        let cure = "browsers ignore a directive they do not know: correct its name or leave it out";
        return vec![finding(None, None, "directive_unknown", Severity::Nonsense, cure)];
    };
    if OTHERS.contains(&name) {
        let wrong = name == "upgrade-insecure-requests" && !directive.sources.is_empty();
        let cure = "it stands alone, without sources";
        return Vec::from_iter(
            wrong.then(|| finding(Some(name), None, "sources_unexpected", Severity::Nonsense, cure)),
        );
    }
    let mut findings = Vec::new();
    let none = |source: &String| source.eq_ignore_ascii_case("'none'");
    if directive.sources.len() > 1 && directive.sources.iter().any(none) {
        let cure = "'none' counts only alone: leave it or the other sources out";
        findings.push(finding(Some(name), None, "none_not_alone", Severity::Nonsense, cure));
    }
    let guarded = directive.sources.iter().any(|source| is_nonce_or_hash(source));
    for (place, source) in directive.sources.iter().enumerate() {
        let source = source.to_ascii_lowercase();
        let found = nonsense(&source, directive.sources.get(place).map_or("", String::as_str))
            .or_else(|| opening(name, &source, guarded));
        findings.extend(found.map(|(code, severity, cure)| finding(Some(name), Some(place), code, severity, cure)));
    }
    findings
}

type Found = (&'static str, Severity, &'static str);

/// A source that browsers ignore.
fn nonsense(source: &str, as_written: &str) -> Option<Found> {
    let found = |code, cure| Some((code, Severity::Nonsense, cure));
    if let Some(quoted) = source.strip_prefix('\'') {
        let Some(word) = quoted.strip_suffix('\'') else { return found("quote_open", "close the quote") };
        if KEYWORDS.contains(&word) || source == super::csp::NONCE {
            return None;
        }
        if word.starts_with("nonce-") {
            let cure = "a nonce that is written down is the same for everybody: set nonces = true instead";
            return found("nonce_fixed", cure);
        }
        return match word.split_once('-') {
            Some(("sha256" | "sha384" | "sha512", _)) => {
                let fine = is_hash(as_written.trim_matches('\''));
                if fine {
                    None
                } else {
                    found("hash_wrong", "write the whole digest in base64, as the browser's console shows it")
                }
            }
            _ => found("keyword_unknown", "correct the keyword; hosts stand without quotes"),
        };
    }
    if KEYWORDS.contains(&source) || is_nonce_or_hash(&format!("'{source}'")) {
        return found("quotes_missing", "keywords stand in single quotes, such as 'self'");
    }
    if is_scheme(source) || is_host(source) {
        return None;
    }
    found("source_wrong", "write a host such as https://cdn.example, a scheme such as data:, or a keyword in quotes")
}

/// A source that lets in too much.
fn opening(name: &'static str, source: &str, guarded: bool) -> Option<Found> {
    let scripts = is_for_scripts(name) || name == "object-src";
    let everything = matches!(source, "*" | "https:" | "http:" | "https://*" | "http://*");
    if scripts && (everything || matches!(source, "data:" | "blob:" | "filesystem:")) {
        let cure = "name the hosts, or use nonces: this lets in scripts from anywhere";
        return Some(("source_wide", Severity::High, cure));
    }
    if is_for_scripts(name) && source == "'unsafe-inline'" && !guarded {
        let cure = "use nonces or hashes: inline scripts are what an attacker writes";
        return Some(("scripts_inline", Severity::High, cure));
    }
    if is_for_scripts(name) && source == "'unsafe-eval'" {
        return Some(("scripts_eval", Severity::Medium, "rewrite what calls eval()"));
    }
    if source.starts_with("http:") || (source == "*" && name != "img-src") {
        return Some(("source_weak", Severity::Medium, "name hosts, with https"));
    }
    if name.starts_with("style-src") && source == "'unsafe-inline'" {
        return Some(("styles_inline", Severity::Low, "use nonces or hashes for styles too"));
    }
    None
}

/// What a policy must say and this one does not.
fn missing(policy: &Csp) -> Vec<CspFinding> {
    let mut findings = Vec::new();
    let mut say = |directive, severity, cure| {
        findings.push(finding(Some(directive), None, "directive_missing", severity, cure));
    };
    if policy.effective("script-src").is_none() {
        say("script-src", Severity::High, "write default-src 'self' or stricter: scripts come from anywhere");
    }
    if policy.effective("object-src").is_none() {
        say("object-src", Severity::High, "write object-src 'none': plug-ins run scripts");
    }
    let nonces = policy.effective("script-src").is_some_and(|sources| sources.iter().any(|one| is_nonce_or_hash(one)));
    if policy.directive("base-uri").is_none() {
        let severity = if nonces { Severity::High } else { Severity::Medium };
        say("base-uri", severity, "write base-uri 'self': <base> moves where relative scripts come from");
    }
    if policy.directive("frame-ancestors").is_none() {
        say("frame-ancestors", Severity::Medium, "write frame-ancestors 'none': default-src does not cover it");
    }
    if policy.directive("form-action").is_none() {
        say("form-action", Severity::Low, "write form-action 'self': default-src does not cover it");
    }
    findings
}

const fn finding(
    directive: Option<&'static str>,
    source: Option<usize>,
    code: &'static str,
    severity: Severity,
    cure: &'static str,
) -> CspFinding {
    CspFinding { directive, source, code, severity, cure }
}

fn is_nonce_or_hash(source: &str) -> bool {
    let lower = source.to_ascii_lowercase();
    ["'nonce-", "'sha256-", "'sha384-", "'sha512-"].iter().any(|start| lower.starts_with(start))
}

/// `sha256-` and the digest, in either alphabet of base64.
fn is_hash(word: &str) -> bool {
    let Some((algorithm, digest)) = word.split_once('-') else { return false };
    let length = match algorithm.to_ascii_lowercase().as_str() {
        "sha256" => 32,
        "sha384" => 48,
        _ => 64,
    };
    let digest = digest.replace('-', "+").replace('_', "/");
    data_encoding::BASE64.decode(digest.as_bytes()).is_ok_and(|bytes| bytes.len() == length)
}

fn is_scheme(source: &str) -> bool {
    source.strip_suffix(':').is_some_and(is_scheme_name)
}

fn is_scheme_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// `[scheme://]host[:port][/path]`.
fn is_host(source: &str) -> bool {
    let rest = match source.split_once("://") {
        Some((scheme, rest)) if is_scheme_name(scheme) => rest,
        Some(_) => return false,
        None => source,
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let digits = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    port.is_none_or(|port| port == "*" || digits(port))
        && (host == "*" || host.strip_prefix("*.").unwrap_or(host).split('.').all(label))
        && !rest.contains(['?', '#', '\'', '"', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(policy: &str) -> Vec<(&'static str, Severity)> {
        judge(&Csp::parse(policy).unwrap()).into_iter().map(|found| (found.code, found.severity)).collect()
    }

    const CLOSED: &str = "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'; ";

    #[test]
    fn what_no_browser_follows_is_found() {
        for (source, code) in [
            ("self", "quotes_missing"),
            ("none", "quotes_missing"),
            ("unsafe-inline", "quotes_missing"),
            ("'slef'", "keyword_unknown"),
            ("'self", "quote_open"),
            ("'https://cdn.example'", "keyword_unknown"),
            ("'nonce-c2FtZQ=='", "nonce_fixed"),
            ("'sha256-abc'", "hash_wrong"),
            ("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "quotes_missing"),
            ("https://", "source_wrong"),
            ("cdn..example", "source_wrong"),
            ("https://user@cdn.example", "source_wrong"),
            ("cdn.example:port", "source_wrong"),
            ("https://cdn.example?x", "source_wrong"),
        ] {
            let found = codes(&format!("{CLOSED}script-src {source}"));
            assert_eq!(found, [(code, Severity::Nonsense)], "{source}");
        }
        assert_eq!(codes(&format!("{CLOSED}script-src 'none' 'self'")), [("none_not_alone", Severity::Nonsense)]);
        assert_eq!(codes(&format!("{CLOSED}script-src 'self'; scirpt-src *"))[0].0, "directive_unknown");
        let alone = format!("{CLOSED}script-src 'self'; upgrade-insecure-requests 1");
        assert_eq!(codes(&alone)[0].0, "sources_unexpected");
    }

    #[test]
    fn what_undoes_a_policy_is_high() {
        for source in ["*", "https:", "http:", "data:", "blob:", "'unsafe-inline'", "https://*"] {
            let found = codes(&format!("{CLOSED}script-src {source}"));
            assert_eq!(found.first().map(|found| found.1), Some(Severity::High), "{source}: {found:?}");
        }
        assert!(codes("img-src 'self'").iter().filter(|(_, severity)| *severity == Severity::High).count() == 2);
        let nonce = "script-src 'unsafe-inline' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='";
        assert_eq!(codes(&format!("{CLOSED}{nonce}")), [], "older browsers have the one, newer ones the other");
        let bare = format!("object-src 'none'; {nonce}");
        assert!(codes(&bare).contains(&("directive_missing", Severity::High)), "a base needs closing beside hashes");
    }

    #[test]
    fn ordinary_sources_pass() {
        for source in [
            "'self'",
            "https://cdn.example",
            "*.cdn.example:443",
            "wss://h.example/socket",
            "localhost:3000",
            "'strict-dynamic'",
            "'sha384-OLBgp1GsljhM2TJ+sbHjaiH9txEUvgdDTAzHv2P24donTt6/529l+9Ua0vFImLlb'",
            "127.0.0.1:*",
        ] {
            assert_eq!(codes(&format!("{CLOSED}script-src {source}")), [], "{source}");
        }
    }
}
