//! Stores against a real S3-compatible server, through a line that loses answers, and against servers that lie.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use archive_core::entropy::SystemEntropy;
use archive_core::identifiers::{ArchiveId, Sha256Digest, StoreId};
use archive_core::store::{
    AdminError, Created, LedgerFitness, S3Options, S3Store, Store, StoreAdmin, StoreError, StoreIdentity, StoreKey,
    check_identity, contract, initialise, probe, verify_object,
};
use system_tests::lossy_proxy::LossyProxy;
use system_tests::s3_server::S3Server;
use system_tests::scripted_server::{Answer, ScriptedServer};
use tempfile::TempDir;

fn key(name: &str) -> StoreKey {
    StoreKey::parse(name).unwrap()
}

/// Options under which a test need not wait long for what fails.
fn impatient(options: S3Options) -> S3Options {
    S3Options { retries: 0, request_timeout: Duration::from_secs(20), ..options }
}

async fn scripted(script: impl Fn(&str, &str) -> Answer + Send + Sync + 'static) -> (ScriptedServer, S3Store) {
    let server = ScriptedServer::start(script).await;
    let keys = TempDir::new().unwrap();
    let file = |name: &str| {
        let path = keys.path().join(name);
        std::fs::write(&path, "visibly-a-test-key").unwrap();
        path
    };
    let options = S3Options {
        endpoint: Some(format!("http://127.0.0.1:{}", server.port())),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
        credentials: archive_core::store::S3Credentials::Files { access_key: file("a"), secret_key: file("s") },
        ..S3Options::bucket("vellum")
    };
    let store = S3Store::open("scripted", &impatient(options)).unwrap();
    (server, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_the_contract() {
    let Some(server) = S3Server::start() else { return };
    let scratch = TempDir::new().unwrap();
    let store = Arc::new(S3Store::open("bucket", &server.options()).unwrap());
    contract::holds(store, scratch.path(), LedgerFitness::OneWriterOnly).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_inside_a_bucket_keeps_the_contract_and_stays_inside() {
    let Some(server) = S3Server::start() else { return };
    let scratch = TempDir::new().unwrap();
    let options = S3Options { prefix: Some(key("some/where")), ..server.options() };
    let store = Arc::new(S3Store::open("bucket", &options).unwrap());
    contract::holds(store.clone(), scratch.path(), LedgerFitness::OneWriterOnly).await;
    let whole = S3Store::open("whole", &server.options()).unwrap();
    assert_eq!(whole.list(&key("documents"), None, 1).await.unwrap(), vec![]);
    let inside = store.list(&key("documents"), None, 1_000).await.unwrap();
    assert_eq!(whole.list(&key("some/where/documents"), None, 1_000).await.unwrap().len(), inside.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_of_more_than_a_page_is_whole_and_in_order() {
    let Some(server) = S3Server::start() else { return };
    let store = S3Store::open("bucket", &server.options()).unwrap();
    let folder = server.bucket_folder().join("documents");
    std::fs::create_dir(&folder).unwrap();
    let names: Vec<String> = (0..2_345).map(|number| format!("{number:05}")).collect();
    for name in &names {
        std::fs::write(folder.join(name), name).unwrap();
    }
    let mut found: Vec<String> = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(&key("documents"), after.as_ref(), 500).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 500);
        after = Some(last.key.clone());
        found.extend(page.iter().map(|object| object.key.to_string().replace("documents/", "")));
    }
    assert_eq!(found, names);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_probed_before_it_may_hold_the_ledger() {
    let Some(server) = S3Server::start() else { return };
    let store = Arc::new(S3Store::open("bucket", &server.options()).unwrap());
    let fitness = probe(store.clone(), &*SystemEntropy::shared()).await.unwrap();
    // This server checks and then writes: whether two racers slip through is a matter of luck, an overwrite is not.
    assert_ne!(fitness, LedgerFitness::Unfit);
    assert_eq!(store.list(&key("probe"), None, 10).await.unwrap(), vec![], "nothing is left of the probe");
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_server_that_overwrites_is_unfit_for_the_ledger() {
    let (_server, store) = scripted(|method, _| match method {
        "DELETE" => Answer::new(204, ""),
        _ => Answer::object("second"),
    })
    .await;
    assert_eq!(probe(Arc::new(store), &*SystemEntropy::shared()).await.unwrap(), LedgerFitness::Unfit);
}

#[tokio::test(flavor = "multi_thread")]
async fn i13_a_server_that_checks_and_then_writes_is_for_one_writer_only() {
    let seen = AtomicUsize::new(0);
    // The first name: one write succeeds, one is refused. The second name: everybody wins.
    let (_server, store) = scripted(move |method, path| match method {
        "DELETE" => Answer::new(204, ""),
        "GET" => Answer::object("first"),
        _ if path.contains("twice") && seen.fetch_add(1, Ordering::SeqCst) > 0 => {
            Answer::error(412, "PreconditionFailed")
        }
        _ => Answer::object(""),
    })
    .await;
    assert_eq!(probe(Arc::new(store), &*SystemEntropy::shared()).await.unwrap(), LedgerFitness::OneWriterOnly);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_says_who_it_is() {
    let Some(server) = S3Server::start() else { return };
    let store = S3Store::open("bucket", &server.options()).unwrap();
    let archive = ArchiveId::parse(&"a".repeat(32)).unwrap();
    let id = StoreId::parse(&"1".repeat(32)).unwrap();
    assert!(matches!(check_identity(&store, &archive, &id).await, Err(StoreError::Identity { .. })));
    let identity = StoreIdentity::new(archive.clone(), id.clone(), "2026-01-01T00:00:00Z".parse().unwrap());
    initialise(&store, &identity, "read me".into(), "extract".into()).await.unwrap();
    assert_eq!(check_identity(&store, &archive, &id).await.unwrap(), identity);
    let elsewhere = S3Options { prefix: Some(key("typo")), ..server.options() };
    let elsewhere = S3Store::open("bucket", &elsewhere).unwrap();
    assert!(matches!(check_identity(&elsewhere, &archive, &id).await, Err(StoreError::Identity { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_whose_answer_is_lost_is_settled_by_reading_back() {
    let Some(server) = S3Server::start() else { return };
    let proxy = LossyProxy::to(server.port()).await;
    let store = S3Store::open("bucket", &server.options_through(proxy.port())).unwrap();
    // The write's own answer is lost; with two also that of the first look.
    for lost in [1, 2] {
        let name = key(&format!("documents/lost-{lost}"));
        proxy.lose_answers(lost);
        store.create(&name, "bytes".into()).await.unwrap();
        assert_eq!(proxy.left_to_lose(), 0);
        assert_eq!(store.read(&name).await.unwrap(), "bytes");
        assert_eq!(store.create(&name, "bytes".into()).await.unwrap(), Created::AlreadyThere);
        let conflict = store.create(&name, "other".into()).await.unwrap_err();
        assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_survives_any_single_lost_answer() {
    let Some(server) = S3Server::start() else { return };
    let proxy = LossyProxy::to(server.port()).await;
    let store = S3Store::open("bucket", &server.options_through(proxy.port())).unwrap();
    let (scratch, bytes) = (TempDir::new().unwrap(), contract::bytes_of(11, 34 * 1024 * 1024));
    let (file, digest) = (scratch.path().join("pack"), Sha256Digest::of(&bytes));
    std::fs::write(&file, &bytes).unwrap();
    let (name, size) = (key(&format!("studies/ab/1.2/{digest}.zip")), bytes.len() as u64);
    proxy.lose_answers(1);
    // The first attempt may fail, but never claims what is not so; the next one ends well.
    let first = store.create_from_file(&name, &file, size, digest).await;
    if first.is_err() {
        store.create_from_file(&name, &file, size, digest).await.unwrap();
    }
    verify_object(&store, &name, size, digest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn i9_damage_in_the_bucket_is_found_and_never_overwritten() {
    let Some(server) = S3Server::start() else { return };
    let store = S3Store::open("bucket", &server.options()).unwrap();
    let name = key("documents/pack");
    store.create(&name, "bytes".into()).await.unwrap();
    std::fs::write(server.bucket_folder().join("documents/pack"), "bytez").unwrap();
    let found = verify_object(&store, &name, 5, Sha256Digest::of(b"bytes")).await.unwrap_err();
    assert!(matches!(found, StoreError::Damaged { .. }), "{found}");
    assert!(matches!(store.create(&name, "bytes".into()).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.read(&name).await.unwrap(), "bytez");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_object_whose_name_does_not_say_its_digest_is_refused() {
    let (server, store) = scripted(|_, _| Answer::object("")).await;
    let (scratch, bytes) = (TempDir::new().unwrap(), contract::bytes_of(13, 33 * 1024 * 1024));
    let file = scratch.path().join("file");
    std::fs::write(&file, &bytes).unwrap();
    let digest = Sha256Digest::of(&bytes);
    let refused = store.create_from_file(&key("documents/any"), &file, bytes.len() as u64, digest).await.unwrap_err();
    assert!(refused.to_string().contains("SHA-256 in its name"), "{refused}");
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_or_an_error_is_never_taken_for_absence() {
    let answers = [
        Answer::error(403, "AccessDenied"),
        Answer::error(401, "Unauthorized"),
        Answer::error(404, "NoSuchBucket"),
        Answer::error(429, "SlowDown"),
        Answer::error(500, "InternalError"),
        Answer::error(503, "SlowDown"),
        Answer::new(301, ""),
    ];
    for answer in answers {
        let status = answer.status;
        let (_server, store) = scripted(move |_, _| answer.clone()).await;
        let name = key("documents/pack");
        for error in [
            store.size(&name).await.unwrap_err(),
            store.read(&name).await.unwrap_err(),
            store.read_range(&name, 0..5).await.unwrap_err(),
            store.list(&key("documents"), None, 5).await.unwrap_err(),
            store.create(&name, "bytes".into()).await.unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{status}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_html_or_a_body_cut_short_is_never_taken_for_data() {
    let (_server, html) = scripted(|_, _| Answer::new(200, "<html>sign in</html>")).await;
    let name = key("documents/pack");
    assert!(html.read_range(&name, 0..5).await.is_err());
    assert!(html.create(&name, "bytes".into()).await.is_err());
    let (_server, short) = scripted(|_, _| Answer { announced: Some(500), ..Answer::object("only this") }).await;
    assert!(matches!(short.read(&name).await, Err(StoreError::Unavailable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_of_writers_is_settled_by_looking_again() {
    // 409 twice, as AWS answers to writers that collide, and nothing there; then the write succeeds.
    let puts = AtomicUsize::new(0);
    let (server, store) = scripted(move |method, _| match method {
        "PUT" if puts.fetch_add(1, Ordering::SeqCst) < 2 => Answer::error(409, "ConditionalRequestConflict"),
        "PUT" => Answer::object(""),
        _ => Answer::error(404, "NoSuchKey"),
    })
    .await;
    assert_eq!(store.create(&key("documents/pack"), "bytes".into()).await.unwrap(), Created::New);
    assert_eq!(server.requests().iter().filter(|request| request.starts_with("PUT")).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_never_arrives_ends_after_three_tries_as_unknown() {
    let (server, store) = scripted(|method, _| match method {
        "PUT" => Answer::error(500, "InternalError"),
        _ => Answer::error(404, "NoSuchKey"),
    })
    .await;
    let error = store.create(&key("documents/pack"), "bytes".into()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert_eq!(server.requests().iter().filter(|request| request.starts_with("PUT")).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_sort_is_listed_in_order_all_the_same() {
    let listing = |names: &[&str]| {
        let objects: String = names
            .iter()
            .map(|name| {
                format!(
                    "<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                     <ETag>\"x\"</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass></Contents>"
                )
            })
            .collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>vellum</Name><Prefix></Prefix>\
             <KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>",
            names.len()
        )
    };
    let body = listing(&["documents/c", "documents/a", "documents/not ours", "documents/d", "documents/b"]);
    let (_server, store) = scripted(move |_, _| Answer::new(200, &body)).await;
    let list = async |after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(key);
        let found = store.list(&key("documents"), after.as_ref(), limit).await.unwrap();
        found.iter().map(|object| object.key.to_string()).collect()
    };
    assert_eq!(list(None, 2).await, ["documents/a", "documents/b"]);
    assert_eq!(list(Some("documents/b"), 5).await, ["documents/c", "documents/d"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bucket_cannot_tell_is_said_to_be_unsupported() {
    let (_server, store) = scripted(|_, _| Answer::object("")).await;
    let answer = store.versioning().await.unwrap_err();
    assert!(matches!(answer, AdminError::Unsupported { .. }), "{answer}");
    let uploads = store.stale_uploads("2026-01-01T00:00:00Z".parse().unwrap()).await.unwrap_err();
    assert!(matches!(uploads, AdminError::Unsupported { .. }), "{uploads}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_read_from_files_and_never_shown() {
    let (server, store) = scripted(|_, _| Answer::error(403, "AccessDenied")).await;
    let shown = format!("{store:?} {}", store.read(&key("documents/pack")).await.unwrap_err());
    assert!(!shown.contains("visibly-a-test-key"), "{shown}");
    let missing = S3Options {
        credentials: archive_core::store::S3Credentials::Files {
            access_key: "/nowhere/access".into(),
            secret_key: "/nowhere/secret".into(),
        },
        endpoint: Some(format!("http://127.0.0.1:{}", server.port())),
        ..S3Options::bucket("vellum")
    };
    let text = S3Store::open("bucket", &missing).unwrap_err().to_string();
    assert!(text.contains("/nowhere/access") && text.contains("mend the settings"), "{text}");
}
