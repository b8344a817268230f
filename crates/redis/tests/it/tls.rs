//! TLS on the way to Redis: an authority of one's own, and nobody else's.

use std::time::Duration;

use chancery_domain::{
    limits::{Ask, Limit, Limiter as _, Policy},
    time::Timestamp,
};
use chancery_redis::{Link, Options, RedisLimiter, testing::Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

const PATIENCE: Duration = Duration::from_secs(2);

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn make() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key of a server by this name, and the authority's own certificate.
    fn server(&self, name: &str) -> [String; 3] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        [certificate.pem(), key.serialize_pem(), self.0.pem()]
    }
}

async fn started(pems: &[String; 3]) -> Option<Server> {
    Server::start_tls(pems.each_ref().map(String::as_str)).await
}

/// ST-05.
#[tokio::test]
async fn over_tls_a_server_of_the_named_authority_is_used_and_no_other() {
    let ours = Authority::make();
    let Some(server) = started(&ours.server("127.0.0.1")).await else { return };
    let link = Link::open(server.options(PATIENCE)).await.unwrap();
    assert!(link.is_there());
    let limiter = RedisLimiter::new(link);
    let policy = Policy::new("p", Limit { count: 2, seconds: 3_600 }).unwrap();
    let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 };
    for allowed in [true, true, false] {
        let answers = limiter.take(&[1; 16], &[ask], Timestamp::from_seconds(1_790_000_040)).await.unwrap();
        assert_eq!(answers[0].allowed, allowed);
    }
    // An authority that did not sign it, those of the system, and no TLS at all.
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("ca.pem");
    std::fs::write(&theirs, Authority::make().0.pem()).unwrap();
    for ca_file in [Some(theirs), None] {
        let link = Link::open(Options { ca_file, ..server.options(PATIENCE) }).await.unwrap();
        assert!(!link.is_there());
    }
    let mut clear = server.options(PATIENCE);
    clear.address.tls = false;
    assert!(!Link::open(Options { ca_file: None, ..clear }).await.unwrap().is_there());
}

#[tokio::test]
async fn a_certificate_of_another_name_is_not_taken() {
    let Some(server) = started(&Authority::make().server("127.0.0.1")).await else { return };
    let mut options = server.options(PATIENCE);
    "localhost".clone_into(&mut options.address.host);
    assert!(!Link::open(options).await.unwrap().is_there());
}
