//! Which cost suits a machine: as much memory as the time allows, then as many passes.

use std::time::Duration;

use super::Cost;

/// Steps of memory, in KiB: more of it hurts an attacker's hardware more than more passes do.
const MEMORY_KIB: [u32; 6] = [19_456, 32_768, 47_104, 65_536, 131_072, 262_144];

/// The cost at which one hash takes about `target`, never below the floor ([`Cost::default`]) and with at most `most_memory_kib`.
///
/// `time` makes one hash and says how long it took. A machine that is slower than the target at the floor gets the floor.
pub fn calibrate(target: Duration, most_memory_kib: u32, mut time: impl FnMut(Cost) -> Duration) -> Cost {
    let floor = Cost::default();
    let (mut best, mut took) = (floor, time(floor));
    for memory_kib in MEMORY_KIB.into_iter().filter(|kib| *kib > floor.memory_kib && *kib <= most_memory_kib) {
        let cost = Cost { memory_kib, ..floor };
        let longer = time(cost);
        if longer > target {
            break;
        }
        (best, took) = (cost, longer);
    }
    // The time grows with the passes, in proportion.
    let one = took / best.passes;
    let fit = if one.is_zero() { Cost::MAX.passes.into() } else { target.as_nanos() / one.as_nanos() };
    let passes = u32::try_from(fit).unwrap_or(Cost::MAX.passes).clamp(best.passes, Cost::MAX.passes);
    Cost { passes, ..best }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that fills so many KiB in a millisecond.
    fn machine(kib_per_ms: u32) -> impl FnMut(Cost) -> Duration {
        move |cost| {
            assert!(cost.is_at_least(Cost::default()));
            Duration::from_micros(u64::from(cost.memory_kib) * u64::from(cost.passes) * 1_000 / u64::from(kib_per_ms))
        }
    }

    fn calibrated(kib_per_ms: u32, most: u32) -> (u32, u32, u32) {
        let Cost { memory_kib, passes, lanes } = calibrate(Duration::from_millis(250), most, machine(kib_per_ms));
        (memory_kib, passes, lanes)
    }

    #[test]
    fn a_faster_machine_takes_more_memory_then_more_passes() {
        assert_eq!(calibrated(100, 65_536), (19_456, 2, 1), "slow: 389 ms at the floor");
        assert_eq!(calibrated(200, 65_536), (19_456, 2, 1), "195 ms; more memory would be 328");
        assert_eq!(calibrated(400, 65_536), (47_104, 2, 1), "236 ms");
        assert_eq!(calibrated(1_000, 65_536), (65_536, 3, 1), "197 ms, a fourth pass would be 262");
        assert_eq!(calibrated(1_000, 262_144), (65_536, 3, 1), "two passes over 128 MiB would be 262");
        assert_eq!(calibrated(1_000_000, 262_144), (262_144, 16, 1), "never beyond what a stored hash may ask for");
    }

    #[test]
    fn it_stays_within_the_memory_and_above_the_floor() {
        assert_eq!(calibrated(1_000, 32_768), (32_768, 7, 1));
        assert_eq!(calibrated(1_000, 1), (19_456, 12, 1));
        assert_eq!(calibrate(Duration::ZERO, 65_536, machine(1_000)), Cost::default());
        assert_eq!(calibrate(Duration::from_secs(1), 19_456, |_| Duration::ZERO).passes, 16);
    }
}
