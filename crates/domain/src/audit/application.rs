//! Applications append events of their own, under the discipline of ours: types that begin with `app.`, details without room for a
//! name, keyed references, and personal text sealed behind a commitment.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use chancery_crypto::Phi;
use serde_json::{Map, Value, json};

use super::{
    Action, Change, Detail, Event, Outcome, accounting::DISCLOSURE, receipt::note_all, screen::screen, stamp::Actor,
};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    certificates::payload::{is_code, is_param, is_param_name},
    faults::Faults,
    ids::{EventId, KeyId, TenantId, can_be_ours},
    instance::{Failure, fails},
    keyring::{Keyring, Managed, OpenSubject},
    lockdown::Detector,
    records::Purpose,
    subjects::{MAX_REFERENCE_BYTES, SubjectError, lend},
    time::Timestamp,
};

/// How many events one call appends at most.
pub const MAX_EVENTS: usize = 100;
const MAX_DETAILS: usize = 32;
const MAX_REFERENCES: usize = 100;
const MAX_PERSONAL: usize = 16;
/// Of one personal text, in characters.
const MAX_TEXT: usize = 1_000;
/// Personal values that Chancery adds itself.
const RESERVED: [&str; 3] = ["address", "external_subject", "user_agent"];
/// The kind of reference that names a person.
const SUBJECT: &str = "subject";

/// A value of an application's event: an integer, a boolean, a date, a sha256 or `[A-Z0-9_.-]{1,32}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datum(Value);

impl Datum {
    fn of(value: &Value) -> Option<Self> {
        is_param(value).then(|| Self(value.clone()))
    }

    pub(super) fn to_json(&self) -> Value {
        self.0.clone()
    }
}

/// Something that Chancery named, by its id, such as a certificate or a user.
#[derive(Debug)]
pub struct Resource {
    /// What it is: `[a-z][a-z0-9_]{0,31}`.
    pub kind: String,
    /// Its id: a prefix of ours and a ULID of a time at which there was a Chancery.
    pub id: String,
}

/// Something of the application's own; the log keeps a keyed reference of it.
#[derive(Debug)]
pub struct Reference {
    /// What it is: `subject` for a person, a table's name for a row, or another word of `[a-z][a-z0-9_.-]{0,63}`.
    pub kind: String,
    /// Which one, 1 to 255 characters.
    pub id: Phi<String>,
}

/// An event as an application tells it.
#[derive(Debug)]
pub struct OwnEvent {
    /// `app.` and more: `[a-z][a-z0-9.-]{0,63}`.
    pub kind: String,
    /// What kind of act; `E` if nothing is said.
    pub act: Option<Action>,
    /// 0 it worked, 4 refused, 8 failed; 0 if nothing is said.
    pub outcome: Option<i64>,
    /// HL7 PurposeOfUse.
    pub purpose: Option<String>,
    /// What it was done to, if Chancery named it.
    pub resource: Option<Resource>,
    /// Up to 32, by `[a-z][a-z0-9_]{0,63}`.
    pub details: BTreeMap<String, Value>,
    /// Up to 100.
    pub references: Vec<Reference>,
    /// Up to 16 texts, by names of up to 32 letters.
    pub personal: BTreeMap<String, Phi<String>>,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// The tenant is locked down, and it looks as if personal data were in it: where, and what it looks like.
    #[error("it looks as if personal data were in it")]
    PhiSuspected(Vec<(String, Detector)>),
    /// It says something of a person who was erased.
    #[error("the person was erased")]
    Erased,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(AppendError);

impl From<SubjectError> for AppendError {
    fn from(error: SubjectError) -> Self {
        match error {
            SubjectError::Denied(denied) => Self::Denied(denied),
            SubjectError::Invalid(faults) => Self::Invalid(faults),
            SubjectError::Erased(_) => Self::Erased,
            SubjectError::Failed(failure) => Self::Failed(failure),
            _ => Self::Failed(Failure::Internal("a person's key was not lent")),
        }
    }
}

/// Appends one event. It is durable when this returns.
///
/// # Errors
///
/// [`AppendError`]; then it was not appended, or nobody knows ([`Failure::Audit`]).
pub async fn append_own(instance: &Instance, call: &Call, event: OwnEvent) -> Result<EventId, AppendError> {
    call.require(Permission::AuditAppend)?;
    let mut faults = Faults::default();
    event.check("", instance.now(), &mut faults);
    faults.check()?;
    let mut events = vec![event];
    look_into(instance, call, &mut events, |_| String::new()).await?;
    let made = append_checked(instance, call, events).await?;
    made.into_iter().next().ok_or_else(|| Failure::Internal("an event without an id").into())
}

/// Appends up to 100 events, all or none, in their order.
///
/// # Errors
///
/// As [`append_own`].
pub async fn append_batch(
    instance: &Instance,
    call: &Call,
    mut events: Vec<OwnEvent>,
) -> Result<Vec<EventId>, AppendError> {
    call.require(Permission::AuditAppend)?;
    let mut faults = Faults::default();
    if !(1..=MAX_EVENTS).contains(&events.len()) {
        faults.add("/items", "length", format!("send 1 to {MAX_EVENTS} events at once"));
    } else {
        for (position, event) in events.iter().enumerate() {
            event.check(&format!("/items/{position}"), instance.now(), &mut faults);
        }
    }
    faults.check()?;
    look_into(instance, call, &mut events, |position| format!("/items/{position}")).await?;
    append_checked(instance, call, events).await
}

/// What cannot be told from the form of the events alone.
async fn look_into(
    instance: &Instance,
    call: &Call,
    events: &mut [OwnEvent],
    place: fn(usize) -> String,
) -> Result<(), AppendError> {
    refuse_managed_keys(instance, call.tenant(), events, place).await?;
    screen(instance, call, events, place).await
}

/// The events of a key that Chancery made for itself tell what it signed when: nobody else's stand among them.
async fn refuse_managed_keys(
    instance: &Instance,
    tenant: TenantId,
    events: &[OwnEvent],
    place: fn(usize) -> String,
) -> Result<(), AppendError> {
    let of_key = |(number, event): (usize, &OwnEvent)| {
        let id = event.resource.as_ref()?.id.parse::<KeyId>().ok()?;
        Some((format!("{}/resource/id", place(number)), id))
    };
    let named: Vec<(String, KeyId)> = events.iter().enumerate().filter_map(of_key).collect();
    if named.is_empty() {
        return Ok(());
    }
    let mut view = instance.store().view(tenant).await?;
    let mut faults = Faults::default();
    for managed in Managed::ALL {
        let Some(key) = view.managed_key(*managed).await? else { continue };
        for (pointer, _) in named.iter().filter(|(_, id)| *id == key.id) {
            faults.add(pointer.clone(), "reserved", "this key is Chancery's own, and so are its events");
        }
    }
    Ok(faults.check()?)
}

async fn append_checked(instance: &Instance, call: &Call, events: Vec<OwnEvent>) -> Result<Vec<EventId>, AppendError> {
    let tenant = call.tenant();
    let mut made = Vec::with_capacity(events.len());
    for _ in &events {
        made.push(EventId::make(instance.now(), instance.random())?);
    }
    // What is said of a person goes with the person, whatever was sealed before: who has no key gets one.
    let persons = lend::for_sealing(instance, call, events.iter().filter_map(OwnEvent::person)).await?.into_keys();
    let told = |ring: &Keyring| -> Result<Vec<Event>, Failure> {
        events.into_iter().zip(&made).map(|(event, id)| event.told(ring, *id, &persons)).collect()
    };
    if call.once.is_none() {
        // In a commit shared with other requests.
        let ring = instance.keyring(tenant).await?;
        note_all(instance, Actor::Call(call), tenant, told(&ring)?).await?;
        return Ok(made);
    }
    let mut change = Change::begin(instance, call, tenant).await?;
    let mut told = told(change.keyring())?;
    let last = told.pop().ok_or(Failure::Internal("no event to append"))?;
    for event in told {
        change.record(event).await?;
    }
    let ids: Vec<String> = made.iter().map(ToString::to_string).collect();
    change.commit_made(&ids.join(","), last).await?;
    Ok(made)
}

impl OwnEvent {
    /// Notes a fault for each field that has room for what must not be in a leaf.
    fn check(&self, at: &str, now: Timestamp, faults: &mut Faults) {
        if !is_code(&self.kind) || self.kind.strip_prefix("app.").is_none_or(str::is_empty) {
            faults.add(format!("{at}/type"), "format", "begin with app. and use up to 64 of a-z, 0-9, . and -");
        }
        if self.outcome.is_some_and(|outcome| outcome_of(outcome).is_none()) {
            faults.add(format!("{at}/outcome"), "choice", "use 0 if it worked, 4 if it was refused, 8 if it failed");
        }
        if self.purpose.as_ref().is_some_and(|purpose| purpose.parse::<Purpose>().is_err()) {
            let codes = Purpose::ALL.iter().map(|purpose| purpose.as_str()).collect::<Vec<_>>().join(", ");
            faults.add(format!("{at}/purpose"), "choice", format!("use one of: {codes}"));
        }
        if let Some(resource) = &self.resource {
            if !is_word(&resource.kind, 32) {
                faults.add(format!("{at}/resource/kind"), "format", "use a-z, then up to 31 of a-z, 0-9, _ . and -");
            }
            if !can_be_ours(&resource.id, now) {
                let cure = "use an id that Chancery gave; what you name yourself belongs into references";
                faults.add(format!("{at}/resource/id"), "format", cure);
            }
        }
        self.check_details(at, faults);
        // Nobody finds it again by the person otherwise, and the accounting is not whole.
        if self.kind.starts_with(DISCLOSURE) && !self.references.iter().any(|reference| reference.kind == SUBJECT) {
            let cure = "a disclosure is of somebody: add a reference of the kind `subject`";
            faults.add(format!("{at}/references"), "required", cure);
        }
        if self.references.len() > MAX_REFERENCES {
            faults.add(format!("{at}/references"), "too_many", "use at most 100 references");
        }
        for (position, reference) in self.references.iter().enumerate().take(MAX_REFERENCES) {
            if !is_word(&reference.kind, 64) {
                let pointer = format!("{at}/references/{position}/kind");
                faults.add(pointer, "format", "use a-z, then up to 63 of a-z, 0-9, _ . and -");
            }
            if !(1..=255).contains(&reference.id.expose().chars().count()) {
                faults.add(format!("{at}/references/{position}/id"), "length", "use 1 to 255 characters");
            }
        }
        if self.person().is_some_and(|person| person.len() > MAX_REFERENCE_BYTES) {
            let cure =
                "name a person of whom you say something in at most 255 bytes: the texts are sealed for that person";
            faults.add(format!("{at}/references"), "length", cure);
        }
        self.check_personal(at, faults);
    }

    fn check_details(&self, at: &str, faults: &mut Faults) {
        if self.details.len() > MAX_DETAILS {
            faults.add(format!("{at}/details"), "too_many", "use at most 32 details");
        }
        for (name, value) in self.details.iter().take(MAX_DETAILS) {
            if !is_param_name(name) {
                // The name is what is wrong, so it is not repeated.
                faults.add(format!("{at}/details"), "name", "name details with a-z, then up to 63 of a-z, 0-9 and _");
            } else if !is_param(value) {
                let cure = "use an integer, a boolean, a date, a sha256 or up to 32 of A-Z, 0-9, _ . and -";
                faults.add(format!("{at}/details/{name}"), "format", cure);
            }
        }
    }

    fn check_personal(&self, at: &str, faults: &mut Faults) {
        if self.personal.len() > MAX_PERSONAL {
            faults.add(format!("{at}/personal"), "too_many", "use at most 16 personal texts");
        }
        for (name, text) in self.personal.iter().take(MAX_PERSONAL) {
            if !is_param_name(name) || name.len() > 32 {
                faults.add(format!("{at}/personal"), "name", "name texts with a-z, then up to 31 of a-z, 0-9 and _");
            } else if RESERVED.contains(&name.as_str()) {
                faults.add(format!("{at}/personal/{name}"), "reserved", "Chancery adds this one itself");
            } else if !(1..=MAX_TEXT).contains(&text.expose().chars().count()) {
                faults.add(format!("{at}/personal/{name}"), "length", "use 1 to 1000 characters");
            }
        }
    }

    /// What of it the application chose the words of. Texts that are sealed, and what references are made of, are no part of it.
    pub(super) fn said(&self) -> Value {
        let references: Vec<Value> = self.references.iter().map(|reference| json!({"kind": reference.kind})).collect();
        let personal: Map<String, Value> = self.personal.keys().map(|name| (name.clone(), Value::Null)).collect();
        json!({
            "type": self.kind,
            "resource": {"kind": self.resource.as_ref().map(|resource| &resource.kind)},
            "details": self.details,
            "references": references,
            "personal": personal,
        })
    }

    /// The one person that it names, if it says something personal: that goes when the person is erased.
    fn person(&self) -> Option<&str> {
        let named = self.references.iter().filter(|reference| reference.kind == "subject");
        let named: BTreeSet<&str> = named.map(|reference| reference.id.expose().as_str()).collect();
        if named.len() == 1 && !self.personal.is_empty() { named.into_iter().next() } else { None }
    }

    /// The event, with references under the newest key. Its fields were checked.
    fn told(self, ring: &Keyring, id: EventId, persons: &HashMap<String, Arc<OpenSubject>>) -> Result<Event, Failure> {
        let person = self.person().map(|person| persons.get(person).cloned());
        let person = person.map(|key| key.ok_or(Failure::Internal("a person without a key"))).transpose()?;
        let mut event = Event::of(self.kind.into(), self.act.unwrap_or(Action::Execute)).identified(id);
        event.person = person;
        event.outcome = self.outcome.and_then(outcome_of).unwrap_or(Outcome::Success);
        event.purpose = self.purpose.and_then(|purpose| purpose.parse::<Purpose>().ok()).map(Purpose::as_str);
        event.resource = self.resource.map(|resource| (resource.kind.into(), resource.id));
        for reference in &self.references {
            event.references.push(ring.reference(&reference.kind, reference.id.expose())?);
        }
        for (name, value) in self.details {
            let datum = Datum::of(&value).ok_or(Failure::Internal("a detail that was not checked"))?;
            event.details.push((name.into(), Detail::Own(datum)));
        }
        event.personal.extend(self.personal.into_iter().map(|(name, text)| (name.into(), text)));
        Ok(event)
    }
}

const fn outcome_of(code: i64) -> Option<Outcome> {
    match code {
        0 => Some(Outcome::Success),
        4 => Some(Outcome::MinorFailure),
        8 => Some(Outcome::SeriousFailure),
        _ => None,
    }
}

/// `[a-z][a-z0-9_.-]*`, of so many letters at most.
pub(super) fn is_word(text: &str, most: usize) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= most
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str) -> OwnEvent {
        OwnEvent {
            kind: kind.to_owned(),
            act: None,
            outcome: None,
            purpose: None,
            resource: None,
            details: BTreeMap::new(),
            references: Vec::new(),
            personal: BTreeMap::new(),
        }
    }

    fn now() -> Timestamp {
        "2026-11-26T00:00:00Z".parse().unwrap()
    }

    fn pointers(event: &OwnEvent) -> Vec<String> {
        let mut faults = Faults::default();
        event.check("", now(), &mut faults);
        faults.0.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn a_type_begins_with_app_and_goes_on() {
        for good in ["app.visit.closed", "app.x", "app.a-1"] {
            assert_eq!(pointers(&event(good)), [""; 0], "{good}");
        }
        for bad in ["app.", "app", "record.opened", "app.Jane", "app.a b", "app.jane_doe", ""] {
            assert_eq!(pointers(&event(bad)), ["/type"], "{bad}");
        }
    }

    #[test]
    fn each_bad_field_has_a_fault_of_its_own_and_none_repeats_what_was_sent() {
        let mut bad = event("app.x");
        bad.outcome = Some(7);
        bad.purpose = Some("Jane".to_owned());
        bad.resource = Some(Resource { kind: "Jane".to_owned(), id: "MRN-1".to_owned() });
        bad.details.insert("patient".to_owned(), json!("Jane Doe"));
        bad.details.insert("Jane Doe".to_owned(), json!(1));
        bad.references.push(Reference { kind: "Jane Doe".to_owned(), id: Phi::new(String::new()) });
        bad.personal.insert("address".to_owned(), Phi::new("x".to_owned()));
        bad.personal.insert("note".to_owned(), Phi::new(String::new()));
        let mut faults = Faults::default();
        bad.check("/items/3", now(), &mut faults);
        let pointers: Vec<&str> = faults.0.iter().map(|fault| fault.pointer.as_str()).collect();
        let expected = [
            "/items/3/outcome",
            "/items/3/purpose",
            "/items/3/resource/kind",
            "/items/3/resource/id",
            "/items/3/details",
            "/items/3/details/patient",
            "/items/3/references/0/kind",
            "/items/3/references/0/id",
            "/items/3/personal/address",
            "/items/3/personal/note",
        ];
        assert_eq!(pointers, expected);
        assert!(!format!("{faults:?}").contains("Jane"), "{faults:?}");
    }

    #[test]
    fn a_disclosure_names_the_person() {
        let reference = |kind: &str| Reference { kind: kind.to_owned(), id: Phi::new("MRN-1".to_owned()) };
        for kind in ["app.disclosure", "app.disclosure.sent", "app.disclosures"] {
            let mut event = event(kind);
            assert_eq!(pointers(&event), ["/references"], "{kind}");
            event.references.push(reference("patients"));
            assert_eq!(pointers(&event), ["/references"], "{kind}");
            event.references.push(reference("subject"));
            assert_eq!(pointers(&event), [""; 0], "{kind}");
        }
    }

    #[test]
    fn a_patients_number_in_the_form_of_an_id_is_no_resource() {
        let mut event = event("app.x");
        let number = "crt_000000000000000MRN7351928X".to_owned();
        event.resource = Some(Resource { kind: "certificate".to_owned(), id: number });
        assert_eq!(pointers(&event), ["/resource/id"]);
    }

    #[test]
    fn a_leaf_of_the_largest_event_fits() {
        let mut large = event("app.x");
        for at in 0..MAX_DETAILS {
            large.details.insert(format!("d{at:063}"), json!("a".repeat(64)));
        }
        let details: usize = large.details.iter().map(|(name, value)| name.len() + value.to_string().len() + 4).sum();
        // References are hex of 32 bytes, and so are commitments.
        let beside = MAX_REFERENCES * 67 + (MAX_PERSONAL + RESERVED.len()) * (32 + 64 + 6);
        assert!(details + beside < 14 * 1024, "{details} + {beside}");
        assert_eq!(pointers(&large), [""; 0]);
    }
}
