use std::sync::atomic::{AtomicU64, Ordering};

use chancery_crypto::random::{Random, RandomError};

/// The same bytes in every run: each call gives the next block of a count. No two calls give the same 8 bytes.
#[derive(Debug, Default)]
pub struct CountingRandom(AtomicU64);

impl CountingRandom {
    /// Begins at `count`, so that two of them do not collide.
    pub const fn from(count: u64) -> Self {
        Self(AtomicU64::new(count))
    }
}

impl Random for CountingRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        for chunk in out.chunks_mut(8) {
            // An odd factor permutes the 64-bit numbers, so bytes look spread and blocks stay distinct.
            let block = (self.0.fetch_add(1, Ordering::SeqCst) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}
