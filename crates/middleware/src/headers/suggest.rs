//! The narrowest policy under which pages would have done what they were seen to do.

use std::collections::{BTreeMap, BTreeSet};

use super::csp::Csp;

/// One thing that a page was stopped from, as reports tell it.
#[derive(Debug, Clone, Copy)]
pub struct Blocked<'a> {
    /// By which directive.
    pub directive: &'a str,
    /// An origin, `self`, a scheme, or a word such as `inline`.
    pub what: &'a str,
}

/// A policy, and what it leaves to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Nothing but what was seen.
    pub policy: Csp,
    /// Inline scripts were seen: they need nonces or hashes, and no policy should let all of them in.
    pub inline_scripts: bool,
    /// Inline styles were seen.
    pub inline_styles: bool,
    /// `eval()` was seen: it is to be rewritten.
    pub eval: bool,
}

/// Makes the policy. Scripts from `data:` and `blob:`, inline code and `eval()` are never let in: they are told instead.
pub fn suggest<'a>(seen: impl IntoIterator<Item = Blocked<'a>>) -> Suggestion {
    let (mut inline_scripts, mut inline_styles, mut eval) = (false, false, false);
    let mut sources: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for Blocked { directive, what } in seen {
        // Parts of scripts and styles are governed by the whole.
        let directive = directive.trim_end_matches("-elem").trim_end_matches("-attr");
        let scripts = matches!(directive, "script-src" | "default-src" | "object-src" | "worker-src");
        let source = match what {
            "inline" if directive == "style-src" => {
                inline_styles = true;
                continue;
            }
            "inline" => {
                inline_scripts = true;
                continue;
            }
            "eval" | "wasm-eval" => {
                eval = true;
                continue;
            }
            "self" => "'self'".to_owned(),
            "data" | "blob" | "filesystem" | "mediastream" if !scripts => format!("{what}:"),
            origin if origin.contains("://") => origin.to_owned(),
            _ => continue,
        };
        sources.entry(directive).or_default().insert(source);
    }
    let mut policy = Csp::of(&[("default-src", "'none'")]);
    for (directive, sources) in sources.iter().filter(|(directive, _)| directive.ends_with("-src")) {
        if *directive != "default-src" {
            policy = policy.with(directive, &sources.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
        }
    }
    for (directive, closed) in [("frame-ancestors", "'none'"), ("base-uri", "'none'"), ("form-action", "'none'")] {
        let seen = sources.get(directive).map(|seen| seen.iter().map(String::as_str).collect::<Vec<_>>().join(" "));
        policy = policy.with(directive, seen.as_deref().unwrap_or(closed));
    }
    Suggestion { policy, inline_scripts, inline_styles, eval }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::{Severity, judge};

    #[test]
    fn it_lets_in_what_was_seen_and_nothing_else() {
        let seen = [
            ("script-src-elem", "https://cdn.test"),
            ("script-src-elem", "self"),
            ("script-src-attr", "inline"),
            ("script-src", "eval"),
            ("script-src", "data"),
            ("style-src-elem", "inline"),
            ("img-src", "data"),
            ("img-src", "https://img.test"),
            ("connect-src", "wss://live.test"),
            ("frame-ancestors", "https://portal.test"),
            ("trusted-types", "trusted-types-policy"),
        ];
        let suggestion = suggest(seen.map(|(directive, what)| Blocked { directive, what }));
        assert_eq!(
            suggestion.policy.to_string(),
            "default-src 'none'; connect-src wss://live.test; img-src data: https://img.test; \
             script-src 'self' https://cdn.test; frame-ancestors https://portal.test; base-uri 'none'; form-action 'none'"
        );
        assert!(suggestion.inline_scripts && suggestion.inline_styles && suggestion.eval);
        assert!(judge(&suggestion.policy).iter().all(|found| found.severity < Severity::High));
        let nothing = suggest([]).policy.to_string();
        assert_eq!(nothing, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
    }
}
