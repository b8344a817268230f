//! Objects in S3, or in what speaks like it. Not a key provider: it is here because credentials of AWS are.

use std::time::SystemTime;

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use aws_sdk_kms::config::Region;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4,
};
use chancery_crypto::sha256;
use chancery_domain::keyring::ProviderError;
use data_encoding::BASE64;
use reqwest::Method;

use crate::{
    AwsCredentials,
    aws::{credentials_of, is_safe},
    http::{Client, HttpSettings},
};

/// The most of an answer that tells why not.
const FAULT_MAX: usize = 64 * 1024;

/// Where a bucket is, and who asks.
#[derive(Debug)]
pub struct S3Settings {
    /// The bucket's name.
    pub bucket: String,
    /// Its region.
    pub region: String,
    /// Replaces the region's own address, for what speaks like S3; the bucket is in the path there.
    pub endpoint: Option<String>,
    /// The credentials; without them the usual chain is asked: environment, profile, web identity, container, instance.
    pub credentials: Option<AwsCredentials>,
    /// How it is reached.
    pub http: HttpSettings,
}

/// What came of putting an object where none may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    Stored,
    /// One of that name was there.
    WasThere,
}

/// Why an object was not put or not had: a stable code each, such as `http.503`; never what the server said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3Error {
    /// The store could not be reached, is not ready, or does not let us in.
    #[error("the object store is away: {0}")]
    Away(String),
    /// It does not want this object.
    #[error("the object store refuses the object: {0}")]
    Refused(String),
    /// There is none of that name.
    #[error("there is no such object")]
    NotFound,
    /// It is longer than was asked for.
    #[error("the object is too long")]
    TooLong,
}

/// A bucket.
pub struct Bucket {
    client: Client,
    credentials: SharedCredentialsProvider,
    region: String,
    /// What comes before an object's name.
    base: String,
}

impl Bucket {
    /// Takes the settings. Nothing is asked of the store yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Misconfigured`] says which setting cannot be.
    pub async fn open(settings: S3Settings) -> Result<Self, ProviderError> {
        let S3Settings { bucket, region, endpoint, credentials, http } = settings;
        let wrong = |why: &str| ProviderError::Misconfigured(format!("the bucket `{bucket}`: {why}"));
        let plain = |text: &str, more: &[u8]| {
            let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || more.contains(&byte);
            (2..=63).contains(&text.len()) && text.bytes().all(fine)
        };
        if !plain(&bucket, b"-.") || !plain(&region, b"-") {
            return Err(wrong("write the names of bucket and region as S3 does, in small letters"));
        }
        if endpoint.as_deref().is_some_and(|endpoint| !is_safe(endpoint)) {
            return Err(wrong("the endpoint must begin with https:// or be on this machine"));
        }
        let base = match endpoint.as_deref() {
            Some(endpoint) => format!("{}/{bucket}/", endpoint.trim_end_matches('/')),
            // The certificate is for one more label, and no dots.
            None if bucket.contains('.') => format!("https://s3.{region}.amazonaws.com/{bucket}/"),
            None => format!("https://{bucket}.s3.{region}.amazonaws.com/"),
        };
        let here = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let client = if here { Client::direct(&http)? } else { Client::new(&http)? };
        let credentials = credentials_of(credentials, &Region::new(region.clone())).await;
        Ok(Self { client, credentials, region, base })
    }

    /// Puts an object of this name, unless there is one: that one stays. `headers` are those of S3, such as
    /// `x-amz-server-side-encryption`.
    ///
    /// # Errors
    ///
    /// [`S3Error::Away`] and [`S3Error::Refused`]; it may be there then all the same, if the answer was lost.
    pub async fn put_new(&self, name: &str, body: &[u8], headers: &[(&str, &str)]) -> Result<Put, S3Error> {
        match self.put(name, body, headers, true).await {
            // Some stores do not know the condition. The name says what is in it, so that writing over it changes nothing.
            Err(S3Error::Refused(code)) if code == "http.501" => self.put(name, body, headers, false).await,
            put => put,
        }
    }

    /// The same, but by the store's own word alone: a store that does not know the condition is refused (`http.501`).
    ///
    /// # Errors
    ///
    /// [`S3Error`].
    pub async fn put_if_none(&self, name: &str, body: &[u8], headers: &[(&str, &str)]) -> Result<Put, S3Error> {
        self.put(name, body, headers, true).await
    }

    async fn put(&self, name: &str, body: &[u8], headers: &[(&str, &str)], new: bool) -> Result<Put, S3Error> {
        let checksum = BASE64.encode(&sha256(body));
        let mut all = headers.to_vec();
        all.push(("x-amz-checksum-sha256", &checksum));
        all.push(("x-amz-sdk-checksum-algorithm", "SHA256"));
        all.push(("content-type", "application/octet-stream"));
        if new {
            all.push(("if-none-match", "*"));
        }
        let (status, _) = self.ask(Method::PUT, name, &all, body, FAULT_MAX).await?;
        match status {
            200..=299 => Ok(Put::Stored),
            412 if new => Ok(Put::WasThere),
            status => Err(fault(status)),
        }
    }

    /// An object of up to `max` bytes. Whatever encrypted it on the server's side is the server's to undo.
    ///
    /// # Errors
    ///
    /// [`S3Error`]: [`S3Error::TooLong`] of one that is longer, before all of it is read.
    pub async fn get(&self, name: &str, max: usize) -> Result<Vec<u8>, S3Error> {
        let (status, body) = self.ask(Method::GET, name, &[], &[], max).await?;
        match status {
            200..=299 => Ok(body),
            404 => Err(S3Error::NotFound),
            status => Err(fault(status)),
        }
    }

    async fn ask(
        &self,
        method: Method,
        name: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        max: usize,
    ) -> Result<(u16, Vec<u8>), S3Error> {
        let away = |code: &str| S3Error::Away(code.to_owned());
        let credentials = self.credentials.provide_credentials().await.map_err(|_| away("credentials"))?;
        let url = format!("{}{}", self.base, encoded(name));
        let signature = signature(method.as_str(), &url, headers, body, &self.region, credentials, now());
        let signature = signature.ok_or_else(|| away("signature"))?;
        let mut request = self.client.raw().request(method, url).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in signature {
            let mut value = reqwest::header::HeaderValue::from_str(&value).map_err(|_| away("signature"))?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(|error| unreached(&error))?;
        let status = response.status().as_u16();
        let too_long = || match status {
            200..=299 => S3Error::TooLong,
            _ => away("http.answer_too_long"),
        };
        if response.content_length().is_some_and(|length| usize::try_from(length).is_ok_and(|length| length > max)) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreached(&error))? {
            if bytes.len() + chunk.len() > max {
                return Err(too_long());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok((status, bytes))
    }
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({})", self.base)
    }
}

fn unreached(error: &reqwest::Error) -> S3Error {
    let code = if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else {
        "http"
    };
    S3Error::Away(code.to_owned())
}

/// Only what tells of this object is a refusal.
fn fault(status: u16) -> S3Error {
    match status {
        400 | 411..=414 | 422 | 501 => S3Error::Refused(format!("http.{status}")),
        _ => S3Error::Away(format!("http.{status}")),
    }
}

#[expect(clippy::disallowed_methods, reason = "an adapter's own time: AWS refuses a signature whose moment is not now")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// A name as S3 signs it: every byte but these in hex, and slashes as they are.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(one).collect()
}

/// The headers that sign a request (AWS Signature Version 4 as S3 wants it: nothing of the path is encoded or tidied twice).
fn signature(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    region: &str,
    credentials: Credentials,
    at: SystemTime,
) -> Option<Vec<(String, String)>> {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity = credentials.into();
    let builder = v4::SigningParams::builder().identity(&identity).region(region).name("s3").time(at);
    let params = builder.settings(settings).build().ok()?.into();
    let request = SignableRequest::new(method, url, headers.iter().copied(), SignableBody::Bytes(body)).ok()?;
    let (instructions, _) = sign(request, &params).ok()?.into_parts();
    Some(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chancery_crypto::Secret;

    use super::*;

    fn signed(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        // 2013-05-24T00:00:00Z, and the credentials of the documentation.
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", secret, None, None, "test");
        let made = signature(method, url, headers, body, "us-east-1", credentials, at).unwrap();
        made.into_iter().find(|(name, _)| name == "authorization").unwrap().1
    }

    /// The two examples of AWS's documentation of Signature Version 4 for S3.
    #[test]
    fn it_signs_as_the_documentation_of_s3_does() {
        let get = signed("GET", "https://examplebucket.s3.amazonaws.com/test.txt", &[("range", "bytes=0-9")], b"");
        assert!(get.ends_with("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"), "{get}");
        let url = format!("https://examplebucket.s3.amazonaws.com/{}", encoded("test$file.text"));
        let headers = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
        let put = signed("PUT", &url, &headers, b"Welcome to Amazon S3.");
        assert!(put.ends_with("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"), "{put}");
    }

    #[test]
    fn names_are_encoded_once_and_keep_their_slashes() {
        assert_eq!(encoded("audit/2026-11/ä b+c.jsonl"), "audit/2026-11/%C3%A4%20b%2Bc.jsonl");
    }

    #[test]
    fn what_tells_of_one_object_is_a_refusal_and_the_rest_is_an_outage() {
        for status in [400, 413, 422, 501] {
            assert_eq!(fault(status), S3Error::Refused(format!("http.{status}")));
        }
        for status in [301, 403, 404, 409, 429, 500, 503] {
            assert_eq!(fault(status), S3Error::Away(format!("http.{status}")));
        }
    }

    /// A store that gives these answers, one after the other.
    fn store(answers: Vec<&'static str>) -> String {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut asked, mut some) = (Vec::new(), [0; 1024]);
                while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                    let read = stream.read(&mut some).unwrap();
                    asked.extend_from_slice(&some[..read]);
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    /// Whoever may put into a bucket may put anything there, of any length.
    #[tokio::test]
    async fn an_object_that_is_too_long_is_no_outage_and_is_not_read_to_its_end() {
        let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n12345";
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 9000000000\r\nconnection: close\r\n\r\n";
        let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n6\r\n123456\r\n";
        let fault = "HTTP/1.1 503 Away\r\ncontent-length: 6\r\nconnection: close\r\n\r\n123456";
        let settings = S3Settings {
            bucket: "archive".to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: Some(store(vec![whole, long, endless, fault])),
            credentials: Some(AwsCredentials {
                access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
                secret_access_key: Secret::new("x".to_owned()),
                session_token: None,
            }),
            http: HttpSettings::default(),
        };
        let bucket = Bucket::open(settings).await.unwrap();
        assert_eq!(bucket.get("2026-09", 5).await, Ok(b"12345".to_vec()));
        for _ in [long, endless] {
            assert_eq!(bucket.get("2026-09", 5).await, Err(S3Error::TooLong));
        }
        assert_eq!(bucket.get("2026-09", 5).await, Err(S3Error::Away("http.answer_too_long".to_owned())));
    }

    #[tokio::test]
    async fn settings_that_cannot_be_are_refused() {
        let settings = |bucket: &str, endpoint: Option<&str>| S3Settings {
            bucket: bucket.to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            credentials: None,
            http: HttpSettings::default(),
        };
        for (bucket, endpoint) in [("A", None), ("a/b", None), ("audit", Some("http://s3.example"))] {
            assert!(Bucket::open(settings(bucket, endpoint)).await.is_err(), "{bucket}");
        }
        let base = |bucket: &'static str, endpoint: Option<&'static str>| async move {
            Bucket::open(settings(bucket, endpoint)).await.unwrap().base
        };
        assert_eq!(base("audit", None).await, "https://audit.s3.eu-central-1.amazonaws.com/");
        assert_eq!(base("audit.north", None).await, "https://s3.eu-central-1.amazonaws.com/audit.north/");
        assert_eq!(base("audit", Some("http://127.0.0.1:9000/")).await, "http://127.0.0.1:9000/audit/");
    }
}
