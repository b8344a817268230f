//! Applications behind the gateway: `[[gateway.upstreams]]`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use chancery_gateway::{
    Address, Upstream,
    upstream::{Health, Secure},
};

use super::{entry::Entry, reach};
use crate::{guarded::Pin, tls::Outward};

/// The list's name.
pub(super) const LIST: &str = "gateway.upstreams";

pub(super) const NO_ADDRESS: &str = "is no address of an application";
pub(super) const EXAMPLE: &str = "write http://127.0.0.1:8000, https://app.internal or unix:/run/app.sock";
pub(super) const NO_TLS: &str =
    "write [[gateway.upstreams]] with a ca_file of authorities in PEM, or install those of the system";

/// Addresses with commas between.
pub(super) fn addresses(text: &str) -> Option<Vec<Address>> {
    let all: Option<Vec<Address>> = text.split(',').map(|text| Address::parse(text.trim()).ok()).collect();
    all.filter(|all| !all.is_empty())
}

/// How an application is spoken to.
#[derive(Default)]
pub(super) struct Outside {
    health: Option<Health>,
    http2: bool,
    ca_file: Option<PathBuf>,
    pins: Vec<Pin>,
}

/// An application at these addresses.
pub(super) fn application(name: &str, addresses: Vec<Address>, how: &Outside) -> Result<Arc<Upstream>> {
    let secure = match addresses.iter().any(Address::is_secure) {
        true => Some(Arc::new(Outward::new(how.ca_file.as_deref(), &how.pins, how.http2)?) as Arc<dyn Secure>),
        false => None,
    };
    Ok(Arc::new(Upstream::secured(name, addresses, how.health.clone(), how.http2, secure)))
}

/// The keys that its hosts may have.
fn pins(entry: &mut Entry<'_>, addresses: &[Address]) -> Vec<Pin> {
    let words = entry.words("pins");
    let Some(pins) = reach::parsed(&words) else {
        let cure = "write it as [\"app.internal sha256/BASE64\", \"app.internal sha256/BASE64\"]";
        entry.fault("pins", reach::NO_PINS, cure);
        return Vec::new();
    };
    if reach::lacks_a_spare(&pins) {
        entry.fault("pins", reach::NO_SPARE.problem, reach::NO_SPARE.cure);
    }
    let hosts: Vec<String> = addresses.iter().filter_map(Address::tls_host).collect();
    if !reach::are_asked(&pins, &hosts) {
        entry.fault("pins", reach::NOT_ASKED.problem, reach::NOT_ASKED.cure);
    }
    pins
}

/// One of `[[gateway.upstreams]]`.
pub(super) fn upstream(entry: &mut Entry<'_>) -> Option<Arc<Upstream>> {
    let name = entry.needed("name", "app");
    let urls = entry.words("urls");
    let path = entry.text("health");
    let every = Duration::from_secs(entry.number("health_seconds", 5, 1, 3600));
    let (http2, ca_file) = (entry.flag("http2", false), entry.path("ca_file"));
    let addresses = addresses(&urls.join(","));
    let pins = pins(entry, addresses.as_deref().unwrap_or_default());
    if addresses.is_none() {
        entry.fault("urls", NO_ADDRESS, r#"write urls = ["http://127.0.0.1:8000"]"#);
    }
    if ca_file.is_some() && !addresses.iter().flatten().any(Address::is_secure) {
        entry.fault("ca_file", "is for addresses with https://, and there is none", "take it out");
    }
    if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        entry.fault("health", "is no path", r#"write health = "/healthz""#);
    }
    let health = path.map(|path| Health { path, every });
    reachable(entry, "ca_file", application(&name, addresses?, &Outside { health, http2, ca_file, pins }))
}

/// The application, or a fault.
pub(super) fn reachable(entry: &mut Entry<'_>, key: &str, made: Result<Arc<Upstream>>) -> Option<Arc<Upstream>> {
    made.inspect_err(|error| entry.fault(key, format!("cannot be used: {error:#}"), NO_TLS)).ok()
}

#[cfg(test)]
mod tests {
    use chancery_crypto::sha256;
    use data_encoding::BASE64;

    use super::*;
    use crate::config::findings::Findings;

    fn faults(text: &str) -> String {
        let table: toml::Table = text.parse().unwrap();
        let mut findings = Findings::default();
        let mut entry = Entry::new(LIST, 0, "test", &table, &mut findings);
        let made = upstream(&mut entry);
        entry.refuse_unknown("application");
        assert!(made.is_some() || !findings.faults.is_empty(), "none without a fault");
        findings.faults.iter().map(|fault| format!("{} {}\n", fault.subject, fault.problem)).collect()
    }

    #[tokio::test]
    async fn tls_is_asked_of_addresses_that_have_it_and_pins_of_hosts_that_are_asked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::new(vec!["ca".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(&file, authority.pem()).unwrap();
        let ca = format!("ca_file = {:?}\n", file.to_str().unwrap());
        let pin = |host: &str, number: u8| format!("\"{host} sha256/{}\"", BASE64.encode(&sha256(&[number])));
        let pins = |host: &str, count: u8| (0..count).map(|number| pin(host, number)).collect::<Vec<_>>().join(",");
        let app = "name = \"app\"\nurls = [\"https://App.internal:8443\"]\n";
        assert_eq!(faults(&format!("{app}{ca}pins = [{}]", pins("app.internal", 2))), "");
        assert!(faults(&format!("{app}{ca}pins = [{}]", pins("app.internal", 1))).contains("one key alone"));
        assert!(
            faults(&format!("{app}{ca}pins = [{}]", pins("other.internal", 2))).contains("pins a host that no address")
        );
        assert!(faults(&format!("{app}{ca}pins = [\"sha256/x\"]")).contains("no list of hosts"));
        assert!(faults(&format!("{app}ca_file = \"/nowhere\"")).contains("cannot read /nowhere"));
        let plain = "name = \"app\"\nurls = [\"http://127.0.0.1:1\"]\n";
        assert_eq!(faults(plain), "");
        assert!(faults(&format!("{plain}{ca}")).contains("addresses with https://, and there is none"));
    }
}
