//! What is counted of the listeners' certificate.

use std::sync::atomic::AtomicU64;

use chancery_domain::{Instance, tls::Trouble};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::catch_up;

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct What {
    trouble: &'static str,
}

/// The numbers, read when they are asked for.
#[derive(Debug, Default)]
pub(super) struct TlsMetrics {
    left: Gauge<u64, AtomicU64>,
    now: Family<What, Gauge>,
    found: Family<What, Counter>,
}

impl TlsMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "chancery_tls_certificate_left",
            "Until the certificate of the listeners ends; 0 without one of our own, and once it is over",
            Unit::Seconds,
            self.left.clone(),
        );
        registry.register(
            "chancery_tls_trouble",
            "1 while this is wrong with the certificate of the listeners",
            self.now.clone(),
        );
        registry.register(
            "chancery_tls_troubles",
            "How often it was found: new files that do not do, an end that is near, an authority that gives none",
            self.found.clone(),
        );
    }

    pub(super) fn read(&self, instance: &Instance) {
        let standing = instance.tls();
        let left = standing.ends().map_or(0, |ends| ends.as_seconds() - instance.now().as_seconds());
        self.left.set(u64::try_from(left).unwrap_or(0));
        let troubles = standing.troubles();
        for (trouble, count) in standing.counts() {
            let what = What { trouble: label(trouble) };
            self.now.get_or_create(&what).set(i64::from(troubles.contains(&trouble)));
            catch_up(&self.found.get_or_create(&what), count);
        }
    }
}

fn label(trouble: Trouble) -> &'static str {
    trouble.as_str().trim_start_matches("tls.")
}
