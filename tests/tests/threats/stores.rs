//! A bucket's server is a stranger too.

use std::time::Duration;

use archive_core::store::{S3Credentials, S3Options, S3Store, Store as _, StoreKey};
use system_tests::scripted_server::{Answer, ScriptedServer};
use tempfile::TempDir;

fn bucket(port: u16) -> S3Store {
    let keys = TempDir::new().unwrap();
    let file = |name: &str| {
        let path = keys.path().join(name);
        std::fs::write(&path, "visibly-a-test-key").unwrap();
        path
    };
    let options = S3Options {
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
        credentials: S3Credentials::Files { access_key: file("a"), secret_key: file("s") },
        retries: 0,
        request_timeout: Duration::from_secs(20),
        ..S3Options::bucket("vellum")
    };
    S3Store::open("scripted", &options).unwrap()
}

/// A listing in which the name of an object is an entity.
fn listing(declarations: &str, entity: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><!DOCTYPE list [{declarations}]><ListBucketResult><Name>vellum</Name><Prefix></Prefix>\
         <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><Contents><Key>studies/{entity}</Key>\
         <LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"x\"</ETag><Size>3</Size></Contents></ListBucketResult>"
    )
}

/// Class 25: the only XML that is read is a bucket's; nothing is fetched, opened or expanded because of it.
#[tokio::test(flavor = "multi_thread")]
async fn xml_no_dtd_no_entities() {
    let secret = TempDir::new().unwrap();
    let path = secret.path().join("secret");
    std::fs::write(&path, "the-content-of-a-file").unwrap();
    let laughs: String = (1..30).map(|n| format!("<!ENTITY l{n} \"&l{};&l{};\">", n - 1, n - 1)).collect();
    let documents = [
        listing("<!ENTITY x \"expanded\">", "&x;"),
        listing(&format!("<!ENTITY l0 \"laugh\">{laughs}"), "&l29;"),
        listing(&format!("<!ENTITY x SYSTEM \"file://{}\">", path.display()), "&x;"),
        listing("<!ENTITY x SYSTEM \"http://127.0.0.1:9/x\">", "&x;"),
    ];
    for (number, document) in documents.into_iter().enumerate() {
        let server = ScriptedServer::start(move |_, _| Answer::new(200, &document)).await;
        let store = bucket(server.port());
        let prefix = StoreKey::parse("studies").unwrap();
        let listed = format!("{:?}", store.list(&prefix, None, 1000).await);
        for word in ["expanded", "laughlaugh", "the-content-of-a-file"] {
            assert!(!listed.contains(word), "document {number}: {word}");
        }
        assert!(listed.len() < 10_000, "document {number}: {} characters", listed.len());
        assert_eq!(server.requests().len(), 1, "{:?}", server.requests());
    }
}
