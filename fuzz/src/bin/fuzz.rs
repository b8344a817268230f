//! libFuzzer around the target that `CHANCERY_FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<chancery_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("CHANCERY_FUZZ_TARGET").unwrap_or_default();
    chancery_fuzz::target(&name).unwrap_or_else(|| panic!("CHANCERY_FUZZ_TARGET names no target: `{name}`"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
