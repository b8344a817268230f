//! Passwords: what is accepted, and hashing with a bounded queue.

use std::sync::Arc;

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

/// Hashes and checks passwords on blocking threads, so many at a time as there are processors.
pub struct PasswordQueue {
    cost: Cost,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl PasswordQueue {
    pub(crate) fn new(cost: Cost) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self { cost, running: Arc::new(Semaphore::new(processors)), waiting: Arc::new(Semaphore::new(MAX_WAITING)) }
    }

    /// Hashes a password to the PHC form.
    pub(crate) async fn hash(&self, password: Password, rng: &dyn Random) -> Result<String, HashError> {
        let seed: [u8; 16] = chancery_crypto::random::array(rng).map_err(PasswordError::from)?;
        let cost = self.cost;
        self.run(move || password::hash(password.expose().as_bytes(), cost, &Once(seed))).await?.map_err(Into::into)
    }

    /// Whether a password fits a stored hash. Without one, the same work is done against a hash that
    /// nothing fits, so that an unknown user costs the same time.
    pub(crate) async fn verify(&self, password: &Password, stored: Option<String>) -> Result<Verdict, HashError> {
        let cost = self.cost;
        let password = Password::new(password.expose().clone());
        let checked = self.run(move || {
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

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, HashError> {
        let _waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| HashError::Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| HashError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(running);
            result
        });
        done.await.map_err(|_| HashError::Failed(PasswordError::Failed))
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
    use super::*;

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
