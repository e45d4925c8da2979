//! The archive behind the port: delegation, call by call.

use std::sync::Arc;

use archive_core::archive::{
    Archive, ArchiveError, Held, Incoming, Lack, OpenVersion, Received, Receiving, SelectCursor, Selection,
};
use archive_core::caller::Caller;
use archive_core::dicom::scan::InstanceKeys;
use archive_core::identifiers::{StudyUid, TransferSyntaxUid};
use archive_core::query::{Page, Query};
use async_trait::async_trait;
use bytes::Bytes;

use super::port::{ArchivePort, CheckedBytes, IncomingInstance, OpenInstance, SelectedInstance};

#[async_trait]
impl ArchivePort for Arc<Archive> {
    async fn receive(&self, caller: &Caller, incoming: Incoming) -> Result<Box<dyn IncomingInstance>, ArchiveError> {
        Ok(Box::new(Archive::receive(self, caller, incoming).await?))
    }

    async fn find(&self, caller: &Caller, query: &Query) -> Result<Page, ArchiveError> {
        Archive::find(self, caller, query).await
    }

    fn lacks(&self, study: &StudyUid) -> Option<Lack> {
        Archive::lacks(self, study)
    }

    async fn select(
        &self,
        caller: &Caller,
        selection: &Selection,
        after: Option<SelectCursor>,
    ) -> Result<(Vec<Arc<dyn SelectedInstance>>, Option<SelectCursor>), ArchiveError> {
        let (held, next) = Archive::select(self, caller, selection, after).await?;
        let selected = held.into_iter().map(|held| {
            let selected: Arc<dyn SelectedInstance> = Arc::new(HeldInstance { archive: Arc::clone(self), held });
            selected
        });
        Ok((selected.collect(), next))
    }
}

#[async_trait]
impl IncomingInstance for Receiving {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        Receiving::write(self, bytes).await
    }

    async fn finish(self: Box<Self>) -> Result<Received, ArchiveError> {
        Receiving::finish(*self).await
    }
}

#[derive(Debug)]
struct HeldInstance {
    archive: Arc<Archive>,
    held: Held,
}

#[async_trait]
impl SelectedInstance for HeldInstance {
    fn keys(&self) -> &InstanceKeys {
        &self.held.keys
    }

    fn transfer_syntax(&self) -> &TransferSyntaxUid {
        &self.held.transfer_syntax
    }

    fn frame_count(&self) -> u64 {
        self.held.frame_count
    }

    async fn header_json(&self, caller: &Caller) -> Result<Bytes, ArchiveError> {
        self.archive.header_json(caller, &self.held).await
    }

    async fn open(&self, caller: &Caller) -> Result<Arc<dyn OpenInstance>, ArchiveError> {
        let open: Arc<dyn OpenInstance> = self.archive.open_version(caller, &self.held).await?;
        Ok(open)
    }
}

#[async_trait]
impl OpenInstance for OpenVersion {
    fn file_length(&self) -> u64 {
        OpenVersion::file_length(self)
    }

    fn inflated(&self) -> bool {
        self.facts().inflated
    }

    fn file(self: Arc<Self>) -> CheckedBytes {
        OpenVersion::file(self)
    }

    async fn frame(self: Arc<Self>, index: u64) -> Result<Option<(u64, CheckedBytes)>, ArchiveError> {
        OpenVersion::frame(self, index).await
    }

    async fn bulk(self: Arc<Self>, offset: u64, length: u64) -> Result<Option<CheckedBytes>, ArchiveError> {
        OpenVersion::bulk(self, offset, length)
    }

    async fn header_json(self: Arc<Self>) -> Result<Bytes, ArchiveError> {
        OpenVersion::header_json(self).await
    }
}
