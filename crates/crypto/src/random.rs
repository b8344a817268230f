//! The port for randomness and the system's implementation of it.

use std::cell::RefCell;

use zeroize::Zeroize;

/// Where random bytes come from. Rules receive one; only an edge makes a [`SystemRandom`].
pub trait Random: Send + Sync {
    /// Fills all of `out` with uniform bytes, or says that it did not.
    ///
    /// # Errors
    ///
    /// [`RandomError`] when the source gave nothing; `out` must not be used then.
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError>;
}

/// The source of randomness gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no randomness available")]
pub struct RandomError;

/// Draws `N` random bytes.
///
/// # Errors
///
/// [`RandomError`] as the port says.
pub fn array<const N: usize>(rng: &dyn Random) -> Result<[u8; N], RandomError> {
    let mut out = [0; N];
    rng.fill(&mut out)?;
    Ok(out)
}

/// The random generator of AWS-LC (an SP 800-90A DRBG seeded by the system).
///
/// A call costs about 0.4 µs however few bytes it asks for, so small requests are served from a block of 4 KiB per thread. Each byte is
/// wiped as it is handed out and never handed out twice: a forked child sees another process id and draws a new block.
/// A machine that is resumed twice from one memory image would repeat at most one block per thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

const POOL: usize = 4096;
/// Requests above this size go to AWS-LC directly.
const SMALL: usize = 512;

struct Pool {
    bytes: [u8; POOL],
    /// How many bytes at the end of `bytes` were not handed out yet.
    left: usize,
    process: u32,
}

thread_local! {
    static THREAD: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL], left: 0, process: 0 }) };
}

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        if out.len() > SMALL {
            return draw(out);
        }
        // While a thread ends its block may be gone already.
        THREAD
            .try_with(|pool| pool.try_borrow_mut().map_or(None, |mut pool| Some(pool.take(out))))
            .ok()
            .flatten()
            .unwrap_or_else(|| draw(out))
    }
}

impl Pool {
    fn take(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        let process = std::process::id();
        if self.left < out.len() || self.process != process {
            self.left = 0; // a failed draw must not leave old bytes in reach
            draw(&mut self.bytes)?;
            self.left = POOL;
            self.process = process;
        }
        let end = POOL - self.left;
        let fresh = self.bytes.get_mut(end..end + out.len()).ok_or(RandomError)?;
        out.copy_from_slice(fresh);
        fresh.zeroize();
        self.left -= out.len();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the adapter behind the `Random` port")]
fn draw(out: &mut [u8]) -> Result<(), RandomError> {
    aws_lc_rs::rand::fill(out).map_err(|_| RandomError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_are_equal() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..2000 {
            assert!(seen.insert(array::<24>(&SystemRandom).unwrap()));
        }
    }

    #[test]
    fn a_byte_is_wiped_when_it_is_handed_out() {
        let mut pool = Pool { bytes: [0; POOL], left: 0, process: 0 };
        let mut out = [0; 100];
        pool.take(&mut out).unwrap();
        assert_ne!(out, [0; 100]);
        assert_eq!(pool.bytes[..100], [0; 100]);
        assert_ne!(pool.bytes[100..200], [0; 100]);
    }

    #[test]
    fn a_forked_child_draws_a_new_block() {
        let mut pool = Pool { bytes: [7; POOL], left: POOL, process: std::process::id() ^ 1 };
        let mut out = [0; 32];
        pool.take(&mut out).unwrap();
        assert_ne!(out, [7; 32]);
        assert_eq!(pool.process, std::process::id());
    }

    #[test]
    fn large_and_empty_requests_are_served() {
        let mut large = vec![0; 10_000];
        SystemRandom.fill(&mut large).unwrap();
        assert!(large.iter().filter(|byte| **byte != 0).count() > 9_000);
        SystemRandom.fill(&mut []).unwrap();
    }
}
