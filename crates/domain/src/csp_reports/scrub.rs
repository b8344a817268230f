//! What is kept of a report: nothing that could be of a person.

/// Every directive that a report may be about.
const DIRECTIVES: [&str; 21] = [
    "base-uri",
    "child-src",
    "connect-src",
    "default-src",
    "font-src",
    "form-action",
    "frame-ancestors",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "object-src",
    "require-trusted-types-for",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "trusted-types",
    "worker-src",
];
/// What stands in the place of an address.
const WORDS: [&str; 7] = ["inline", "eval", "wasm-eval", "self", "trusted-types-policy", "trusted-types-sink", "other"];
/// Addresses that are whole by their scheme.
const SCHEMES: [&str; 5] = ["data", "blob", "filesystem", "about", "mediastream"];
/// The longest host, and the longest first word of a path.
const LONGEST: (usize, usize) = (255, 24);

/// A report as a browser tells it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BrowserReport<'a> {
    /// The page.
    pub document: &'a str,
    /// What was stopped.
    pub blocked: &'a str,
    /// By which directive.
    pub directive: &'a str,
    /// The script that did it.
    pub source: &'a str,
    /// Stopped, and not only reported.
    pub enforced: bool,
}

/// What is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// By which directive.
    pub directive: String,
    /// The origin of what was stopped, or a word such as `inline`.
    pub blocked: String,
    /// The page's origin and the first word of its path.
    pub document: String,
    /// The origin of the script that did it; empty if none is told.
    pub source: String,
    /// Stopped, and not only reported.
    pub enforced: bool,
}

/// Keeps what may be kept. None is kept of what no page of an application does: extensions of the browser, directives that are
/// not there, pages without an address.
pub fn scrub(told: BrowserReport<'_>) -> Option<Seen> {
    // Old browsers repeat the whole directive.
    let word = told.directive.split_ascii_whitespace().next()?.to_ascii_lowercase();
    let directive = DIRECTIVES.iter().find(|known| **known == word)?;
    let document = page(told.document)?;
    let blocked = target(told.blocked, &document)?;
    let source = if told.source.is_empty() { String::new() } else { target(told.source, &document)? };
    Some(Seen { directive: (*directive).to_owned(), blocked, document, source, enforced: told.enforced })
}

/// A page's origin and the first word of its path.
fn page(address: &str) -> Option<String> {
    let origin = origin(address)?;
    let path = address.split_once("://")?.1.split_once('/').map_or("", |(_, path)| path);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut words = path.split('/').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let more = if words.next().is_some() { "/*" } else { "" };
    let plain =
        first.len() <= LONGEST.1 && first.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte));
    let first = if plain { first } else { "*" };
    Some(format!("{origin}/{first}{more}"))
}

/// An origin, or one of a few words.
fn target(address: &str, document: &str) -> Option<String> {
    let lower = address.get(..address.len().min(32)).unwrap_or_default().to_ascii_lowercase();
    if address.is_empty() {
        return Some("inline".to_owned());
    }
    if let Some(word) = WORDS.iter().find(|word| **word == lower) {
        return Some((*word).to_owned());
    }
    let scheme = lower.split(':').next().unwrap_or_default();
    if SCHEMES.contains(&scheme) {
        return Some(scheme.to_owned());
    }
    // `chrome-extension`, `moz-extension`, `safari-web-extension` and whatever is called so next.
    if scheme.ends_with("extension") {
        return None;
    }
    let origin = origin(address)?;
    Some(if document.strip_prefix(&origin).is_some_and(|rest| rest.starts_with('/')) {
        "self".to_owned()
    } else {
        origin
    })
}

/// Scheme, host and port of an address of the web, in small letters; who is logged in with it is left out.
fn origin(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if !["https", "http", "wss", "ws"].contains(&scheme.as_str()) {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?.to_ascii_lowercase();
    let fine = !host.is_empty()
        && host.len() <= LONGEST.0
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte));
    fine.then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told<'a>(document: &'a str, blocked: &'a str, directive: &'a str) -> BrowserReport<'a> {
        BrowserReport { document, blocked, directive, source: "", enforced: true }
    }

    #[test]
    fn nothing_of_a_person_is_kept() {
        let seen = scrub(BrowserReport {
            document: "https://jane:secret@App.clinic.test:8443/patients/jane-doe/1970-01-01?ssn=123-45-6789#note",
            blocked: "https://Tracker.test/p.gif?mail=jane@doe.test",
            directive: "img-src 'self'",
            source: "https://cdn.test/a.js?session=abc",
            enforced: false,
        });
        let kept = Seen {
            directive: "img-src".to_owned(),
            blocked: "https://tracker.test".to_owned(),
            document: "https://app.clinic.test:8443/patients/*".to_owned(),
            source: "https://cdn.test".to_owned(),
            enforced: false,
        };
        assert_eq!(seen, Some(kept));
        for (path, kept) in [
            ("/", "/"),
            ("", "/"),
            ("/mrn-8831", "/*"),
            ("/Jane", "/*"),
            ("/jane%20doe", "/*"),
            ("/portal", "/portal"),
            ("/portal/", "/portal"),
            ("//portal//x", "/portal/*"),
            ("/abcdefghijklmnopqrstuvwxyz", "/*"),
        ] {
            let document = format!("https://a.test{path}");
            assert_eq!(scrub(told(&document, "eval", "script-src")).unwrap().document, format!("https://a.test{kept}"));
        }
    }

    #[test]
    fn what_was_stopped_is_an_origin_or_a_word() {
        for (blocked, kept) in [
            ("inline", Some("inline")),
            ("", Some("inline")),
            ("EVAL", Some("eval")),
            ("data", Some("data")),
            ("data:text/html;base64,SmFuZSBEb2U=", Some("data")),
            ("blob:https://a.test/uuid", Some("blob")),
            ("https://a.test/x.js", Some("self")),
            ("https://a.test", Some("self")),
            ("https://a.test.evil.test/x.js", Some("https://a.test.evil.test")),
            ("wss://live.test/socket", Some("wss://live.test")),
            ("chrome-extension://abcdef/x.js", None),
            ("moz-extension", None),
            ("safari-web-extension://x", None),
            ("javascript:alert(1)", None),
            ("https://", None),
            ("https://h\u{e4}.test/", None),
        ] {
            let seen = scrub(told("https://a.test/portal", blocked, "script-src-elem"));
            assert_eq!(seen.map(|seen| seen.blocked).as_deref(), kept, "{blocked}");
        }
    }

    #[test]
    fn what_no_page_does_is_not_kept() {
        for (document, directive) in [
            ("about:blank", "script-src"),
            ("", "script-src"),
            ("file:///home/jane/x.html", "script-src"),
            ("https://a.test/", "scirpt-src"),
            ("https://a.test/", ""),
        ] {
            assert_eq!(scrub(told(document, "inline", directive)), None, "{document} {directive}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_short_and_plain(document in any::<String>(), blocked in any::<String>(), source in any::<String>()) {
            for document in [document.clone(), format!("https://{document}"), format!("https://a.test/{document}")] {
                for blocked in [blocked.clone(), format!("https://{blocked}")] {
                    let (document, blocked, source) = (&*document, &*blocked, &*source);
                    let told = BrowserReport { document, blocked, directive: "img-src", source, enforced: true };
                    let Some(seen) = scrub(told) else { continue };
                    for text in [&seen.document, &seen.blocked, &seen.source] {
                        prop_assert!(text.len() <= 300 && text.is_ascii());
                        prop_assert!(!text.contains(['?', '#', '@', '%', ' ', '"', '\'']), "{}", text);
                    }
                }
            }
        }
    }
}
