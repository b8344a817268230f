//! Secret managers: AWS in moto, the others as their API documentation describes them. No real Vault, Google or Azure ran here.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use chancery_crypto::Secret;
use chancery_domain::keyring::ProviderError;
use chancery_kms::{
    AwsCredentials,
    http::{HttpSettings, TokenFile},
    secrets::{
        AwsSecrets, AwsSecretsSettings, AzureSecrets, AzureSecretsSettings, GoogleSecrets, GoogleSecretsSettings,
        SecretManager, VaultSecrets, VaultSecretsSettings,
    },
};
use data_encoding::BASE64;
use serde_json::json;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::{
    aws::moto,
    servers::{answer, header},
};

const TOKEN: &str = "hvs.CAESIJ";

fn token_file(folder: &tempfile::TempDir) -> TokenFile {
    let path = folder.path().join("token");
    fs::write(&path, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    TokenFile(path)
}

async fn serve(respond: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(respond).mount(&server).await;
    server
}

async fn read(from: &dyn SecretManager, name: &str) -> Result<Secret<String>, ProviderError> {
    from.read(&name.parse().unwrap()).await
}

/// The text that says what to mend; it holds no secret.
async fn said(from: &dyn SecretManager, name: &str) -> String {
    match read(from, name).await {
        Err(ProviderError::Misconfigured(said)) if !said.contains("p\u{e4}ss") => said,
        other => panic!("{other:?}"),
    }
}

async fn unavailable(from: &dyn SecretManager, name: &str) {
    let failed = read(from, name).await;
    assert!(matches!(failed, Err(ProviderError::Unavailable(_))), "{failed:?}");
}

#[tokio::test]
async fn vault_gives_a_member_of_a_secret() {
    let server = serve(|request| match (header(request, "x-vault-token"), request.url.path()) {
        (TOKEN, "/v1/secret/data/chancery/db") => {
            let data = json!({"password": "p\u{e4}ss \"1\"", "user": "chancery"});
            answer(200, json!({"data": {"data": data, "metadata": {"version": 3}}, "lease_id": ""}))
        }
        (TOKEN, "/v1/secret/data/sealed") => answer(503, json!({"errors": ["Vault is sealed"]})),
        (TOKEN, _) => answer(404, json!({"errors": []})),
        _ => answer(403, json!({"errors": ["permission denied"]})),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let settings = VaultSecretsSettings {
        address: server.uri(),
        namespace: None,
        token_file: token_file(&folder),
        http: HttpSettings::default(),
    };
    let vault = VaultSecrets::new(settings.clone()).unwrap();

    assert_eq!(read(&vault, "vault:secret/chancery/db#password").await.unwrap().expose(), "p\u{e4}ss \"1\"");
    assert!(said(&vault, "vault:secret/chancery/db#pin").await.contains("no such member"));
    assert!(said(&vault, "vault:secret/gone#password").await.contains("has nothing"));
    assert!(said(&vault, "vault:secret/../sys#password").await.contains("`..`"));
    unavailable(&vault, "vault:secret/sealed#password").await;
    fs::write(&settings.token_file.0, "another").unwrap();
    assert!(said(&vault, "vault:secret/chancery/db#password").await.contains("refuses the token"));
}

#[tokio::test]
async fn google_gives_the_newest_version_or_the_named_one() {
    let server = serve(|request| {
        let version = match request.url.path() {
            "/v1/projects/p/secrets/db/versions/latest:access" => "new",
            "/v1/projects/p/secrets/db/versions/3:access" => "old",
            _ => return answer(404, json!({"error": {"status": "NOT_FOUND", "message": "said"}})),
        };
        assert_eq!(header(request, "authorization"), format!("Bearer {TOKEN}"));
        answer(200, json!({"name": "n", "payload": {"data": BASE64.encode(version.as_bytes()), "dataCrc32c": "1"}}))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let settings = GoogleSecretsSettings { endpoint: Some(server.uri()), http: HttpSettings::default() };
    let google = GoogleSecrets::new(&settings, Box::new(token_file(&folder))).unwrap();

    assert_eq!(read(&google, "google:projects/p/secrets/db").await.unwrap().expose(), "new");
    assert_eq!(read(&google, "google:projects/p/secrets/db/versions/3").await.unwrap().expose(), "old");
    assert!(said(&google, "google:projects/p/secrets/gone").await.contains("404"));
    assert!(said(&google, "google:db").await.contains("projects/P/secrets/S"));
}

#[tokio::test]
async fn azure_gives_the_newest_version_or_the_named_one() {
    let server = serve(|request| {
        assert_eq!(request.url.query(), Some("api-version=7.4"));
        match request.url.path() {
            "/secrets/db" => answer(200, json!({"value": "new", "id": "i", "attributes": {}})),
            "/secrets/db/0123" => answer(200, json!({"value": "old", "id": "i", "attributes": {}})),
            "/secrets/late" => answer(429, json!({})),
            _ => answer(404, json!({"error": {"code": "SecretNotFound", "message": "said"}})),
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let settings = AzureSecretsSettings { vault: server.uri(), http: HttpSettings::default() };
    let azure = AzureSecrets::new(&settings, Box::new(token_file(&folder))).unwrap();

    assert_eq!(read(&azure, "azure:db").await.unwrap().expose(), "new");
    assert_eq!(read(&azure, "azure:db/0123").await.unwrap().expose(), "old");
    assert!(said(&azure, "azure:gone").await.contains("404"));
    assert!(said(&azure, "azure:a/b/c").await.contains("NAME[/VERSION]"));
    unavailable(&azure, "azure:late").await;
}

#[tokio::test]
async fn aws_gives_the_current_version() {
    let Some(endpoint) = moto() else { return };
    let credentials = || AwsCredentials {
        access_key_id: "test".to_owned(),
        secret_access_key: Secret::new("test".to_owned()),
        session_token: None,
    };
    // The client of the provider only reads; the secret is made by moto's own door.
    let made = reqwest::Client::new()
        .post(endpoint)
        .header("x-amz-target", "secretsmanager.CreateSecret")
        .header("content-type", "application/x-amz-json-1.1")
        .header("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0")
        .body(json!({"Name": "chancery/db", "SecretString": "{\"password\":\"from moto\"}", "ClientRequestToken": "0123456789abcdef0123456789abcdef"}).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), 200);
    let open = async |endpoint: &str| {
        let settings = AwsSecretsSettings {
            region: "eu-central-1".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            credentials: Some(credentials()),
            timeout: Duration::from_secs(5),
        };
        AwsSecrets::open(settings).await
    };
    let aws = open(endpoint).await.unwrap();

    assert_eq!(read(&aws, "aws:chancery/db#password").await.unwrap().expose(), "from moto");
    assert_eq!(read(&aws, "aws:chancery/db").await.unwrap().expose(), r#"{"password":"from moto"}"#);
    assert!(said(&aws, "aws:gone").await.contains("ResourceNotFoundException"));
    unavailable(&open("http://127.0.0.1:9").await.unwrap(), "aws:chancery/db").await;
    assert!(open("http://secrets.example").await.is_err());
}
