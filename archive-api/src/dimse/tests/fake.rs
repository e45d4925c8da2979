//! A target that collects what it is given, or fails as it is told.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive_core::archive::{ArchiveError, Incoming, Input, Received};
use archive_core::caller::Caller;
use archive_core::dicom::scan::InstanceKeys;
use archive_core::identifiers::{ContentId, ReceiptNumber, SeriesUid, StudyUid, TransferSyntaxUid};
use bytes::Bytes;
use tokio::sync::Notify;

use crate::dimse::{StoreReceiving, StoreTarget};

/// What happens to the next instance.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    RefusedAtStart(fn() -> ArchiveError),
    RefusedWhileWriting(fn() -> ArchiveError),
    RefusedAtEnd(fn() -> ArchiveError),
    OfAnotherClass,
    PanicsWhileWriting,
    WritesSlowly(Duration),
    EndsWhenTold(Arc<Notify>),
}

/// An instance that arrived.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) caller: Caller,
    pub(super) incoming: Incoming,
    pub(super) bytes: Vec<u8>,
}

impl Stored {
    pub(super) fn syntax(&self) -> &str {
        match &self.incoming.form {
            Input::DataSet(syntax) => syntax.as_str(),
            Input::File => panic!("a C-STORE brings no file"),
        }
    }

    pub(super) fn sop(&self) -> &str {
        self.incoming.expected_sop.as_ref().expect("always announced").as_str()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct FakeTarget {
    shared: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    stored: Mutex<Vec<Stored>>,
    fates: Mutex<VecDeque<Fate>>,
    begun: AtomicUsize,
    forgotten: AtomicUsize,
    written: AtomicUsize,
}

impl FakeTarget {
    pub(super) fn with(fates: impl IntoIterator<Item = Fate>) -> Self {
        let target = Self::default();
        target.shared.fates.lock().expect("lock").extend(fates);
        target
    }

    pub(super) fn stored(&self) -> Vec<Stored> {
        self.shared.stored.lock().expect("lock").clone()
    }

    /// Instances begun; those given up before their end; bytes written in all.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.shared.begun), count(&self.shared.forgotten), count(&self.shared.written))
    }
}

pub(super) struct FakeReceiving {
    target: Arc<Inner>,
    stored: Option<Stored>,
    fate: Option<Fate>,
}

impl StoreTarget for FakeTarget {
    type Receiving = FakeReceiving;

    async fn receive(&self, caller: &Caller, incoming: Incoming) -> Result<FakeReceiving, ArchiveError> {
        let fate = self.shared.fates.lock().expect("lock").pop_front();
        if let Some(Fate::RefusedAtStart(error)) = &fate {
            return Err(error());
        }
        self.shared.begun.fetch_add(1, Ordering::SeqCst);
        let stored = Some(Stored { caller: caller.clone(), incoming, bytes: Vec::new() });
        Ok(FakeReceiving { target: Arc::clone(&self.shared), stored, fate })
    }
}

impl StoreReceiving for FakeReceiving {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        match &self.fate {
            Some(Fate::RefusedWhileWriting(error)) => return Err(error()),
            Some(Fate::PanicsWhileWriting) => panic!("a bug in the target"),
            Some(Fate::WritesSlowly(pause)) => tokio::time::sleep(*pause).await,
            _ => {}
        }
        self.target.written.fetch_add(bytes.len(), Ordering::SeqCst);
        self.stored.as_mut().expect("not ended").bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(mut self) -> Result<Received, ArchiveError> {
        match &self.fate {
            Some(Fate::RefusedAtEnd(error)) => return Err(error()),
            Some(Fate::EndsWhenTold(told)) => told.notified().await,
            _ => {}
        }
        let stored = self.stored.take().expect("not ended");
        let received = Received {
            receipt: ReceiptNumber { epoch: 1, number: 1 },
            keys: InstanceKeys {
                study: StudyUid::parse("1").expect("a UID"),
                series: SeriesUid::parse("1").expect("a UID"),
                sop_class: stored.incoming.expected_class.clone().expect("announced"),
                sop: stored.incoming.expected_sop.clone().expect("announced"),
            },
            transfer_syntax: TransferSyntaxUid::parse(stored.syntax()).expect("a UID"),
            content: ContentId::of(&stored.bytes),
            duplicate: false,
            class_differs: matches!(self.fate, Some(Fate::OfAnotherClass)),
            warnings: Vec::new(),
        };
        self.target.stored.lock().expect("lock").push(stored);
        Ok(received)
    }
}

impl Drop for FakeReceiving {
    fn drop(&mut self) {
        if self.stored.is_some() {
            self.target.forgotten.fetch_add(1, Ordering::SeqCst);
        }
    }
}
