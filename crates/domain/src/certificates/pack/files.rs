//! The files of a pack.

use chancery_crypto::{canonical, checkpoint::SignedCheckpoint, dsse, merkle::Hash, runs::Run, sha256_hex};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::{
    KEYS_TYPE, MANIFEST_TYPE, PACK_TYPE, PACK_VERSION, PLATFORM, PLATFORM_TYPE, PackScope,
    events::Disclosed,
    gather::{Held, Standing},
    report,
};
use crate::{
    Instance,
    audit::{StoredCheckpoint, guard::Anchored},
    certificates::{
        offline::{State, counter, gaps, state_of},
        verify::not_after,
        zip::Files,
    },
    ids::TenantId,
    instance::Failure,
    keyring::{DeclaredKey, Managed, statement},
};

const README: &str = "This is an audit pack of Chancery. Any of these checks it without a network:\n\
\n\
  chancery verify PACK --trust chancery-trust.json\n\
  python3 verify_pack.py PACK --trust chancery-trust.json\n\
  verify.html, opened in a browser\n\
\n\
By hand:\n\
1. MANIFEST.dsse signs MANIFEST.json (DSSE v1); every other file has the SHA-256 that stands there.\n\
2. trust/keys.dsse is signed by a key of chancery-trust.json, which you got from the instance beforehand.\n\
   It lists the tenant's public keys (JWK) and their range of log indexes.\n\
3. certs/<id>.dsse.json is signed by one of those keys; its payload is the exact canonical message.\n\
4. Each line of log/entries.jsonl is an event; SHA-256(0x00 || line) is its leaf in the tenant's RFC 6962 log.\n\
   log/proof.json says where the lines lie, and has the roots of the largest subtrees that fill the gaps between\n\
   them: together they give the root in log/checkpoint, which the tenant's log key signs (C2SP signed note).\n\
5. The event certificate.issued has the SHA-256 of the envelope, inside the range of the key.\n\
6. In platform/ lies, in the same form, the event of the platform's own log that tells of this head, if there is one; under\n\
   platform/checkpoint witnesses sign that they saw that log grow (C2SP cosignatures). chancery-trust.json names them.\n\
7. disclosures/<event id>.json has texts of an event, each with its salt: SHA-256(0x02 || salt || length of the name in 4 bytes ||\n\
   name || text) is what stands under `sealed` in that event.\n\
report.html is for reading; nothing rests on it.\n";

/// What the files of a pack are made of.
pub(super) struct Pack<'a> {
    pub(super) instance: &'a Instance,
    pub(super) tenant: TenantId,
    pub(super) origin: &'a str,
    pub(super) checkpoint: &'a StoredCheckpoint,
    pub(super) scope: &'a PackScope,
    pub(super) held: &'a Held,
    pub(super) anchor: Option<&'a Anchored>,
    pub(super) disclosed: &'a Disclosed,
}

impl Pack<'_> {
    pub(super) async fn files(
        &self,
        runs: &[Run],
        between: &[Hash],
        certificate_keys: &[DeclaredKey],
        log_keys: &[DeclaredKey],
    ) -> Result<Files, Failure> {
        let states = self.states(certificate_keys);
        let completeness = self.completeness()?;
        let mut files = Files::new();
        for (id, standing) in &self.held.certificates {
            files.insert(format!("certs/{id}.dsse.json"), standing.certificate.envelope.clone());
        }
        for (id, texts) in self.disclosed {
            files.insert(format!("disclosures/{id}.json"), texts.expose().clone());
        }
        let length = self.held.events.values().map(|core| core.len() + 1).sum();
        let mut entries = Vec::with_capacity(length);
        for core in self.held.events.values() {
            entries.extend_from_slice(core.as_bytes());
            entries.push(b'\n');
        }
        files.insert("log/entries.jsonl".into(), entries);
        let hashes: Vec<String> = between.iter().map(|hash| HEXLOWER.encode(hash)).collect();
        files.insert("log/proof.json".into(), written(&json!({"v": 1, "runs": runs, "hashes": hashes}))?);
        files.insert("log/checkpoint".into(), self.checkpoint.note.clone().into_bytes());
        files.insert("trust/keys.dsse".into(), self.keys_statement(certificate_keys, log_keys).await?);
        if let Some(anchor) = self.anchor {
            let [note, entries, keys, proof] = PLATFORM.map(str::to_owned);
            let hashes: Vec<String> = anchor.between.iter().map(|hash| HEXLOWER.encode(hash)).collect();
            files.insert(note, anchor.head.1.clone().into_bytes());
            files.insert(entries, format!("{}\n", anchor.core).into_bytes());
            files.insert(keys, self.platform_statement(anchor).await?);
            files.insert(proof, written(&json!({"v": 1, "runs": [anchor.run], "hashes": hashes}))?);
        }
        files.insert("README.txt".into(), README.as_bytes().to_vec());
        let report = report::html(self, &states, completeness.as_ref());
        files.insert("report.html".into(), report.into_bytes());
        let manifest = self.manifest(&states, completeness, &files)?;
        files.insert("MANIFEST.dsse".into(), self.sign(&manifest, certificate_keys).await?);
        files.insert("MANIFEST.json".into(), manifest);
        Ok(files)
    }

    /// Each certificate with its state as of the checkpoint, and why.
    fn states<'a>(&'a self, keys: &[DeclaredKey]) -> Vec<(&'a str, &'a Standing, State, String)> {
        let state = |standing: &Standing| {
            let key = keys.iter().find(|key| key.key_id == standing.certificate.key_id);
            key.map_or_else(
                || (State::Untrusted, "its key is not known".to_owned()),
                |key| {
                    let end = not_after(&standing.certificate.envelope);
                    let over = end.filter(|end| *end < self.checkpoint.signed_at);
                    state_of(key, standing.index, standing.became, over)
                },
            )
        };
        let certificates = self.held.certificates.iter();
        certificates
            .map(|(id, standing)| {
                let (state, why) = state(standing);
                (id.as_str(), standing, state, why)
            })
            .collect()
    }

    /// What the counters of a range leave out. Of chosen events they would leave out nearly all.
    fn completeness(&self) -> Result<Option<Value>, Failure> {
        let Some((start, end)) = self.held.span else { return Ok(None) };
        let damaged = Failure::Internal("a logged event has no counter");
        let counters = self.held.events.range(start..end).map(|(_, core)| {
            let event: Option<Map<String, Value>> = serde_json::from_str(core).ok();
            event.as_ref().and_then(counter)
        });
        Ok(Some(gaps(counters.collect::<Option<Vec<_>>>().ok_or(damaged)?)))
    }

    /// The tenant's public keys, signed with the platform's trust key, which signs only such statements.
    pub(super) async fn keys_statement(
        &self,
        certificate: &[DeclaredKey],
        log: &[DeclaredKey],
    ) -> Result<Vec<u8>, Failure> {
        let certificate = certificate.iter().map(|key| key_entry(Managed::Certificate, key));
        let keys: Vec<Value> = certificate.chain(log.iter().map(|key| key_entry(Managed::Log, key))).collect();
        let statement = written(&json!({
            "v": 1,
            "type": "tenant-keys/v1",
            "instance": self.instance.settings().name,
            "tenant_id": self.tenant.to_string(),
            "log_origin": self.origin,
            "as_of_size": self.checkpoint.size,
            "keys": keys,
        }))?;
        let platform = self.instance.keyring(TenantId::PLATFORM).await?;
        let signer = platform.active(Managed::Certificate)?;
        Ok(signer.statement(KEYS_TYPE, statement)?.to_json())
    }

    /// The public keys of the platform's log, signed with the platform's trust key.
    async fn platform_statement(&self, anchor: &Anchored) -> Result<Vec<u8>, Failure> {
        let keys: Vec<Value> = anchor.keys.iter().map(|key| key_entry(Managed::Log, key)).collect();
        let statement = written(&json!({
            "v": 1,
            "type": "platform-log/v1",
            "instance": self.instance.settings().name,
            "log_origin": anchor.origin,
            "as_of_size": anchor.head.0,
            "keys": keys,
        }))?;
        let platform = self.instance.keyring(TenantId::PLATFORM).await?;
        let signer = platform.active(Managed::Certificate)?;
        Ok(signer.statement(PLATFORM_TYPE, statement)?.to_json())
    }

    fn manifest(
        &self,
        states: &[(&str, &Standing, State, String)],
        completeness: Option<Value>,
        files: &Files,
    ) -> Result<Vec<u8>, Failure> {
        let damaged = |_| Failure::Internal("a stored checkpoint is damaged");
        let head = SignedCheckpoint::parse(&self.checkpoint.note).map_err(damaged)?.checkpoint().clone();
        let certificates: Map<String, Value> =
            states.iter().map(|(id, _, state, _)| ((*id).to_owned(), json!(state.as_str()))).collect();
        let entries = files.iter().map(
            |(path, data)| json!({"path": path, "role": role(path), "sha256": sha256_hex(data), "size": data.len()}),
        );
        let mut manifest = json!({
            "v": PACK_VERSION,
            "type": PACK_TYPE,
            "instance": self.instance.settings().name,
            "tenant_id": self.tenant.to_string(),
            "log_origin": self.origin,
            "as_of": {
                "size": head.size,
                "root": HEXLOWER.encode(&head.root),
                "signed_at": self.checkpoint.signed_at.to_string(),
            },
            "scope": self.scope.to_json(self.held.span, self.held.subject.as_deref()),
            "certificates": certificates,
            "files": entries.collect::<Vec<_>>(),
        });
        if let (Some(completeness), Some(members)) = (completeness, manifest.as_object_mut()) {
            members.insert("completeness".to_owned(), completeness);
        }
        written(&manifest)
    }

    /// Signs the manifest with the newest key that the key statement lists.
    async fn sign(&self, manifest: &[u8], keys: &[DeclaredKey]) -> Result<Vec<u8>, Failure> {
        let newest = keys.last().ok_or(Failure::Internal("a log without a certificate key"))?;
        let ring = self.instance.keyring_with(self.tenant, &newest.key_id).await?;
        let signer = ring.version(Managed::Certificate, &newest.key_id)?;
        Ok(statement(self.instance, signer, MANIFEST_TYPE, manifest.to_vec()).await?.to_json())
    }
}

pub(super) fn written(value: &Value) -> Result<Vec<u8>, Failure> {
    canonical::to_vec(value).map_err(|_| Failure::Internal("a part of a pack is not canonical"))
}

/// What a file is for.
fn role(path: &str) -> &'static str {
    match path {
        "README.txt" => "readme",
        "report.html" => "report",
        "log/checkpoint" => "checkpoint",
        "log/entries.jsonl" => "entries",
        "log/proof.json" => "proof",
        "trust/keys.dsse" => "keys",
        anchor if anchor.starts_with("platform/") => "anchor",
        texts if texts.starts_with("disclosures/") => "disclosure",
        _ => "certificate",
    }
}

fn key_entry(managed: Managed, key: &DeclaredKey) -> Value {
    let mut entry = json!({
        "key_id": key.key_id,
        "use": managed.as_str(),
        "alg": dsse::algorithm(&key.jwk),
        "jwk": key.jwk,
        "state": key.state.as_str(),
        "activated_at": key.activated_at.to_string(),
        "first_index": key.first_index,
        "last_index": key.last_index,
    });
    // Only where there is one: statements of keys that nobody revoked stay as they were.
    if let (Some(index), Some(members)) = (key.last_valid_index, entry.as_object_mut()) {
        members.insert("last_valid_index".to_owned(), index.into());
    }
    entry
}
