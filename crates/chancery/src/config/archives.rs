//! Buckets that closed months of the audit log are archived in: `[[audit.archives]]` in the file, or
//! `CHANCERY__AUDIT__ARCHIVES__0__KEY` in the environment.

use super::{
    entry::Entry,
    findings::Findings,
    sinks::{BucketPlace, bucket, check_built, check_name},
    source::Tables,
};

/// The list's name.
pub(super) const LIST: &str = "audit.archives";

/// One bucket of archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// Its name, under which the store keeps what lies there.
    pub name: String,
    /// The bucket.
    pub bucket: BucketPlace,
    /// How objects are locked until their month may be purged.
    pub lock: ObjectLock,
}

/// S3 Object Lock: who may remove an object before its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectLock {
    /// Whoever may remove objects.
    None,
    /// Whoever has the permission to bypass governance.
    Governance,
    /// Nobody, the owner of the account neither.
    Compliance,
}

/// Reads all entries; what has faults is left out.
pub(super) fn read(tables: &Tables, findings: &mut Findings) -> Vec<ArchiveConfig> {
    let mut archives: Vec<ArchiveConfig> = Vec::new();
    for (number, (table, origin)) in tables {
        let before = findings.faults.len();
        let mut entry = Entry::new(LIST, *number, origin, table, findings);
        let read = entry_of(&mut entry);
        entry.refuse_unknown("archive");
        if archives.iter().any(|other| other.name == read.name) || read.name == crate::archives::folder::NAME {
            let problem = format!("is `{}`, which another place is called too", read.name);
            entry.fault("name", problem, "give each place a name of its own; `folder` is audit.archive_folder");
        }
        if findings.faults.len() == before {
            archives.push(read);
        }
    }
    archives
}

fn entry_of(entry: &mut Entry<'_>) -> ArchiveConfig {
    let name = entry.needed("name", "vault");
    check_name(entry, &name);
    match entry.text("type").as_deref() {
        None | Some("s3") => check_built(entry, cfg!(feature = "s3")),
        Some(_) => entry.fault("type", "is no place for archives", "write s3; a folder is audit.archive_folder"),
    }
    let lock = match entry.text("lock").as_deref() {
        None | Some("governance") => ObjectLock::Governance,
        Some("compliance") => ObjectLock::Compliance,
        Some("none") => ObjectLock::None,
        Some(_) => {
            entry.fault("lock", "is not known", "write governance, compliance or none");
            ObjectLock::None
        }
    };
    ArchiveConfig { name, bucket: bucket(entry), lock }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(text: &str) -> (Vec<ArchiveConfig>, Vec<String>) {
        let table: toml::Table = text.parse().unwrap();
        let entries = table["audit"]["archives"].as_array().unwrap().iter().enumerate();
        let tables =
            entries.map(|(at, entry)| (at, (entry.as_table().unwrap().clone(), "c.toml".to_owned()))).collect();
        let mut findings = Findings::default();
        let archives = read(&tables, &mut findings);
        (archives, findings.faults.into_iter().map(|fault| format!("{} {}", fault.subject, fault.problem)).collect())
    }

    #[cfg(feature = "s3")]
    #[test]
    fn a_bucket_is_read_and_locks_unless_told() {
        let entry = "[[audit.archives]]\nname = \"vault\"\nbucket = \"b2\"\nregion = \"eu-central-1\"\n";
        let (archives, faults) = read_all(entry);
        assert_eq!(faults, [""; 0]);
        assert_eq!((archives[0].name.as_str(), archives[0].lock), ("vault", ObjectLock::Governance));
        let locks = |lock: &str| read_all(&format!("{entry}lock = \"{lock}\"\n"));
        assert_eq!(locks("compliance").0[0].lock, ObjectLock::Compliance);
        assert_eq!(locks("none").0[0].lock, ObjectLock::None);
        for (more, fault) in [
            ("lock = \"x\"", "audit.archives[0].lock (c.toml) is not known"),
            ("secret = \"x\"", "audit.archives[0].secret (c.toml) is no setting of this archive"),
            ("type = \"ftp\"", "audit.archives[0].type (c.toml) is no place for archives"),
        ] {
            assert_eq!(read_all(&format!("{entry}{more}\n")), (Vec::new(), vec![fault.to_owned()]));
        }
        let (archives, faults) = read_all(&entry.repeat(2));
        assert_eq!((archives.len(), faults.len()), (1, 1), "{faults:?}");
        assert_eq!(read_all(&entry.replace("vault", "folder")).1.len(), 1);
    }
}
