//! The metadata servers of Google and Azure, and tokens that are kept while they are good.

use std::time::Duration;

use async_trait::async_trait;
use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};
use zeroize::Zeroizing;

use super::{Answer, Client, HttpSettings, Token, TokenSource, address};
use crate::envelope::unavailable;

/// A token that ends sooner is asked for again.
const MARGIN: Duration = Duration::from_secs(60);

/// The metadata server of the machine's cloud: no secret is kept on disk.
pub struct MetadataServer {
    client: Client,
    url: Url,
    header: (&'static str, &'static str),
}

#[derive(Deserialize)]
struct Issued {
    access_token: Zeroizing<String>,
    /// Google gives a number, Azure a text.
    expires_in: Lasts,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lasts {
    Number(u64),
    Text(String),
}

impl MetadataServer {
    /// Google's, for the service account of this machine. `endpoint` replaces `http://169.254.169.254`.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] if `endpoint` is neither HTTPS nor this machine.
    pub fn google(endpoint: Option<&str>) -> Result<Self, ProviderError> {
        let path = "computeMetadata/v1/instance/service-accounts/default/token";
        Self::new(endpoint, path, ("metadata-flavor", "Google"))
    }

    /// Azure's, for the managed identity of this machine, or the one with this client id. `endpoint` as above.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] if `endpoint` is neither HTTPS nor this machine.
    pub fn azure(endpoint: Option<&str>, resource: &str, client_id: Option<&str>) -> Result<Self, ProviderError> {
        let mut source = Self::new(endpoint, "metadata/identity/oauth2/token", ("metadata", "true"))?;
        let mut query = source.url.query_pairs_mut();
        query.append_pair("api-version", "2018-02-01").append_pair("resource", resource);
        if let Some(id) = client_id {
            query.append_pair("client_id", id);
        }
        drop(query);
        Ok(source)
    }

    fn new(endpoint: Option<&str>, path: &str, header: (&'static str, &'static str)) -> Result<Self, ProviderError> {
        // The link-local address never leaves the machine's own host, and has no certificate.
        let mut url = match endpoint {
            Some(endpoint) => address(endpoint)?,
            None => Url::parse("http://169.254.169.254").map_err(unavailable)?,
        };
        url.set_path(path);
        let settings = HttpSettings { timeout: Duration::from_secs(2), ca_file: None };
        Ok(Self { client: Client::direct(&settings)?, url, header })
    }
}

#[async_trait]
impl TokenSource for MetadataServer {
    async fn token(&self) -> Result<Token, ProviderError> {
        let answer = self.client.send(Method::GET, self.url.clone(), &[self.header], None::<&()>).await?;
        if answer.status != 200 {
            return Err(answer.common_fault("the metadata server").unwrap_or_else(|| {
                ProviderError::Misconfigured(format!(
                    "the metadata server answered {}; give this machine an identity",
                    answer.status
                ))
            }));
        }
        let issued: Issued = answer.json()?;
        let seconds = match issued.expires_in {
            Lasts::Number(seconds) => seconds,
            Lasts::Text(text) => text.parse().unwrap_or(0),
        };
        // A lifetime of centuries is a fault of the server, and would overflow the clock.
        let lasts = Duration::from_secs(seconds.min(86_400));
        Ok(Token { text: Secret::new(issued.access_token.as_str().to_owned()), lasts: Some(lasts) })
    }
}

/// A source and the token that it gave last.
pub(crate) struct Tokens {
    source: Box<dyn TokenSource>,
    kept: Mutex<Option<(Secret<String>, Instant)>>,
}

impl Tokens {
    pub(crate) fn new(source: Box<dyn TokenSource>) -> Self {
        Self { source, kept: Mutex::new(None) }
    }

    /// `Bearer …`, fresh if `fresh`.
    pub(crate) async fn bearer(&self, fresh: bool) -> Result<Secret<String>, ProviderError> {
        let bearer = |text: &String| Secret::new(format!("Bearer {text}"));
        let mut kept = self.kept.lock().await;
        if let Some((text, until)) = kept.as_ref().filter(|_| !fresh)
            && Instant::now() + MARGIN < *until
        {
            return Ok(bearer(text.expose()));
        }
        let Token { text, lasts } = self.source.token().await?;
        let out = bearer(text.expose());
        *kept = lasts.map(|lasts| (text, Instant::now() + lasts));
        Ok(out)
    }

    /// Sends a request as the bearer; a token that is refused is asked for again, once.
    pub(crate) async fn send(
        &self,
        client: &Client,
        method: Method,
        url: &Url,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Answer, ProviderError> {
        let ask = async |fresh| {
            let token = self.bearer(fresh).await?;
            let headers = [("authorization", token.expose().as_str())];
            client.send(method.clone(), url.clone(), &headers, body).await
        };
        let answer = ask(false).await?;
        if answer.status == 401 { ask(true).await } else { Ok(answer) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    struct Counting(Arc<AtomicU32>, Option<Duration>);

    #[async_trait]
    impl TokenSource for Counting {
        async fn token(&self) -> Result<Token, ProviderError> {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            Ok(Token { text: Secret::new(count.to_string()), lasts: self.1 })
        }
    }

    #[tokio::test]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        for (lasts, asked) in [(Some(3600), 1), (Some(59), 3), (None, 3)] {
            let count = Arc::new(AtomicU32::new(0));
            let tokens = Tokens::new(Box::new(Counting(count.clone(), lasts.map(Duration::from_secs))));
            for _ in 0..3 {
                assert!(tokens.bearer(false).await.unwrap().expose().starts_with("Bearer "));
            }
            assert_eq!(count.load(Ordering::SeqCst), asked);
            tokens.bearer(true).await.unwrap();
            assert_eq!(count.load(Ordering::SeqCst), asked + 1, "a refused token is asked for again");
        }
    }
}
