//! Redis, where nodes share one.

use std::{path::PathBuf, time::Duration};

use chancery_crypto::Secret;
use chancery_domain::weak;
use chancery_kms::private_file;
use chancery_redis::Address;

use super::{
    findings::Findings,
    source::Settings,
    text::{self, subject},
};

/// The fewest characters of its password (CF-06).
const FEWEST: usize = 16;

/// How Redis is used.
#[derive(Debug)]
pub struct RedisConfig {
    /// Where it is, and how one logs in. Prints without the password.
    pub address: Address,
    /// The only authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// How many nodes share it.
    pub nodes: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Whether nodes leave verified API keys there for each other, sealed.
    pub api_keys: bool,
    /// Whether it is one of the nodes of a Redis Cluster.
    pub cluster: bool,
    /// Where the password came from.
    password_from: Option<&'static str>,
}

/// The settings under `redis`. Without an address there is none.
pub(super) fn read(settings: &Settings, lenient: bool, findings: &mut Findings) -> Option<RedisConfig> {
    let Some(url) = settings.find("redis.url") else {
        if let Some(password) = settings.find("redis.password") {
            let cure = "set redis.url = \"rediss://HOST:6379\", or unset it: without Redis each node counts for itself";
            findings.warn(subject("redis.password", &password.origin), "is set and redis.url is not", cure);
        }
        return None;
    };
    let Ok(mut address) = url.text.parse::<Address>() else {
        let cure = "write rediss://HOST:6379/0, and the password into a file that redis.password_file names";
        findings.fault(subject("redis.url", &url.origin), "is no address of Redis", cure);
        return None;
    };
    if let Some(username) = settings.find("redis.username") {
        address.username = Some(username.text.clone());
    }
    let given = [
        ("redis.url", address.password.is_some()),
        ("redis.password", settings.find("redis.password").is_some()),
        ("redis.password_file", settings.find("redis.password_file").is_some()),
    ];
    let given: Vec<&'static str> = given.into_iter().filter(|(_, there)| *there).map(|(key, _)| key).collect();
    if given.len() > 1 {
        // Which one counts would be a guess.
        findings.fault("redis", format!("has passwords in {}", given.join(" and ")), "keep one of them");
    }
    let password_from = given.first().copied();
    if let Some(password) = settings.find("redis.password").filter(|password| !password.text.is_empty()) {
        address.password = Some(Secret::new(password.text.clone()));
    }
    if let Some(file) = settings.find("redis.password_file") {
        address.password = password_in(&file.text, &file.origin, lenient, findings).or(address.password);
    }
    Some(RedisConfig {
        address,
        ca_file: settings.find("redis.ca_file").map(|file| PathBuf::from(&file.text)),
        nodes: text::number(settings, "redis.nodes", 2, 1..=1_000, findings),
        timeout: Duration::from_millis(text::number(settings, "redis.timeout_ms", 50, 5..=5_000, findings)),
        api_keys: text::flag(settings, "redis.api_keys", findings),
        cluster: text::flag(settings, "redis.cluster", findings),
        password_from,
    })
}

fn password_in(path: &str, origin: &str, lenient: bool, findings: &mut Findings) -> Option<Secret<String>> {
    let subject = subject("redis.password_file", origin);
    let (content, mode) = match private_file::read_any_mode(path.as_ref(), 4_096) {
        Ok(read) => read,
        Err(error) => {
            findings.fault(subject, error.to_string(), "correct the path, or let this server's user read it");
            return None;
        }
    };
    if mode & 0o077 != 0 {
        let problem = format!("{path} can be read or written by group or others (mode {mode:03o})");
        findings.fault_unless(lenient, subject.clone(), problem, format!("run: chmod 600 {path}"));
    }
    let text = std::str::from_utf8(&content).ok().map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
    if text.is_none() {
        findings.fault(subject, "is no text", "put the password into it, and nothing else");
    }
    text.filter(|text| !text.is_empty()).map(Secret::new)
}

/// What must hold of it (CF-06, CF-07, ST-05).
pub(super) fn check(redis: &RedisConfig, lenient: bool, findings: &mut Findings) {
    let from = redis.password_from.unwrap_or("redis.password_file");
    let cure = "give Redis a password of 32 random characters, and put it into a file of mode 600 that redis.password_file names";
    match &redis.address.password {
        None if lenient => {}
        None => findings.fault("redis.password_file", "is not set: Redis would let anybody in", cure),
        Some(password) => {
            let text = password.expose();
            if text.chars().count() < FEWEST {
                findings.fault_unless(lenient, from, "is a password of under 16 characters", cure);
            }
            if weak::is_weak(text) {
                findings.fault_unless(lenient, from, "is a well-known weak or default value", cure);
            }
        }
    }
    if redis.password_from == Some("redis.url") {
        findings.warn("redis.url", "holds a password", "put it into a file of mode 600 that redis.password_file names");
    }
    if redis.address.is_remote() && !redis.address.tls {
        findings.fault_unless(
            lenient,
            "redis.url",
            "reaches another machine and the connection is in clear",
            "write rediss://, and redis.ca_file for an authority of your own",
        );
    }
    if !redis.cluster && !redis.address.others.is_empty() {
        findings.fault("redis.url", "names several servers", "set redis.cluster = true, or name one");
    }
    if redis.cluster && redis.address.database != 0 {
        findings.fault("redis.url", "names a database, and a cluster has only one", "leave out what follows the port");
    }
    if redis.ca_file.as_ref().is_some_and(|file| !file.is_file()) {
        findings.fault("redis.ca_file", "does not exist", "correct the path");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "a-Password-of-our-own-7";

    fn of(variables: &[(&str, &str)], lenient: bool) -> (Option<RedisConfig>, Vec<String>) {
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        settings.read_environment(&variables, &mut findings);
        let read = read(&settings, lenient, &mut findings);
        if let Some(read) = &read {
            check(read, lenient, &mut findings);
        }
        (read, findings.faults.iter().map(|fault| format!("{} {}", fault.subject, fault.problem)).collect())
    }

    #[test]
    fn older_names_are_read_and_nothing_prints_the_password() {
        let (read, faults) = of(&[("REDIS_URL", "redis://127.0.0.1:6390/1"), ("REDIS_PASSWORD", GOOD)], false);
        assert_eq!(faults, Vec::<String>::new());
        let read = read.unwrap();
        assert_eq!(read.address.password.as_ref().unwrap().expose(), GOOD);
        assert_eq!((read.nodes, read.timeout), (2, Duration::from_millis(50)));
        assert!(!read.api_keys && !read.cluster);
        assert!(!format!("{read:?}").contains(GOOD));
        assert!(of(&[("REDIS_PASSWORD", GOOD)], false).0.is_none());
    }

    #[test]
    fn in_production_a_long_password_that_nobody_knows_is_compulsory() {
        let url = ("REDIS_URL", "redis://127.0.0.1");
        for (password, fault) in [
            (None, "Redis would let anybody in"),
            (Some("short-7"), "under 16 characters"),
            (Some("your_secret_key_here"), "well-known"),
        ] {
            let given: Vec<_> =
                [Some(url), password.map(|password| ("REDIS_PASSWORD", password))].into_iter().flatten().collect();
            let (_, faults) = of(&given, false);
            assert!(faults.len() == 1 && faults[0].contains(fault), "{faults:?}");
            assert!(password.is_none_or(|password| !faults[0].contains(password)), "{faults:?}");
            assert_eq!(of(&given, true).1, Vec::<String>::new(), "in development it only warns");
        }
    }

    #[test]
    fn what_cannot_be_is_a_fault() {
        let password = ("REDIS_PASSWORD", GOOD);
        for (given, fault) in [
            (vec![("REDIS_URL", "http://cache"), password], "is no address of Redis"),
            (vec![("REDIS_URL", "redis://cache.clinic.test"), password], "in clear"),
            (vec![("REDIS_URL", "redis://:another-Password-7@127.0.0.1"), password], "has passwords in"),
            (
                vec![("REDIS_URL", "redis://127.0.0.1"), ("CHANCERY__REDIS__PASSWORD_FILE", "/nowhere")],
                "redis.password_file",
            ),
            (vec![("REDIS_URL", "redis://127.0.0.1"), password, ("CHANCERY__REDIS__NODES", "0")], "out of bounds"),
            (vec![("REDIS_URL", "redis://127.0.0.1,127.0.0.1:7001"), password], "names several servers"),
            (
                vec![("REDIS_URL", "redis://127.0.0.1/3"), password, ("CHANCERY__REDIS__CLUSTER", "true")],
                "has only one",
            ),
        ] {
            let (_, faults) = of(&given, false);
            assert!(!faults.is_empty() && faults[0].contains(fault), "{given:?} {faults:?}");
        }
        assert_eq!(of(&[("REDIS_URL", "rediss://cache.clinic.test"), password], false).1, Vec::<String>::new());
    }
}
