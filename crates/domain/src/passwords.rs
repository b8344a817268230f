//! Passwords: what is accepted, and hashing with a bounded queue.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chancery_crypto::{
    Secret,
    password::{self, Cost, PasswordError, Verdict},
    random::Random,
};
use tokio::sync::Semaphore;

use crate::faults::Faults;

/// Fewest characters.
const MIN_CHARS: usize = 12;
/// Most characters.
const MAX_CHARS: usize = 128;
/// How many may wait for a hash before more are turned away.
const MAX_WAITING: usize = 64;
/// How long one waits for its turn before it is turned away.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// What all hashes at work may take together, in MiB; a single one takes at most half of it.
const MEMORY_MIB: u32 = 512;

/// A password on its way in. Never printed, wiped on drop.
pub type Password = Secret<String>;

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many are waiting; come again.
    #[error("too many password checks are waiting")]
    Busy,
    /// It could not be computed.
    #[error("the password could not be hashed")]
    Failed(#[from] PasswordError),
}

/// Checks the rules of design §4: 12 to 128 characters, upper, lower, digit, symbol, not well known.
pub fn check_rules(password: &Password, pointer: &str, faults: &mut Faults) {
    let text = password.expose();
    let length = text.chars().count();
    if length < MIN_CHARS {
        faults.add(pointer, "too_short", "use at least 12 characters");
    } else if length > MAX_CHARS {
        faults.add(pointer, "too_long", "use at most 128 characters");
    }
    let has = |wanted: fn(&char) -> bool| text.chars().any(|c| wanted(&c));
    let all = has(|c| c.is_uppercase())
        && has(|c| c.is_lowercase())
        && has(|c| c.is_numeric())
        && has(|c| !c.is_alphanumeric());
    if !all {
        faults.add(pointer, "too_simple", "use upper and lower case letters, digits and symbols");
    }
    if crate::weak::is_weak(text) {
        faults.add(pointer, "well_known", "this password is on the list that everyone tries first");
    }
}

/// Hashes and checks passwords on blocking threads: so many at a time as there are processors and memory for them. Those that wait
/// are few, and do not wait for long.
pub struct PasswordQueue {
    cost: Cost,
    running: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    longest_wait: Duration,
    done: AtomicU64,
    turned_away: AtomicU64,
}

impl PasswordQueue {
    pub(crate) fn new(cost: Cost) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            cost,
            running: Arc::new(Semaphore::new(processors)),
            memory: Arc::new(Semaphore::new(MEMORY_MIB as usize)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            longest_wait: LONGEST_WAIT,
            done: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// How many passwords were hashed, to keep or to compare, since this start.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How many were turned away because too many were waiting.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Hashes a password to the PHC form.
    pub(crate) async fn hash(&self, password: Password, rng: &dyn Random) -> Result<String, HashError> {
        let seed: [u8; 16] = chancery_crypto::random::array(rng).map_err(PasswordError::from)?;
        let cost = self.cost;
        let work = move || password::hash(password.expose().as_bytes(), cost, &Once(seed));
        self.run(cost.memory_kib, work).await?.map_err(Into::into)
    }

    /// Whether a password fits a stored hash. Without one, the same work is done against a hash that
    /// nothing fits, so that an unknown user costs the same time.
    pub(crate) async fn verify(&self, password: &Password, stored: Option<String>) -> Result<Verdict, HashError> {
        let cost = self.cost;
        let password = Password::new(password.expose().clone());
        let memory_kib = stored.as_deref().map_or(cost.memory_kib, password::memory_kib);
        let checked = self.run(memory_kib, move || {
            let bytes = password.expose().as_bytes();
            match stored {
                Some(phc) => password::verify_wanting(bytes, &phc, cost),
                None => {
                    password::hash(bytes, cost, &Once([0; 16])).map(|_| Verdict { matched: false, outdated: false })
                }
            }
        });
        Ok(checked.await??)
    }

    async fn run<T: Send + 'static>(
        &self,
        memory_kib: u32,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let turned_away = || {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            HashError::Busy
        };
        let _waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| turned_away())?;
        let mib = memory_kib.div_ceil(1024).clamp(1, MEMORY_MIB);
        let turn = async {
            let processor = Arc::clone(&self.running).acquire_owned().await.ok()?;
            let memory = Arc::clone(&self.memory).acquire_many_owned(mib).await.ok()?;
            Some((processor, memory))
        };
        let turn = tokio::time::timeout(self.longest_wait, turn).await.ok().flatten().ok_or_else(turned_away)?;
        // From here on it runs to its end, even if nobody waits for it any more: it gives its turn back itself.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        let result = done.await.map_err(|_| HashError::Failed(PasswordError::Failed))?;
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(result)
    }
}

/// Randomness that was drawn before: a salt, taken to another thread.
struct Once([u8; 16]);

impl Random for Once {
    fn fill(&self, out: &mut [u8]) -> Result<(), chancery_crypto::random::RandomError> {
        for (slot, byte) in out.iter_mut().zip(self.0) {
            *slot = byte;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chancery_crypto::SystemRandom;

    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn password() -> Password {
        Password::new("Correct-Horse-7-Battery".to_owned())
    }

    #[tokio::test]
    async fn a_full_queue_turns_away_and_goes_on_when_it_is_not() {
        let queue = PasswordQueue::new(CHEAP);
        let all = u32::try_from(MAX_WAITING).unwrap();
        let full = Arc::clone(&queue.waiting).acquire_many_owned(all).await.unwrap();
        assert!(matches!(queue.hash(password(), &SystemRandom).await, Err(HashError::Busy)));
        assert!(matches!(queue.verify(&password(), None).await, Err(HashError::Busy)));
        assert_eq!((queue.done(), queue.turned_away()), (0, 2));
        drop(full);
        let stored = queue.hash(password(), &SystemRandom).await.unwrap();
        assert!(queue.verify(&password(), Some(stored)).await.unwrap().matched);
        assert!(!queue.verify(&password(), None).await.unwrap().matched);
        assert_eq!((queue.done(), queue.turned_away()), (3, 2));
    }

    #[tokio::test]
    async fn nobody_waits_for_long() {
        let queue = PasswordQueue { longest_wait: Duration::from_millis(5), ..PasswordQueue::new(CHEAP) };
        let everything = Arc::clone(&queue.memory).acquire_many_owned(MEMORY_MIB).await.unwrap();
        assert!(matches!(queue.hash(password(), &SystemRandom).await, Err(HashError::Busy)));
        drop(everything);
        assert!(queue.hash(password(), &SystemRandom).await.is_ok());
        assert_eq!((queue.done(), queue.turned_away()), (1, 1));
    }

    #[tokio::test]
    async fn a_dear_hash_waits_for_room_and_a_cheap_one_does_not() {
        let queue = PasswordQueue { longest_wait: Duration::from_millis(5), ..PasswordQueue::new(CHEAP) };
        let phc = "$argon2id$v=19$m=262144,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        // Room for one of 256 MiB is gone; a cheap one still fits.
        let most = Arc::clone(&queue.memory).acquire_many_owned(MEMORY_MIB - 255).await.unwrap();
        assert!(matches!(queue.verify(&password(), Some(phc.to_owned())).await, Err(HashError::Busy)));
        assert!(queue.hash(password(), &SystemRandom).await.is_ok());
        drop(most);
    }

    fn codes(text: &str) -> Vec<&'static str> {
        let mut faults = Faults::default();
        check_rules(&Password::new(text.to_owned()), "/password", &mut faults);
        faults.0.into_iter().map(|fault| fault.code).collect()
    }

    #[test]
    fn good_passwords_pass_and_bad_ones_say_why() {
        assert!(codes("Correct-Horse-7-Battery").is_empty());
        assert_eq!(codes("Short1!"), ["too_short"]);
        assert_eq!(codes("alllowercaseletters"), ["too_simple"]);
        assert_eq!(codes("Admin"), ["too_short", "too_simple", "well_known"]);
    }
}
