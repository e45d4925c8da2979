//! QIDO-RS.

use crate::client::{Made, Service, XML_ONLY, start};
use crate::fake::Trouble;

async fn filled() -> Service {
    let service = start().await;
    let mut files = Vec::new();
    for study in 1..=5 {
        for instance in 1..=3 {
            let mut made =
                Made::new(&format!("1.{study}"), &format!("1.{study}.1"), &format!("1.{study}.1.{instance}"));
            made.name = format!("N{study}^A");
            files.push(made.file());
        }
    }
    assert_eq!(service.store(&files).await.status, 200);
    service
}

async fn uids(service: &Service, path: &str, tag: &str) -> Vec<String> {
    let answer = service.get(path, "application/dicom+json").await;
    assert_eq!(answer.status, 200, "{path}");
    let records = answer.json();
    records.as_array().unwrap().iter().map(|record| record[tag]["Value"][0].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_level_answers_whole_however_small_the_pages() {
    let service = filled().await;
    assert_eq!(uids(&service, "/dicom-web/studies", "0020000D").await, ["1.1", "1.2", "1.3", "1.4", "1.5"]);
    assert_eq!(uids(&service, "/dicom-web/series", "0020000E").await.len(), 5);
    assert_eq!(uids(&service, "/dicom-web/instances", "00080018").await.len(), 15);
    assert_eq!(uids(&service, "/dicom-web/studies/1.2/series", "0020000E").await, ["1.2.1"]);
    assert_eq!(uids(&service, "/dicom-web/studies/1.2/instances", "00080018").await.len(), 3);
    assert_eq!(uids(&service, "/dicom-web/studies/1.2/series/1.2.1/instances", "00080018").await.len(), 3);
}

#[tokio::test]
async fn keys_select_and_records_say_where_to_retrieve() {
    let service = filled().await;
    assert_eq!(uids(&service, "/dicom-web/studies?PatientName=N3*", "0020000D").await, ["1.3"]);
    assert_eq!(uids(&service, "/dicom-web/studies?StudyInstanceUID=1.2,1.4", "0020000D").await, ["1.2", "1.4"]);
    let url = uids(&service, "/dicom-web/instances?00080018=1.4.1.2", "00081190").await;
    assert_eq!(url, [service.url("/dicom-web/studies/1.4/series/1.4.1/instances/1.4.1.2")]);
}

#[tokio::test]
async fn nothing_found_is_204_without_a_body() {
    let service = filled().await;
    let answer = service.get("/dicom-web/studies?PatientName=NOBODY", "application/dicom+json").await;
    assert_eq!((answer.status.as_u16(), &answer.bytes()[..]), (204, &b""[..]));
    assert!(answer.header("content-type").is_empty());
    assert!(answer.header("warning").is_empty());
}

#[tokio::test]
async fn an_answer_that_stops_short_says_so() {
    let service = filled().await;
    for (limit, given, warned) in [(0, 0, true), (1, 1, true), (2, 2, true), (4, 4, true), (5, 5, false), (6, 5, false)]
    {
        let answer = service.get(&format!("/dicom-web/studies?limit={limit}"), "*/*").await;
        let records = if answer.status == 204 { 0 } else { answer.json().as_array().unwrap().len() };
        assert_eq!(records, given, "limit {limit}");
        assert_eq!(answer.header("warning").starts_with("299"), warned, "limit {limit}");
    }
    let answer = service.get("/dicom-web/studies?limit=3&offset=2", "*/*").await;
    assert_eq!(answer.json().as_array().unwrap().len(), 3);
    assert!(answer.header("warning").is_empty());
}

#[tokio::test]
async fn while_rebuilding_a_miss_is_503_and_hits_are_warned_of() {
    let service = filled().await;
    *service.archive.trouble.lock() = Trouble::Rebuilding;
    let answer = service.get("/dicom-web/studies", "*/*").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("warning").contains("rebuilt"));
    let answer = service.get("/dicom-web/studies?PatientName=NOBODY", "*/*").await;
    assert_eq!(answer.status, 503);
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn what_packs_without_a_good_copy_may_hold_is_warned_of_and_never_absent_where_their_study_is_named() {
    let service = filled().await;
    *service.archive.trouble.lock() = Trouble::Unreadable;
    let answer = service.get("/dicom-web/studies", "*/*").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("warning").contains("cannot be read"));
    let answer = service.get("/dicom-web/studies?PatientName=NOBODY", "*/*").await;
    assert_eq!(answer.status, 204, "one lost pack does not stop every search");
    assert!(answer.header("warning").contains("cannot be read"));
    let answer = service.get("/dicom-web/studies/9.9/instances", "*/*").await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (500, Some("damaged")));
}

#[tokio::test]
async fn what_is_not_understood_is_a_problem_without_patient_data() {
    let service = filled().await;
    let answer = service.get("/dicom-web/studies?PatientNam=SECRET", "*/*").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.json()["detail"].as_str().unwrap().contains("PatientNam"));
    assert!(!answer.json().to_string().contains("SECRET"));
    assert_eq!(service.get("/dicom-web/studies", XML_ONLY).await.status, 406);
}
