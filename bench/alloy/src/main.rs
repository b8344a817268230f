//! Encrypts and decrypts documents of 64-byte fields; prints nanoseconds per document as JSON.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ironcore_alloy::standalone::config::{StandaloneConfiguration, StandaloneSecret, StandardSecrets};
use ironcore_alloy::standard::{PlaintextDocument, StandardDocumentOps};
use ironcore_alloy::{AlloyMetadata, FieldId, PlaintextBytes, Secret, Standalone, TenantId};

fn main() {
    let secret = Secret::new(vec![1; 64]).expect("a secret of 64 bytes is long enough");
    let secrets = StandardSecrets::new(Some(1), vec![StandaloneSecret::new(1, secret)]).expect("one primary secret");
    let sdk = Standalone::new(&StandaloneConfiguration::new(secrets, HashMap::new(), HashMap::new()));
    let metadata = AlloyMetadata::new_simple(TenantId("tenant".to_owned()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");

    let time = |fields: usize| {
        let document = || {
            let field = |number| (FieldId(format!("field{number}")), PlaintextBytes(vec![0x61; 64]));
            PlaintextDocument((0..fields).map(field).collect())
        };
        median(|| {
            let plain = document();
            let start = Instant::now();
            let encrypted = runtime.block_on(sdk.standard().encrypt(black_box(plain), &metadata)).expect("it encrypts");
            let opened = runtime.block_on(sdk.standard().decrypt(encrypted, &metadata)).expect("it decrypts");
            let time = start.elapsed();
            black_box(opened);
            time
        })
    };
    println!("{{\"one_field\":{},\"ten_fields\":{}}}", time(1), time(10));
}

/// The median of 50,000 runs after 5,000 to warm up, in nanoseconds.
fn median(mut run: impl FnMut() -> Duration) -> u128 {
    for _ in 0..5_000 {
        run();
    }
    let mut times: Vec<Duration> = (0..50_000).map(|_| run()).collect();
    times.sort_unstable();
    times[times.len() / 2].as_nanos()
}
