//! How often things may be done: `[limits]`, and `[[limits.policies]]` for single routes.

use std::sync::Arc;

use chancery_domain::limits::{Limit, LimitSettings, MOST_EXACT, On, OnLoss, Per, Policy, Rule};

use super::{
    entry::Entry,
    findings::Findings,
    source::{Settings, Tables},
    text::{self, subject},
};

/// The list's name.
pub(super) const LIST: &str = "limits.policies";

/// The limits of all requests, which have no routes: how often an installation allows them unless it says otherwise.
const OVERALL: &[(&str, Per, Option<Limit>)] = &[
    // Far above what one program does, far below what hurts: an address may be that of a whole clinic.
    ("address", Per::Address, Some(Limit { count: 60_000, seconds: 60 })),
    ("account", Per::Account, None),
    ("tenant", Per::Tenant, None),
];

/// The most that can be counted, and the longest window: a day.
const MOST: u32 = 10_000_000;
const LONGEST: u32 = 86_400;
/// What comes of many refusals: the policies that count them.
const ANSWERS: [&str; 3] = ["block", "suspend", "stop"];

/// The settings under `limits`.
pub(super) fn read(settings: &Settings, lenient: bool, findings: &mut Findings) -> LimitSettings {
    let mut limits = LimitSettings::usual();
    limits.enabled = settings.find("limits.enabled").is_none() || text::flag(settings, "limits.enabled", findings);
    limits.lockouts = settings.find("limits.lockouts").is_none() || text::flag(settings, "limits.lockouts", findings);
    for (name, per, limit) in OVERALL {
        // A load test on a developer's machine comes from one address.
        if let Some(policy) = limit.filter(|_| !lenient).and_then(|limit| Policy::new(name, limit)) {
            limits.rules.push(Rule { policy: Arc::new(policy), per: *per, on: On::Everything });
        }
    }
    for name in ["login", "registration", "second_factor", "password", "address", "account", "tenant"] {
        let key = format!("limits.{name}");
        let Some(setting) = settings.find(&key) else { continue };
        match often(&setting.text) {
            Some(often) => set(&mut limits, name, often),
            None => {
                let cure = format!("write COUNT/SECONDS, such as {name} = \"5/60\", or \"off\"");
                findings.fault(subject(&key, &setting.origin), "is no limit", cure);
            }
        }
    }
    limits.block_seconds = text::number(settings, "limits.block_seconds", 3_600, 60..=30 * 86_400, findings);
    let [block, suspend, stop] = ANSWERS;
    limits.block_after = after(settings, block, findings);
    limits.suspend_seconds = text::number(settings, "limits.suspend_seconds", 3_600, 60..=30 * 86_400, findings);
    limits.suspend_after = after(settings, suspend, findings);
    limits.stop_after = after(settings, stop, findings);
    read_policies(&settings.tables(LIST), &mut limits, findings);
    limits
}

/// After how many refusals something is done, such as `limits.block_after`; never if nothing is said.
fn after(settings: &Settings, what: &str, findings: &mut Findings) -> Option<Arc<Policy>> {
    let key = format!("limits.{what}_after");
    let setting = settings.find(&key)?;
    match often(&setting.text) {
        Some(often) => often.and_then(|limit| Policy::new(what, limit)).map(Arc::new),
        None => {
            let cure = format!("write COUNT/SECONDS, such as {what}_after = \"1000/600\", or \"off\"");
            findings.fault(subject(&key, &setting.origin), "is no limit", cure);
            None
        }
    }
}

/// `5/60`, or `off`.
fn often(text: &str) -> Option<Option<Limit>> {
    if text.trim() == "off" {
        return Some(None);
    }
    let (count, seconds) = text.split_once('/')?;
    let (count, seconds) = (count.trim().parse().ok()?, seconds.trim().parse().ok()?);
    let fits = (1..=MOST).contains(&count) && (1..=LONGEST).contains(&seconds);
    fits.then_some(Some(Limit { count, seconds }))
}

fn set(limits: &mut LimitSettings, name: &str, often: Option<Limit>) {
    let Some(limit) = often else { return limits.rules.retain(|rule| rule.policy.name() != name) };
    if let Some(rule) = limits.rules.iter_mut().find(|rule| rule.policy.name() == name) {
        let mut policy = Policy::clone(&rule.policy).exact(limit.count <= MOST_EXACT);
        policy.limit = limit;
        rule.policy = Arc::new(policy);
    } else if let (Some((_, per, _)), Some(policy)) =
        (OVERALL.iter().find(|(overall, ..)| *overall == name), Policy::new(name, limit))
    {
        limits.rules.push(Rule { policy: Arc::new(policy), per: *per, on: On::Everything });
    }
}

fn read_policies(tables: &Tables, limits: &mut LimitSettings, findings: &mut Findings) {
    for (number, (table, origin)) in tables {
        let mut entry = Entry::new(LIST, *number, origin, table, findings);
        read_policy(&mut entry, limits);
        entry.refuse_unknown("policy");
    }
}

/// One entry: a limit of its own, or a change of one that there is.
fn read_policy(entry: &mut Entry<'_>, limits: &mut LimitSettings) {
    let name = entry.needed("name", "seal");
    let there = limits.rules.iter().position(|rule| rule.policy.name() == name);
    let base = match there.and_then(|at| limits.rules.get(at)) {
        Some(rule) => rule.clone(),
        None if name == limits.api_key.name() => {
            Rule { policy: Arc::clone(&limits.api_key), per: Per::ApiKey, on: On::Everything }
        }
        // Two policies of one name count together: each request would be a step towards a block.
        None if ANSWERS.contains(&name.as_str()) => {
            return entry.fault("name", "is that of an automatic answer", "choose another name");
        }
        None => {
            let Some(policy) = Policy::new(&name, Limit { count: 600, seconds: 60 }) else {
                return entry.fault("name", "is no name", "write 1 to 32 small letters, digits, _ and -");
            };
            for key in ["count", "per"] {
                if !entry.table.contains_key(key) {
                    entry.fault(key, "is missing", "write count = 600 and per = \"api_key\"");
                }
            }
            Rule { policy: Arc::new(policy), per: Per::ApiKey, on: On::Named }
        }
    };
    let mut policy = Policy::clone(&base.policy);
    policy.limit.count = entry.number("count", policy.limit.count, 1, MOST);
    policy.limit.seconds = entry.number("seconds", policy.limit.seconds, 1, LONGEST);
    // How often an API key may stands with the key: there `exact` speaks of those that are small enough.
    let fits = policy.limit.count <= MOST_EXACT || policy.name() == limits.api_key.name();
    policy.exact = entry.flag("exact", fits);
    if policy.exact && !fits {
        entry.fault("exact", "is set for a limit that is too high for it", "write exact = false, or a count up to 100");
    }
    policy.shadow = entry.flag("shadow", policy.shadow);
    policy.on_loss = word(entry, "on_loss", policy.on_loss, OnLoss::ALL);
    let per = word(entry, "per", base.per, Per::ALL);
    let routes = entry.words("routes");
    let on = match routes.as_slice() {
        [] => base.on,
        [all] if all == "*" => On::Everything,
        _ => On::Routes(routes),
    };
    if policy.name() == limits.api_key.name() {
        if ["count", "seconds", "per", "routes"].iter().any(|key| entry.table.contains_key(*key)) {
            let cure = "set api_keys.per_minute, or a key's own rate_limit; here exact, shadow and on_loss can be set";
            entry.fault("name", "is that of the limit of API keys", cure);
        }
        limits.api_key = Arc::new(policy);
        return;
    }
    let rule = Rule { policy: Arc::new(policy), per, on };
    match there.and_then(|at| limits.rules.get_mut(at)) {
        Some(old) => *old = rule,
        None => limits.rules.push(rule),
    }
}

/// One of the words of an enum.
fn word<T>(entry: &mut Entry<'_>, key: &'static str, default: T, all: &[T]) -> T
where
    T: Copy + std::fmt::Display + std::str::FromStr,
{
    let Some(text) = entry.text(key) else { return default };
    text.parse().unwrap_or_else(|_| {
        let words: Vec<String> = all.iter().map(ToString::to_string).collect();
        entry.fault(key, "has a value that is not known", format!("write one of: {}", words.join(", ")));
        default
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(&str, &str)]) -> (LimitSettings, Vec<String>) {
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        let variables: Vec<(String, String)> =
            values.iter().map(|(name, value)| (format!("CHANCERY__LIMITS__{name}"), (*value).to_owned())).collect();
        settings.read_environment(&variables, &mut findings);
        let limits = read(&settings, false, &mut findings);
        (limits, findings.faults.iter().map(|fault| format!("{} {}", fault.subject, fault.problem)).collect())
    }

    fn limit(limits: &LimitSettings, name: &str) -> Option<(u32, u32)> {
        limits.named(name).map(|rule| (rule.policy.limit.count, rule.policy.limit.seconds))
    }

    #[test]
    fn without_a_word_logins_registrations_and_addresses_are_limited() {
        let (limits, faults) = of(&[]);
        assert!(limits.enabled && faults.is_empty());
        assert_eq!(limit(&limits, "login"), Some((5, 60)));
        assert_eq!(limit(&limits, "registration"), Some((3, 60)));
        assert_eq!(limit(&limits, "address"), Some((60_000, 60)));
        assert_eq!((limit(&limits, "account"), limit(&limits, "tenant")), (None, None));
    }

    #[test]
    fn every_threshold_can_be_set_and_one_switch_turns_all_off() {
        let (limits, faults) =
            of(&[("LOGIN", "20/300"), ("ADDRESS", "off"), ("TENANT", "5000/60"), ("ENABLED", "false")]);
        assert_eq!(faults, Vec::<String>::new());
        assert!(!limits.enabled);
        assert_eq!(limit(&limits, "login"), Some((20, 300)));
        assert_eq!((limit(&limits, "address"), limit(&limits, "tenant")), (None, Some((5_000, 60))));
        let login = limits.named("login").unwrap();
        assert!(login.policy.exact && matches!(&login.on, On::Routes(routes) if !routes.is_empty()));
        for bad in ["5", "0/60", "5/0", "5/60/1", "x/60", "5/86401", ""] {
            assert_eq!(of(&[("LOGIN", bad)]).1.len(), 1, "{bad}");
        }
    }

    #[test]
    fn answers_to_many_refusals_are_off_unless_somebody_says_after_how_many() {
        let (limits, _) = of(&[]);
        assert!(limits.block_after.is_none() && limits.suspend_after.is_none() && limits.stop_after.is_none());
        let (limits, faults) = of(&[
            ("BLOCK_AFTER", "1000/600"),
            ("SUSPEND_AFTER", "500/60"),
            ("SUSPEND_SECONDS", "900"),
            ("STOP_AFTER", "off"),
        ]);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(limits.block_after.unwrap().limit, Limit { count: 1_000, seconds: 600 });
        assert_eq!(limits.suspend_after.unwrap().limit, Limit { count: 500, seconds: 60 });
        assert!(limits.suspend_seconds == 900 && limits.stop_after.is_none());
        for bad in [("SUSPEND_AFTER", "many"), ("STOP_AFTER", "5"), ("SUSPEND_SECONDS", "1")] {
            assert_eq!(of(&[bad]).1.len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_policy_is_a_limit_of_its_own_or_changes_one_that_there_is() {
        let (limits, faults) = of(&[
            ("POLICIES__0__NAME", "seal"),
            ("POLICIES__0__COUNT", "50"),
            ("POLICIES__0__PER", "tenant"),
            ("POLICIES__0__ROUTES", "POST /v1/seal, POST /v1/open"),
            ("POLICIES__1__NAME", "login"),
            ("POLICIES__1__SHADOW", "true"),
            ("POLICIES__2__NAME", "api_key"),
            ("POLICIES__2__ON_LOSS", "closed"),
            ("POLICIES__3__NAME", "reports"),
            ("POLICIES__3__COUNT", "200"),
            ("POLICIES__3__SECONDS", "10"),
            ("POLICIES__3__PER", "address"),
        ]);
        assert_eq!(faults, Vec::<String>::new());
        let seal = limits.named("seal").unwrap();
        assert_eq!(seal.on, On::Routes(vec!["POST /v1/seal".to_owned(), "POST /v1/open".to_owned()]));
        assert_eq!((seal.per, seal.policy.exact, seal.policy.on_loss), (Per::Tenant, true, OnLoss::Local));
        let login = limits.named("login").unwrap();
        assert!(login.policy.shadow && login.policy.on_loss == OnLoss::Closed);
        assert_eq!(limit(&limits, "login"), Some((5, 60)));
        assert!(limits.api_key.on_loss == OnLoss::Closed && limits.api_key.exact);
        let reports = limits.named("reports").unwrap();
        assert_eq!((&reports.on, reports.policy.exact), (&On::Named, false));
    }

    #[test]
    fn what_cannot_be_is_a_fault() {
        for (values, expected) in [
            (vec![("POLICIES__0__NAME", "Seal")], "is no name"),
            (vec![("POLICIES__0__NAME", "seal"), ("POLICIES__0__COUNT", "5")], "is missing"),
            (vec![("POLICIES__0__NAME", "login"), ("POLICIES__0__PER", "moon")], "is not known"),
            (vec![("POLICIES__0__NAME", "login"), ("POLICIES__0__WINDOW", "5")], "is no setting of this policy"),
            (vec![("POLICIES__0__NAME", "login"), ("POLICIES__0__COUNT", "0")], "is out of bounds"),
            (vec![("POLICIES__0__NAME", "address"), ("POLICIES__0__EXACT", "true")], "too high for it"),
            (vec![("POLICIES__0__NAME", "api_key"), ("POLICIES__0__COUNT", "5")], "the limit of API keys"),
            (vec![("POLICIES__0__NAME", "block")], "is that of an automatic answer"),
        ] {
            let (_, faults) = of(&values);
            assert!(faults.len() == 1 && faults[0].contains(expected), "{values:?} {faults:?}");
        }
    }
}
