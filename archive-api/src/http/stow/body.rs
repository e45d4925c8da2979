//! A request body on its way into the archive, part by part.
//!
//! While one part is read, those before it may still wait for their sync: up to [`FINISHING_MAX`] at once, so that
//! many small instances share group commits. A part that the body cuts short is dropped, never finished.

use std::sync::Arc;

use archive_core::archive::{ArchiveError, Incoming, Received};
use archive_core::caller::Caller;
use axum::body::BodyDataStream;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::task::JoinSet;

use super::announced::{Announced, Head};
use super::outcome::{Failure, Outcome};
use crate::http::idle::IdleError;
use crate::http::media::{DICOM, MediaType};
use crate::http::multipart::{Event, MultipartError, MultipartReader, PartHeader};
use crate::http::port::{ArchivePort, IncomingInstance};

/// Parts of one request that may wait for their sync at once. Each holds at most `journal.inline` bytes.
const FINISHING_MAX: usize = 16;
/// Bytes of epilogue that are read and thrown away, so that the connection can be used again.
const EPILOGUE_BYTES_MAX: usize = 64 * 1024;

/// Why a body could not be read to its end.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Broken {
    /// It is no multipart body.
    #[error("the multipart body cannot be read: {0}")]
    Multipart(#[from] MultipartError),
    /// The connection broke.
    #[error("the request body broke off")]
    Connection,
    /// Nothing came for too long.
    #[error("the request body stood still for too long")]
    Idle,
}

/// The parts of one request.
#[derive(Debug)]
pub struct Submission {
    archive: Arc<dyn ArchivePort>,
    caller: Caller,
    incoming: Incoming,
    outcomes: Vec<(usize, Outcome)>,
    finishing: JoinSet<(usize, Outcome)>,
    parts: usize,
}

/// A part that is being read.
#[derive(Debug)]
struct OpenPart {
    index: usize,
    head: Head,
    state: PartState,
}

#[derive(Debug)]
enum PartState {
    Receiving(Box<dyn IncomingInstance>),
    Failed(Failure),
}

impl Submission {
    /// Nothing received so far.
    #[must_use]
    pub fn new(archive: Arc<dyn ArchivePort>, caller: Caller, incoming: Incoming) -> Self {
        Self { archive, caller, incoming, outcomes: Vec::new(), finishing: JoinSet::new(), parts: 0 }
    }

    /// Takes a body that is one file.
    ///
    /// # Errors
    /// [`Broken`]; nothing was stored.
    pub async fn take_single(&mut self, body: &mut BodyDataStream) -> Result<(), Broken> {
        let mut part = self.begin(&PartHeader::default()).await;
        while let Some(chunk) = body.next().await {
            part.write(chunk.map_err(|error| broken(&error))?).await;
        }
        self.end(part).await;
        Ok(())
    }

    /// Takes a multipart body.
    ///
    /// # Errors
    /// [`Broken`]; parts that were whole before are kept.
    pub async fn take_multipart(
        &mut self,
        mut reader: MultipartReader,
        body: &mut BodyDataStream,
    ) -> Result<(), Broken> {
        let mut open: Option<OpenPart> = None;
        while let Some(chunk) = body.next().await {
            reader.push(&chunk.map_err(|error| broken(&error))?);
            while let Some(event) = reader.next_event()? {
                match event {
                    Event::PartBegins(header) => open = Some(self.begin(&header).await),
                    Event::Data(bytes) => {
                        if let Some(part) = &mut open {
                            part.write(bytes).await;
                        }
                    }
                    Event::PartEnds => {
                        if let Some(part) = open.take() {
                            self.end(part).await;
                        }
                    }
                    Event::End => {
                        skip(body, EPILOGUE_BYTES_MAX).await;
                        return Ok(());
                    }
                }
            }
        }
        Ok(reader.finish()?)
    }

    async fn begin(&mut self, header: &PartHeader) -> OpenPart {
        let index = self.parts;
        self.parts += 1;
        let state = match header.content_type.as_deref().map(MediaType::parse) {
            Some(media) if media.as_ref().is_none_or(|media| media.essence != DICOM) => {
                PartState::Failed(Failure::not_understood("the part is not application/dicom"))
            }
            _ => match self.archive.receive(&self.caller, self.incoming.clone()).await {
                Ok(receiving) => PartState::Receiving(receiving),
                Err(error) => PartState::Failed(Failure::of(error, None)),
            },
        };
        OpenPart { index, head: Head::default(), state }
    }

    async fn end(&mut self, part: OpenPart) {
        let announced = part.head.announced();
        let index = part.index;
        match part.state {
            PartState::Failed(failure) => {
                let announced = failure.announced.clone().or(announced);
                self.outcomes.push((index, Outcome::Failed(Failure { announced, ..failure })));
            }
            PartState::Receiving(receiving) => {
                while self.finishing.len() >= FINISHING_MAX {
                    self.join_one().await;
                }
                self.finishing.spawn(async move { (index, outcome_of(receiving.finish().await, announced)) });
            }
        }
    }

    /// What became of every part that came whole, in their order.
    pub async fn outcomes(mut self) -> Vec<Outcome> {
        while !self.finishing.is_empty() {
            self.join_one().await;
        }
        self.outcomes.sort_by_key(|(index, _)| *index);
        self.outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn join_one(&mut self) {
        match self.finishing.join_next().await {
            None => {}
            Some(Ok(outcome)) => self.outcomes.push(outcome),
            Some(Err(error)) => {
                // A panic while finishing: the part is not said to be stored.
                let error = ArchiveError::Internal(format!("a part could not be finished: {error}"));
                self.outcomes.push((usize::MAX, Outcome::Failed(Failure::of(error, None))));
            }
        }
    }
}

impl OpenPart {
    /// Hands bytes on; after a refusal the rest of the part is read and thrown away.
    async fn write(&mut self, bytes: Bytes) {
        self.head.take(&bytes);
        if let PartState::Receiving(receiving) = &mut self.state
            && let Err(error) = receiving.write(bytes).await
        {
            self.state = PartState::Failed(Failure::of(error, self.head.announced()));
        }
    }
}

fn outcome_of(finished: Result<Received, ArchiveError>, announced: Option<Announced>) -> Outcome {
    match finished {
        Ok(received) => Outcome::Stored(Box::new(received)),
        Err(error) => Outcome::Failed(Failure::of(error, announced)),
    }
}

/// Reads and throws away what is left of a body, up to about this many bytes.
pub async fn skip(body: &mut BodyDataStream, bytes_max: usize) {
    let mut skipped = 0;
    while skipped <= bytes_max {
        match body.next().await {
            Some(Ok(chunk)) => skipped += chunk.len(),
            Some(Err(_)) | None => return,
        }
    }
}

fn broken(error: &axum::Error) -> Broken {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(this) = cause {
        if this.is::<IdleError>() {
            return Broken::Idle;
        }
        cause = this.source();
    }
    Broken::Connection
}
