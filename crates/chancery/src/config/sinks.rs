//! Sinks of the audit log: `[[audit.sinks]]` in the file, or `CHANCERY__AUDIT__SINKS__0__KEY` in the environment.

use std::path::PathBuf;

use chancery_domain::audit::{
    formats::Body,
    sinks::{SinkKind, Takes},
};

use super::{entry::Entry, findings::Findings, reach, source::Tables};
use crate::guarded::Pin;

/// The list's name.
pub(super) const LIST: &str = "audit.sinks";

/// One sink, as the operator described it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// Its name: for people, commands, and the store, which keeps how far it is under this name.
    pub name: String,
    /// Which events it takes.
    pub takes: Takes,
    /// Which tenants' events, by their short names; everybody's if there are none.
    pub tenants: Vec<String>,
    /// How many events it is handed at once.
    pub batch: u32,
    /// What it is and where.
    pub place: SinkPlace,
}

/// What a sink is, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkPlace {
    /// Files of lines of JSON.
    File {
        /// The folder; it must be there.
        folder: PathBuf,
        /// From how many MiB on a file gets a successor.
        max_mib: u32,
        /// Whether each line has its proof.
        proofs: bool,
    },
    /// Syslog over TLS.
    Syslog {
        /// `host:port`.
        address: String,
        /// The only authorities to trust.
        ca_file: PathBuf,
        /// Our own certificate, and its key.
        client: Option<(PathBuf, PathBuf)>,
        /// 0 to 23.
        facility: u8,
        /// What a message's text is.
        body: Body,
        /// Whether the receiver ends its connections with a goodbye of TLS, as it should.
        close_notify: bool,
    },
    /// OCSF over HTTPS.
    Ocsf {
        /// Where.
        http: HttpPlace,
    },
    /// Elasticsearch's bulk API.
    Elasticsearch {
        /// The cluster's address.
        http: HttpPlace,
        /// The data stream or index.
        index: String,
    },
    /// Splunk's HTTP Event Collector.
    Splunk {
        /// The collector's address.
        http: HttpPlace,
        /// Another index than the token's own.
        index: Option<String>,
        /// Whether it is asked until the indexers have what was sent.
        acks: bool,
    },
    /// Objects in S3, sealed here.
    S3 {
        /// The bucket.
        bucket: BucketPlace,
        /// Whether each line has its proof.
        proofs: bool,
    },
}

/// Where objects go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlace {
    /// The bucket's name.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Replaces the region's address.
    pub endpoint: Option<String>,
    /// What every object's name begins with.
    pub prefix: String,
    /// Replaces the usual chain of credentials.
    pub credentials_file: Option<PathBuf>,
    /// The only authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// What the server is asked to do to objects that are sealed already.
    pub encryption: Encryption,
}

/// How the server is asked to encrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// With this key of AWS KMS, or with the one that S3 has there.
    Kms(Option<String>),
    /// With a key of S3's own.
    Aes256,
    /// As the bucket does by itself.
    Unsaid,
}

impl Encryption {
    /// The headers that say so.
    pub fn headers(&self) -> Vec<(&str, &str)> {
        const HOW: &str = "x-amz-server-side-encryption";
        match self {
            Self::Kms(None) => vec![(HOW, "aws:kms")],
            Self::Kms(Some(key)) => vec![(HOW, "aws:kms"), ("x-amz-server-side-encryption-aws-kms-key-id", key)],
            Self::Aes256 => vec![(HOW, "AES256")],
            Self::Unsaid => Vec::new(),
        }
    }
}

/// Where something answers over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpPlace {
    /// Its address.
    pub url: String,
    /// The token that is shown to it.
    pub token_file: Option<PathBuf>,
    /// The only authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// The keys that the host may have.
    pub pins: Vec<Pin>,
}

impl SinkPlace {
    /// Its kind.
    pub const fn kind(&self) -> SinkKind {
        match self {
            Self::File { .. } => SinkKind::File,
            Self::Syslog { .. } => SinkKind::Syslog,
            Self::Ocsf { .. } => SinkKind::Ocsf,
            Self::Elasticsearch { .. } => SinkKind::Elasticsearch,
            Self::Splunk { .. } => SinkKind::Splunk,
            Self::S3 { .. } => SinkKind::S3,
        }
    }
}

/// Reads all entries; what has faults is left out. In development receivers may be asked over HTTP.
pub(super) fn read(tables: &Tables, lenient: bool, findings: &mut Findings) -> Vec<SinkConfig> {
    let mut sinks: Vec<SinkConfig> = Vec::new();
    for (number, (table, origin)) in tables {
        let before = findings.faults.len();
        let mut entry = Entry::new(LIST, *number, origin, table, findings);
        let read = entry_of(&mut entry, lenient);
        if read.is_some() {
            entry.refuse_unknown("sink");
        }
        if let Some(read) = read {
            if sinks.iter().any(|other| other.name == read.name) {
                let problem = format!("is `{}`, which another sink is called too", read.name);
                entry.fault("name", problem, "give each sink a name of its own: the store knows it by that");
            }
            if findings.faults.len() == before {
                sinks.push(read);
            }
        }
    }
    sinks
}

fn entry_of(entry: &mut Entry<'_>, lenient: bool) -> Option<SinkConfig> {
    let name = entry.needed("name", "siem");
    check_name(entry, &name);
    let takes = match entry.text("events").as_deref().map(str::parse) {
        None => Takes::All,
        Some(Ok(takes)) => takes,
        Some(Err(_)) => {
            entry.fault("events", "is not known", "write all or security");
            Takes::All
        }
    };
    let tenants = entry.words("tenants");
    let batch = entry.number("batch", 500, 1, 1_000);
    let kind = entry.needed("type", "syslog");
    let place = match kind.as_str() {
        "file" => SinkPlace::File {
            folder: entry.needed("folder", "/var/lib/chancery/audit").into(),
            max_mib: entry.number("max_mib", 64, 1, 4_096),
            proofs: entry.flag("proofs", true),
        },
        "syslog" => SinkPlace::Syslog {
            address: address(entry),
            ca_file: entry.needed("ca_file", "/etc/chancery/syslog-ca.pem").into(),
            client: client(entry),
            facility: entry.number("facility", 13, 0, 23),
            body: body(entry),
            close_notify: entry.flag("close_notify", true),
        },
        "ocsf" => SinkPlace::Ocsf { http: http(entry, lenient) },
        "elasticsearch" => SinkPlace::Elasticsearch {
            http: http(entry, lenient),
            index: entry.text("index").unwrap_or_else(|| "logs-chancery.audit-default".to_owned()),
        },
        "splunk" => SinkPlace::Splunk {
            http: http(entry, lenient),
            index: entry.text("index"),
            acks: entry.flag("acks", false),
        },
        "s3" => {
            check_built(entry, cfg!(feature = "s3"));
            SinkPlace::S3 { bucket: bucket(entry), proofs: entry.flag("proofs", true) }
        }
        "" => return None,
        _ => {
            let cure = "write one of: file, syslog, ocsf, elasticsearch, splunk, s3";
            entry.fault("type", "is no sink that can be configured", cure);
            return None;
        }
    };
    if let SinkPlace::Splunk { http: HttpPlace { token_file: None, .. }, .. } = &place {
        entry.fault("token_file", "is missing", "put the collector's token into a file of mode 600 and name it");
    }
    Some(SinkConfig { name, takes, tenants, batch, place })
}

fn address(entry: &mut Entry<'_>) -> String {
    let address = entry.needed("address", "siem.example:6514");
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if !address.is_empty() && !matches!(port, Some(Ok(1..))) {
        entry.fault("address", "is no host with a port", "write it as siem.example:6514");
    }
    address
}

fn client(entry: &mut Entry<'_>) -> Option<(PathBuf, PathBuf)> {
    match (entry.path("cert_file"), entry.path("key_file")) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            entry.fault("cert_file", "needs key_file, and the other way round", "set both, or neither");
            None
        }
    }
}

fn body(entry: &mut Entry<'_>) -> Body {
    match entry.text("body").as_deref().map(str::parse) {
        None => Body::Leaf,
        Some(Ok(body)) => body,
        Some(Err(_)) => {
            entry.fault("body", "is not known", "write leaf or cef");
            Body::Leaf
        }
    }
}

/// Names are for people, commands and the store.
pub(super) fn check_name(entry: &mut Entry<'_>, name: &str) {
    let fine = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if !name.is_empty() && (name.len() > 32 || !name.chars().all(fine)) {
        entry.fault("name", "is no name", "write 1 to 32 of a-z, 0-9 and -");
    }
}

pub(super) fn check_built(entry: &mut Entry<'_>, built: bool) {
    if !built {
        let cure = "use a binary that was built with it: cargo build --release --features s3";
        entry.fault("type", "is s3, which this binary was built without", cure);
    }
}

pub(super) fn bucket(entry: &mut Entry<'_>) -> BucketPlace {
    let prefix = entry.text("prefix").unwrap_or_else(|| "chancery/".to_owned());
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    if prefix.len() > 200 || prefix.starts_with('/') || prefix.contains("..") || !prefix.chars().all(plain) {
        entry.fault("prefix", "is no beginning of a name", "write it as chancery/: letters, digits, - _ . and /");
    }
    let key = entry.text("kms_key");
    let encryption = match entry.text("sse").as_deref() {
        None | Some("aws:kms") => Encryption::Kms(key.clone()),
        Some("AES256") => Encryption::Aes256,
        Some("none") => Encryption::Unsaid,
        Some(_) => {
            entry.fault("sse", "is not known", "write aws:kms, AES256 or none");
            Encryption::Unsaid
        }
    };
    if key.is_some() && !matches!(encryption, Encryption::Kms(_)) {
        entry.fault("kms_key", "is for sse = \"aws:kms\"", "remove it, or sse");
    }
    BucketPlace {
        bucket: entry.needed("bucket", "example-audit"),
        region: entry.needed("region", "eu-central-1"),
        endpoint: entry.text("endpoint"),
        prefix,
        credentials_file: entry.path("credentials_file"),
        ca_file: entry.path("ca_file"),
        encryption,
    }
}

fn http(entry: &mut Entry<'_>, lenient: bool) -> HttpPlace {
    let url = entry.needed("url", "https://siem.example/ingest");
    let secure = url.starts_with("https://");
    if !url.is_empty() && !chancery_domain::is_url(&url) {
        entry.fault("url", "is no address", "write it as https://siem.example/ingest");
    } else if !url.is_empty() && !secure && !lenient {
        entry.fault("url", "is not https: what leaves would travel in the clear", "write an https address");
    }
    let (token_file, (ca_file, pins)) = (entry.path("token_file"), reach::of_entry(entry, Some(&url)));
    HttpPlace { url, token_file, ca_file, pins }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str, lenient: bool) -> (Vec<SinkConfig>, Vec<String>) {
        let table: toml::Table = text.parse().unwrap();
        let entries = table["audit"]["sinks"].as_array().unwrap().iter().enumerate();
        let tables =
            entries.map(|(at, entry)| (at, (entry.as_table().unwrap().clone(), "c.toml".to_owned()))).collect();
        let mut findings = Findings::default();
        let sinks = read(&tables, lenient, &mut findings);
        (sinks, findings.faults.into_iter().map(|fault| format!("{} {}", fault.subject, fault.problem)).collect())
    }

    #[test]
    fn each_kind_is_read_with_its_defaults() {
        let (sinks, faults) = read_all(
            "[[audit.sinks]]\nname = \"local\"\ntype = \"file\"\nfolder = \"/x\"\n\
             [[audit.sinks]]\nname = \"log\"\ntype = \"syslog\"\naddress = \"siem.example:6514\"\nca_file = \"/ca\"\nevents = \"security\"\n\
             [[audit.sinks]]\nname = \"lake\"\ntype = \"ocsf\"\nurl = \"https://lake.example/in\"\ntenants = [\"north\"]\n\
             [[audit.sinks]]\nname = \"es\"\ntype = \"elasticsearch\"\nurl = \"https://es.example\"\ntoken_file = \"/t\"\nbatch = 50\n\
             [[audit.sinks]]\nname = \"hec\"\ntype = \"splunk\"\nurl = \"https://hec.example:8088\"\ntoken_file = \"/t\"\nacks = true\n",
            false,
        );
        assert_eq!(faults, [""; 0]);
        let kinds: Vec<SinkKind> = sinks.iter().map(|sink| sink.place.kind()).collect();
        assert_eq!(
            kinds,
            [SinkKind::File, SinkKind::Syslog, SinkKind::Ocsf, SinkKind::Elasticsearch, SinkKind::Splunk]
        );
        assert_eq!(sinks[0].place, SinkPlace::File { folder: "/x".into(), max_mib: 64, proofs: true });
        assert_eq!((sinks[1].takes, sinks[0].takes, sinks[3].batch), (Takes::Security, Takes::All, 50));
        assert_eq!(sinks[2].tenants, ["north"]);
    }

    #[test]
    fn a_receiver_may_be_pinned_to_two_keys_and_not_to_one() {
        let entry = "[[audit.sinks]]\nname = \"a\"\ntype = \"ocsf\"\nurl = \"https://siem.example\"\n";
        let pin = |byte: u8| format!("siem.example sha256/{}", data_encoding::BASE64.encode(&[byte; 32]));
        let with = |pins: &[String], more: &str| read_all(&format!("{entry}pins = {pins:?}\n{more}\n"), false);
        let (sinks, faults) = with(&[pin(1), pin(2)], "ca_file = \"/ca\"");
        assert_eq!(faults, [""; 0]);
        let SinkPlace::Ocsf { http } = &sinks[0].place else { panic!("{sinks:?}") };
        assert_eq!((http.pins.len(), http.pins[1].key), (2, [2; 32]));
        for (pins, more, fault) in [
            (vec![pin(1)], "ca_file = \"/ca\"", "pins (c.toml) pins a host to one key alone"),
            (vec![pin(1), pin(2)], "", "pins (c.toml) needs a file with authorities"),
            (
                vec![pin(1).replace("siem", "siam"), pin(2).replace("siem", "siam")],
                "ca_file = \"/ca\"",
                "pins (c.toml) pins a host that no address with https:// here has",
            ),
            (vec!["x".to_owned()], "ca_file = \"/ca\"", "pins (c.toml) is no list of hosts and digests of their keys"),
        ] {
            assert_eq!(with(&pins, more).1, [format!("audit.sinks[0].{fault}")]);
        }
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_bucket_is_read_and_asked_for_a_key_of_its_server_unless_told() {
        let with = |more: &str| {
            let entry = "[[audit.sinks]]\nname = \"a\"\ntype = \"s3\"\nbucket = \"b\"\nregion = \"eu-central-1\"\n";
            read_all(&format!("{entry}{more}\n"), false)
        };
        let headers = |more: &str| {
            let (sinks, faults) = with(more);
            assert_eq!(faults, [""; 0]);
            let SinkPlace::S3 { bucket, proofs: true } = &sinks[0].place else { panic!("{sinks:?}") };
            assert_eq!((bucket.prefix.as_str(), sinks[0].place.kind()), ("chancery/", SinkKind::S3));
            bucket.encryption.headers().iter().map(|(_, value)| (*value).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(headers(""), ["aws:kms"]);
        assert_eq!(headers("kms_key = \"alias/audit\""), ["aws:kms", "alias/audit"]);
        assert_eq!(headers("sse = \"AES256\""), ["AES256"]);
        assert_eq!(headers("sse = \"none\""), [""; 0]);
        for more in ["sse = \"none\"\nkms_key = \"k\"", "sse = \"x\"", "prefix = \"/x\"", "prefix = \"a b\""] {
            assert_eq!(with(more).1.len(), 1, "{more}");
        }
    }

    #[cfg(not(feature = "s3"))]
    #[test]
    fn without_its_feature_s3_is_no_sink() {
        let entry = "[[audit.sinks]]\nname = \"a\"\ntype = \"s3\"\nbucket = \"b\"\nregion = \"r\"\n";
        let (sinks, faults) = read_all(entry, false);
        assert_eq!((sinks.len(), faults.len()), (0, 1), "{faults:?}");
        assert!(faults[0].contains("which this binary was built without"), "{faults:?}");
    }

    #[test]
    fn what_is_wrong_is_said_by_entry_and_key() {
        for (entry, fault) in [
            ("type = \"file\"\nfolder = \"/x\"", "audit.sinks[0].name (c.toml) is missing"),
            ("name = \"A b\"\ntype = \"file\"\nfolder = \"/x\"", "audit.sinks[0].name (c.toml) is no name"),
            ("name = \"a\"\ntype = \"ftp\"", "audit.sinks[0].type (c.toml) is no sink that can be configured"),
            (
                "name = \"a\"\ntype = \"ocsf\"\nurl = \"http://x.example\"",
                "audit.sinks[0].url (c.toml) is not https: what leaves would travel in the clear",
            ),
            (
                "name = \"a\"\ntype = \"splunk\"\nurl = \"https://x.example\"",
                "audit.sinks[0].token_file (c.toml) is missing",
            ),
            (
                "name = \"a\"\ntype = \"syslog\"\naddress = \"siem\"\nca_file = \"/ca\"",
                "audit.sinks[0].address (c.toml) is no host with a port",
            ),
            (
                "name = \"a\"\ntype = \"file\"\nfolder = \"/x\"\ntoken = \"s3cret\"",
                "audit.sinks[0].token (c.toml) is no setting of this sink",
            ),
            (
                "name = \"a\"\ntype = \"file\"\nfolder = \"/x\"\nbatch = 0",
                "audit.sinks[0].batch (c.toml) is out of bounds",
            ),
        ] {
            let (sinks, faults) = read_all(&format!("[[audit.sinks]]\n{entry}\n"), false);
            assert_eq!(faults, [fault]);
            assert_eq!(sinks, []);
        }
        let plain = "[[audit.sinks]]\nname = \"a\"\ntype = \"ocsf\"\nurl = \"http://127.0.0.1:1/\"\n";
        assert_eq!(read_all(plain, true).1, [""; 0], "in development");
        let twice = "[[audit.sinks]]\nname = \"a\"\ntype = \"file\"\nfolder = \"/x\"\n".repeat(2);
        assert_eq!(
            read_all(&twice, false).1,
            ["audit.sinks[1].name (c.toml) is `a`, which another sink is called too"]
        );
    }
}
