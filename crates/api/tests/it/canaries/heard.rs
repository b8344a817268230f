//! What was answered to requests with canaries in them, and the search of that.

use std::collections::BTreeSet;

use chancery_testkit::canaries::{CANARIES, Needles};

use super::{
    ECHOES, door,
    inject::{Operation, Sent, Turns},
};
use crate::{access::World, app::TestApp};

/// What was answered to requests with canaries in them.
#[derive(Default)]
pub(super) struct Heard {
    pub(super) count: usize,
    refusals: Vec<(String, String)>,
    /// By the operation's id.
    answers: Vec<(String, String)>,
    pub(super) done: Vec<String>,
}

impl Heard {
    async fn send(&mut self, app: &TestApp, id: &str, sent: Sent) {
        self.count += 1;
        let reply = app.send(sent.request).await;
        let text = format!("{} {:?}", reply.text(), reply.headers);
        if reply.status.is_success() {
            self.answers.push((id.to_owned(), text));
            self.done.push(sent.what);
        } else {
            self.refusals.push((format!("{} [{}]", sent.what, reply.status), text));
        }
    }

    /// Where a canary is in what was answered, but in what is asked for to be said again; and who said it again.
    pub(super) fn search(&self, needles: &Needles) -> (Vec<String>, BTreeSet<&str>) {
        let (mut found, mut echoes) = (Vec::new(), BTreeSet::new());
        for (what, text) in &self.refusals {
            found.extend(needles.find(&format!("refusal of {what}"), text));
        }
        for (id, text) in &self.answers {
            let may = ECHOES.iter().any(|(echo, _)| echo == id);
            // Pages of the log are long and many: that it echoes is known after the first.
            if may && echoes.contains(id.as_str()) {
                continue;
            }
            let here = needles.find(&format!("answer of {id}"), text);
            if may && !here.is_empty() {
                echoes.insert(id.as_str());
            } else {
                found.extend(here);
            }
        }
        (found, echoes)
    }

    /// Fails with what was found, and with what was done before.
    #[track_caller]
    pub(super) fn without(&self, found: &[String]) {
        assert!(found.is_empty(), "{} leaks:\n{}\n\ndone:\n{}", found.len(), found.join("\n"), self.done.join("\n"));
    }
}

/// Sends canaries to every operation, each `step`th request of them, and to the door of webhooks.
pub(super) async fn sent_everywhere(world: &World, operations: &[Operation<'_>], step: usize) -> Heard {
    let (mut turns, mut all, mut heard) = (Turns::default(), Vec::new(), Heard::default());
    for operation in operations {
        all.extend(operation.requests(&mut turns).into_iter().map(|sent| (operation.id, sent)));
    }
    let places: BTreeSet<_> = turns.seen.iter().map(|(place, _)| *place).collect();
    for canary in CANARIES {
        for place in &places {
            assert!(turns.seen.contains(&(*place, canary.kind)), "{} was never in {place}", canary.kind);
        }
    }
    for (id, sent) in all.into_iter().step_by(step) {
        heard.send(&world.app, id, sent).await;
    }
    for sent in door::messages(&world.app, &world.clinic).await {
        heard.send(&world.app, door::DOOR, sent).await;
    }
    door::hand_on(&world.app, &world.clinic).await;
    heard
}
