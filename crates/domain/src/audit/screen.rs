//! The second line behind details that have no room for a name: what looks like personal data all the same does not come into a leaf.
//!
//! Where a tenant is locked down the call is refused, by the place alone. Elsewhere the event is worth more than its detail: the
//! suspect is left out and said to be. Both are counted.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::application::{AppendError, OwnEvent};
use crate::{
    Instance,
    access::Call,
    lockdown::{Detector, Suspect, suspect, suspects_in},
    time::Timestamp,
};

/// What stands where a suspect was.
const LEFT_OUT: &str = "SUSPECTED";
/// What a member is called whose name was suspect; a number follows.
const UNNAMED: &str = "suspected_";

/// How often something looked like personal data since this start, by detector.
#[derive(Default)]
pub struct Suspected([AtomicU64; Detector::ALL.len()]);

impl Suspected {
    pub(crate) fn count(&self, detector: Detector) {
        let at = Detector::ALL.iter().position(|other| *other == detector);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts.
    pub fn counts(&self) -> impl Iterator<Item = (Detector, u64)> {
        Detector::ALL.iter().zip(&self.0).map(|(detector, count)| (*detector, count.load(Ordering::Relaxed)))
    }
}

/// Looks at what an application wants to have in the log; `places` are the events' own.
pub(super) async fn screen(
    instance: &Instance,
    call: &Call,
    events: &mut [OwnEvent],
    place: fn(usize) -> String,
) -> Result<(), AppendError> {
    let now = instance.now();
    let look = |(number, event): (usize, &OwnEvent)| suspects_in(&event.said(), &place(number), now);
    let found: Vec<Suspect> = events.iter().enumerate().flat_map(look).collect();
    if found.is_empty() {
        return Ok(());
    }
    let locked = instance.store().view(call.tenant()).await?.lockdown_since().await?.is_some();
    // An integer is mostly a count or a moment: only who asked for no personal data at all has it looked at.
    let counted = found.iter().filter(|suspect| locked || !suspect.number);
    counted.for_each(|suspect| instance.suspected().count(suspect.detector));
    if locked {
        return Err(AppendError::PhiSuspected(found.into_iter().map(|one| (one.pointer, one.detector)).collect()));
    }
    events.iter_mut().for_each(|event| leave_out(event, now));
    Ok(())
}

/// Types and kinds stay: they are written in the application's source, and an event without them says nothing.
fn leave_out(event: &mut OwnEvent, now: Timestamp) {
    let is_suspect = |text: &str| suspect(text, now).is_some();
    for value in event.details.values_mut() {
        if value.as_str().is_some_and(is_suspect) {
            *value = Value::from(LEFT_OUT);
        }
    }
    let details = std::mem::take(&mut event.details);
    event.details = details.into_iter().enumerate().map(|(at, (name, value))| (named(name, at, now), value)).collect();
    let personal = std::mem::take(&mut event.personal);
    event.personal = personal.into_iter().enumerate().map(|(at, (name, text))| (named(name, at, now), text)).collect();
}

fn named(name: String, at: usize, now: Timestamp) -> String {
    if suspect(&name, now).is_some() { format!("{UNNAMED}{at}") } else { name }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chancery_crypto::Phi;
    use serde_json::json;

    use super::*;
    use crate::audit::application::{Reference, Resource};

    fn event() -> OwnEvent {
        let details =
            json!({"mrn73519284": 1, "ward": "W-12", "who": "MRN73519284", "at": 1_790_000_000, "born": "1931-07-23"});
        OwnEvent {
            kind: "app.visit.closed".to_owned(),
            act: None,
            outcome: None,
            purpose: None,
            resource: None,
            details: serde_json::from_value(details).unwrap(),
            references: Vec::new(),
            personal: BTreeMap::from([("n987654320".to_owned(), Phi::new("x".to_owned()))]),
        }
    }

    fn now() -> Timestamp {
        "2026-11-26T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn suspects_are_told_by_place_and_integers_apart() {
        let found = suspects_in(&event().said(), "/items/3", now());
        let texts: Vec<_> = found.iter().filter(|one| !one.number).map(|one| (&*one.pointer, one.detector)).collect();
        let details = "/items/3/details";
        assert_eq!(
            texts,
            [
                (details, Detector::BirthDate),
                (details, Detector::RecordNumber),
                (details, Detector::RecordNumber),
                ("/items/3/personal", Detector::RecordNumber)
            ]
        );
        assert_eq!(found.len(), 5);
    }

    /// A merge lost the look at references once.
    #[test]
    fn every_code_that_an_application_chose_is_looked_at() {
        let mut event = event();
        (event.details, event.personal) = (BTreeMap::new(), BTreeMap::new());
        event.kind = "app.mrn1234567".to_owned();
        event.resource = Some(Resource { kind: "mrn_1234567".to_owned(), id: "crt_1".to_owned() });
        let reference = |kind: &str| Reference { kind: kind.to_owned(), id: Phi::new("MRN-1234567".to_owned()) };
        event.references = vec![reference("subject"), reference("mrn-1234567")];
        let found = suspects_in(&event.said(), "", now());
        let places: Vec<&str> = found.iter().map(|one| one.pointer.as_str()).collect();
        assert_eq!(places, ["/references/1/kind", "/resource/kind", "/type"]);
    }

    #[test]
    fn what_is_left_out_says_so_and_the_rest_stays() {
        let mut event = event();
        leave_out(&mut event, now());
        let details = serde_json::to_value(&event.details).unwrap();
        let expected =
            json!({"suspected_2": 1, "ward": "W-12", "who": "SUSPECTED", "at": 1_790_000_000, "born": "SUSPECTED"});
        assert_eq!(details, expected);
        assert_eq!(event.personal.keys().collect::<Vec<_>>(), ["suspected_0"]);
    }
}
