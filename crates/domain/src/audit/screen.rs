//! The second line behind details that have no room for a name: what looks like personal data all the same does not come into a leaf.
//!
//! Where a tenant is locked down the call is refused, by the place alone. Elsewhere the event is worth more than its detail: the
//! suspect is left out and said to be. Both are counted.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::{
    Detail,
    application::{AppendError, OwnEvent},
    event::Name,
};
use crate::{
    Instance,
    access::Call,
    certificates::{Detector, suspect},
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
    let found: Vec<Suspect> =
        events.iter().enumerate().flat_map(|(number, event)| suspects(event, &place(number), now)).collect();
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

struct Suspect {
    pointer: String,
    detector: Detector,
    number: bool,
}

fn suspects(event: &OwnEvent, at: &str, now: Timestamp) -> Vec<Suspect> {
    let mut found = Vec::new();
    let mut look = |pointer: String, text: &str, number: bool| {
        found.extend(suspect(text, now).map(|detector| Suspect { pointer, detector, number }));
    };
    look(format!("{at}/type"), &event.kind, false);
    if let Some(resource) = &event.resource {
        look(format!("{at}/resource/kind"), &resource.kind, false);
    }
    for (name, value) in &event.details {
        // The name may itself be what is wrong, so it is not repeated.
        look(format!("{at}/details"), name, false);
        match value {
            Value::String(text) => look(format!("{at}/details"), text, false),
            Value::Number(number) => look(format!("{at}/details"), &number.to_string(), true),
            _ => {}
        }
    }
    for name in event.personal.keys() {
        look(format!("{at}/personal"), name, false);
    }
    found
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

/// Counts suspects among the names in our own details: what a tenant called its tables and columns. They stay, or whoever names a
/// column could hide that it is opened.
pub(super) fn count_names(instance: &Instance, details: &[(Name, Detail)], now: Timestamp) {
    for (_, detail) in details {
        if let Detail::Names(names) = detail {
            let found = names.iter().filter_map(|name| suspect(name, now));
            found.for_each(|detector| instance.suspected().count(detector));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chancery_crypto::Phi;
    use serde_json::json;

    use super::*;

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
        let found = suspects(&event(), "/items/3", now());
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
