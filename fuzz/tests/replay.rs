//! The ordinary run: every seed, every finding of the past (`fuzz/corpus`), and some thousand mutations of them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests fail the test that calls them")]

use std::time::{Duration, Instant};

use chancery_fuzz::{TARGETS, Target};

/// How long each target is pressed here. `cargo xtask test --extended` gives each a minute under libFuzzer.
const TIME: Duration = Duration::from_millis(1_500);

#[test]
fn every_seed_is_taken_and_no_mutation_breaks_a_promise() {
    std::thread::scope(|scope| {
        for target in TARGETS {
            scope.spawn(|| press(target));
        }
    });
}

#[test]
fn every_target_has_seeds_and_a_name_of_its_own() {
    for (at, target) in TARGETS.iter().enumerate() {
        assert!(!(target.seeds)().is_empty(), "{}", target.name);
        assert!(TARGETS[..at].iter().all(|other| other.name != target.name), "{}", target.name);
    }
}

fn press(target: &Target) {
    let mut corpus = (target.seeds)();
    let found = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    if found.is_dir() {
        corpus.extend(std::fs::read_dir(found).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap()));
    }
    corpus.push(Vec::new());
    for input in &corpus {
        (target.run)(input);
    }
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let (start, mut runs) = (Instant::now(), 0_u64);
    while start.elapsed() < TIME {
        let mut input = corpus[chance.below(corpus.len())].clone();
        for _ in 0..=chance.below(4) {
            mutate(&mut input, &corpus, &mut chance);
        }
        (target.run)(&input);
        runs += 1;
    }
    assert!(runs > 10, "{} ran {runs} times only", target.name);
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    match (chance.below(7), at < input.len()) {
        (0, true) => input[at] ^= 1 << chance.below(8),
        (1, true) => input[at] = [0, 0xFF, 0x7F, 0x80, b'"', b'/', b'='][chance.below(7)],
        (2, true) => drop(input.remove(at)),
        (3, _) => input.truncate(at),
        (4, _) => input.insert(at, chance.below(256).to_le_bytes()[0]),
        (5, true) => {
            let end = at + chance.below(input.len() - at).min(64);
            let piece = input[at..end].to_vec();
            input.splice(at..at, piece);
        }
        _ => {
            let other = &corpus[chance.below(corpus.len())];
            input.truncate(at);
            input.extend_from_slice(&other[chance.below(other.len() + 1)..]);
        }
    }
}

/// xorshift64*: the same mutations in every run, so that a finding comes back.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).unwrap_or(0) % end.max(1)
    }
}
