//! Where received instances go: the part of the archive that this door needs, as a trait so that tests own it.

use std::future::Future;
use std::sync::Arc;

use archive_core::archive::{Archive, ArchiveError, Incoming, Received, Receiving};
use archive_core::caller::Caller;
use bytes::Bytes;

/// Takes instances.
pub trait StoreTarget: Send + Sync + 'static {
    /// An instance on its way in.
    type Receiving: StoreReceiving;

    /// Begins to receive one instance.
    ///
    /// # Errors
    /// When it is clear already that it cannot be stored.
    fn receive(
        &self,
        caller: &Caller,
        incoming: Incoming,
    ) -> impl Future<Output = Result<Self::Receiving, ArchiveError>> + Send;
}

/// An instance on its way in. Dropping it forgets it.
pub trait StoreReceiving: Send + 'static {
    /// Hands over the next bytes; waits where memory or disk is short.
    ///
    /// # Errors
    /// When it cannot be stored; nothing of it is.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), ArchiveError>> + Send;

    /// Ends the instance; answers when it is durable.
    ///
    /// # Errors
    /// When it was not stored.
    fn finish(self) -> impl Future<Output = Result<Received, ArchiveError>> + Send;
}

impl StoreTarget for Arc<Archive> {
    type Receiving = Receiving;

    async fn receive(&self, caller: &Caller, incoming: Incoming) -> Result<Receiving, ArchiveError> {
        Archive::receive(self, caller, incoming).await
    }
}

impl StoreReceiving for Receiving {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ArchiveError> {
        Receiving::write(self, bytes).await
    }

    async fn finish(self) -> Result<Received, ArchiveError> {
        Receiving::finish(self).await
    }
}
