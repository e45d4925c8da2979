//! Searching by QIDO-RS and retrieving by WADO-RS, among studies that `load` or `gen` made.

use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Args, ValueEnum};

use crate::numbers::Numbers;
use crate::run::{Done, Outcome, run};
use crate::shapes::{patient_name, study_date};
use crate::template::Ids;
use crate::web::Web;

/// What is asked.
#[derive(Args, Clone, Debug)]
pub struct Asking {
    /// URL of the DICOMweb service, without a slash at its end.
    #[arg(long)]
    pub url: String,
    /// Connections at once.
    #[arg(long, default_value_t = 1)]
    pub connections: u64,
    /// Requests to make.
    #[arg(long, default_value_t = 200)]
    pub count: u64,
    /// Number of the first study.
    #[arg(long, default_value_t = 0)]
    pub first_study: u64,
    /// Studies that are there.
    #[arg(long, default_value_t = 1)]
    pub studies: u64,
    /// Instances of each study.
    #[arg(long, default_value_t = 100)]
    pub study_size: u64,
    /// Frames of each instance.
    #[arg(long, default_value_t = 1)]
    pub frames: u64,
    /// Modality of the studies.
    #[arg(long, default_value = "CT")]
    pub modality: String,
    /// Seed that the instances were made with.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Ask for the studies one after the other, each once, instead of at random.
    #[arg(long)]
    pub in_turn: bool,
    /// The server's process, to tell what it used.
    #[arg(long)]
    pub pid: Option<u32>,
}

/// What studies are searched by.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum By {
    /// Study Instance UID.
    Uid,
    /// Patient ID.
    Patient,
    /// Accession Number.
    Accession,
    /// A month of study dates and a modality.
    Dates,
    /// The beginning of a patient's name.
    Prefix,
    /// A part of a patient's name.
    Part,
}

/// What is retrieved.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum What {
    /// Whole studies.
    Study,
    /// Single instances.
    Instance,
    /// The metadata of a series.
    Metadata,
    /// Single frames.
    Frame,
}

/// Any instance, parts separate, as it is stored.
const INSTANCES: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
/// Frames as they are stored.
const FRAMES: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
const JSON: &str = "application/dicom+json";

/// Searches for studies.
pub fn qido(by: By, limit: u64, asking: &Asking) -> Outcome {
    ask(&format!("qido {by:?}").to_lowercase(), asking, |ids, _| {
        (format!("{}/studies?limit={limit}&{}", asking.url, search(by, ids, &asking.modality)), JSON)
    })
}

fn search(by: By, ids: &Ids, modality: &str) -> String {
    match by {
        By::Uid => format!("StudyInstanceUID={}", ids.study_uid()),
        By::Patient => format!("PatientID={}", ids.patient()),
        By::Accession => format!("AccessionNumber={}", ids.accession()),
        By::Dates => {
            let month = study_date(ids);
            let month = &month[..6];
            format!("StudyDate={month}01-{month}28&ModalitiesInStudy={modality}")
        }
        // Twelve to two hundred patients of a hundred thousand studies begin or go on like this.
        By::Prefix => format!("PatientName={}*", &patient_name(ids)[..11]),
        By::Part => format!("PatientName=*{}*", &patient_name(ids)[7..13]),
    }
}

/// Retrieves.
pub fn wado(what: What, asking: &Asking) -> Outcome {
    ask(&format!("wado {what:?}").to_lowercase(), asking, |ids, numbers| {
        let (study, series, sop) = (ids.study_uid(), ids.series_uid(), ids.sop_uid());
        let study = format!("{}/studies/{study}", asking.url);
        match what {
            What::Study => (study, INSTANCES),
            What::Instance => (format!("{study}/series/{series}/instances/{sop}"), INSTANCES),
            What::Metadata => (format!("{study}/series/{series}/metadata"), JSON),
            What::Frame => {
                let frame = numbers.below(asking.frames.max(1)) + 1;
                (format!("{study}/series/{series}/instances/{sop}/frames/{frame}"), FRAMES)
            }
        }
    })
}

fn ask(kind: &str, asking: &Asking, request: impl Fn(&Ids, &mut Numbers) -> (String, &'static str) + Sync) -> Outcome {
    let next = AtomicU64::new(0);
    run(kind, asking.connections, asking.pid, |connection, begin_together| {
        let mut numbers = Numbers::of(asking.seed * 1000 + connection);
        let mut web = Web::default();
        begin_together();
        let mut done = Done::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= asking.count {
                return done;
            }
            let study = if asking.in_turn { number % asking.studies } else { numbers.below(asking.studies) };
            let instance = numbers.below(asking.study_size);
            let ids = Ids { run: asking.seed, study: asking.first_study + study, series: 0, instance };
            let (url, accept) = request(&ids, &mut numbers);
            match web.get(&url, accept) {
                // 204: a search that finds nothing, as some servers say it.
                Ok(answer) if matches!(answer.status, 200 | 204) => {
                    done.latencies.add(answer.whole);
                    done.first_bytes.add(answer.first_byte);
                    done.bytes += answer.bytes;
                }
                Ok(answer) => done.refuse(format!("status {}: {url}", answer.status)),
                Err(error) => {
                    done.failure = Some(error.to_string());
                    return done;
                }
            }
        }
    })
}
