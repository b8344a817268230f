//! Word that goes from node to node: something was revoked, somebody may begin anew.

use std::{sync::Arc, time::Duration};

use chancery_domain::{
    limits::{CountedSubject, Together},
    lockouts::Ladder,
};
use data_encoding::HEXLOWER;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use crate::{Link, link::Lost};

/// Where it is said.
const CHANNEL: &str = "chancery:word";
/// How long one that listens waits after its connection broke.
const PAUSE: Duration = Duration::from_millis(500);

/// Somebody who begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// Where its counter lies.
    pub together: Together,
    /// The number of the policy.
    pub policy: u64,
    /// Who it is.
    pub of: CountedSubject,
}

/// Failures that are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cleared {
    /// Where its ladder lies.
    pub together: Together,
    /// Which ladder.
    pub ladder: Ladder,
}

/// What is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Something was revoked. Whoever hears it looks everything up again; what it was stands in the store.
    Revoked,
    /// Somebody begins anew.
    Forgotten(Forgotten),
    /// Failed logins are forgotten.
    Cleared(Cleared),
    /// Nobody said this: whoever listens was deaf for a while, and may have missed anything.
    Missed,
}

impl std::fmt::Display for Word {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Revoked => f.write_str("revoked"),
            Self::Missed => f.write_str("missed"),
            Self::Cleared(Cleared { together, ladder: Ladder { kind, of } }) => {
                write!(f, "cleared {} {kind} {}", HEXLOWER.encode(together), HEXLOWER.encode(of))
            }
            Self::Forgotten(Forgotten { together, policy, of }) => {
                write!(f, "forgotten {} {policy} {}", HEXLOWER.encode(together), HEXLOWER.encode(of))
            }
        }
    }
}

impl std::str::FromStr for Word {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes = |text: &str| HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok();
        match text.split(' ').collect::<Vec<_>>().as_slice() {
            ["revoked"] => Ok(Self::Revoked),
            ["forgotten", together, policy, of] => {
                let forgotten =
                    || Some(Forgotten { together: bytes(together)?, policy: policy.parse().ok()?, of: bytes(of)? });
                forgotten().map(Self::Forgotten).ok_or(())
            }
            ["cleared", together, kind, of] => {
                let ladder = || Some(Ladder { kind: kind.parse().ok()?, of: bytes(of)? });
                let cleared = || Some(Cleared { together: bytes(together)?, ladder: ladder()? });
                cleared().map(Self::Cleared).ok_or(())
            }
            _ => Err(()),
        }
    }
}

/// Says things to other nodes, and hears them. Nothing depends on it but how soon they know: what counts stands in the store.
pub struct Herald(Arc<Link>);

impl Herald {
    /// Over this link.
    pub fn new(link: Arc<Link>) -> Self {
        Self(link)
    }

    /// Says something. Who does not hear it looks for itself, a little later.
    pub async fn say(&self, word: Word) {
        say(&self.0, word).await;
    }

    /// Hears what nodes say, this one too, as long as somebody takes it. Each time it begins to listen it hears [`Word::Missed`] first.
    pub async fn listen(&self, heard: mpsc::Sender<Word>) {
        while !heard.is_closed() {
            if let Ok(mut ears) = self.0.dial().listen().await
                && ears.subscribe(CHANNEL).await.is_ok()
                && heard.send(Word::Missed).await.is_ok()
            {
                let mut said = ears.on_message();
                while let Some(message) = said.next().await {
                    let word = message.get_payload::<String>().ok().and_then(|text| text.parse().ok());
                    if let Some(word) = word
                        && heard.send(word).await.is_err()
                    {
                        return;
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Has something done that lies where `key` does, then says what was done. Each has the time for one answer: within one time for all, a
/// server that is slow and there would count as away as soon as there is enough to say. What is not heard has been done all the same.
pub(crate) async fn done_and_said(
    link: &Arc<Link>,
    key: &str,
    deeds: redis::Pipeline,
    words: Vec<Word>,
) -> Result<(), Lost> {
    link.run(key, |mut connection| async move { deeds.query_async::<()>(&mut connection).await }).await?;
    // In a cluster a word is no part of any place, so that words do not go with the deeds.
    for word in words {
        if !say(link, word).await {
            break;
        }
    }
    Ok(())
}

/// Says something; whether it was said.
async fn say(link: &Arc<Link>, word: Word) -> bool {
    let mut command = redis::cmd("PUBLISH");
    command.arg(CHANNEL).arg(word.to_string());
    let said = link.run(CHANNEL, |mut connection| async move { command.query_async::<u64>(&mut connection).await });
    let said = said.await;
    if let Err(lost) = &said {
        let error: &dyn std::error::Error = lost;
        tracing::debug!(error, "Other nodes were not told");
    }
    said.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        let forgotten = Forgotten { together: [1; 16], policy: u64::MAX, of: [0xfe; 16] };
        let ladder = Ladder { kind: chancery_domain::lockouts::LadderKind::Pair, of: [7; 16] };
        for word in [Word::Revoked, Word::Forgotten(forgotten), Word::Cleared(Cleared { together: [1; 16], ladder })] {
            assert_eq!(word.to_string().parse(), Ok(word));
        }
        for odd in ["", "missed", "forgotten", "forgotten 01 2 03", "revoked now"] {
            assert!(odd.parse::<Word>().is_err(), "{odd}");
        }
    }
}
