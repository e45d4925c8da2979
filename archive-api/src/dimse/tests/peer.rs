//! A requestor that does what a test tells it, right or wrong, and an association to try it on.

use std::net::SocketAddr;
use std::sync::Arc;

use archive_core::identifiers::{AeTitle, SopClassUid, TransferSyntaxUid};
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::FakeTarget;
use crate::dimse::DimseConfig;
use crate::dimse::admission::Admission;
use crate::dimse::association::{End, Shared, serve};
use crate::dimse::command::{CommandSet, NO_DATA_SET, element, field};
use crate::dimse::pdu::{
    APPLICATION_CONTEXT, AssociateAccept, AssociateRequest, Event, Fragment, FragmentKind, PduDecoder, ProposedContext,
    RELEASE_REPLY, RELEASE_REQUEST, TitleField, UserInformation,
};

pub(super) const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
pub(super) const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// Context ids of [`request`].
pub(super) const ECHO_CONTEXT: u8 = 1;
pub(super) const STORE_CONTEXT: u8 = 3;

/// An association that runs in a task, and what steers it.
pub(super) struct Running {
    pub(super) task: JoinHandle<End>,
    pub(super) leaving: CancellationToken,
    pub(super) stopping: CancellationToken,
}

/// Begins an association over memory.
pub(super) fn begin(config: DimseConfig, target: &FakeTarget) -> (Peer<DuplexStream>, Running) {
    let (ours, theirs) = duplex(256 * 1024);
    (Peer::new(ours), begin_over(theirs, config, target))
}

/// Begins an association over this end of a pipe.
pub(super) fn begin_over(theirs: DuplexStream, config: DimseConfig, target: &FakeTarget) -> Running {
    let (leaving, stopping) = (CancellationToken::new(), CancellationToken::new());
    let address = SocketAddr::from(([127, 0, 0, 1], 4242));
    let seat = Admission::new(config.limits).enter(address.ip()).expect("room");
    let shared =
        Arc::new(Shared { config, target: target.clone(), leaving: leaving.clone(), stopping: stopping.clone() });
    Running { task: tokio::spawn(serve(theirs, address, seat, shared)), leaving, stopping }
}

/// As [`begin`], with the association open.
pub(super) async fn open(config: DimseConfig, target: &FakeTarget) -> (Peer<DuplexStream>, Running) {
    let (mut peer, running) = begin(config, target);
    peer.associate(&request()).await;
    (peer, running)
}

/// A request for Verification on context 1 and Secondary Capture on context 3.
pub(super) fn request() -> AssociateRequest {
    let title = |text| TitleField::from(&AeTitle::parse(text).expect("a title"));
    let context = |id, class, syntax| ProposedContext {
        id,
        abstract_syntax: SopClassUid::parse(class).expect("a UID"),
        transfer_syntaxes: vec![TransferSyntaxUid::parse(syntax).expect("a UID")],
    };
    AssociateRequest {
        protocol_version: 1,
        called: title("VELLUM"),
        calling: title("MODALITY"),
        reserved: [0; 32],
        application_context: APPLICATION_CONTEXT.to_owned(),
        contexts: vec![
            context(ECHO_CONTEXT, "1.2.840.10008.1.1", "1.2.840.10008.1.2"),
            context(STORE_CONTEXT, SECONDARY_CAPTURE, EXPLICIT),
        ],
        user: UserInformation { maximum_length: Some(16384), ..UserInformation::default() },
    }
}

/// A C-STORE-RQ.
pub(super) fn store_command(message_id: u16) -> CommandSet {
    let mut set = CommandSet::default();
    set.set_bytes(element::AFFECTED_CLASS, SECONDARY_CAPTURE.as_bytes());
    set.set_number(element::COMMAND_FIELD, field::STORE_REQUEST);
    set.set_number(element::MESSAGE_ID, message_id);
    set.set_number(element::PRIORITY, 0);
    set.set_number(element::DATA_SET_TYPE, 1);
    set.set_bytes(element::AFFECTED_INSTANCE, format!("1.2.3.{message_id}").as_bytes());
    set
}

/// A C-ECHO-RQ.
pub(super) fn echo_command(message_id: u16) -> CommandSet {
    let mut set = CommandSet::default();
    set.set_bytes(element::AFFECTED_CLASS, b"1.2.840.10008.1.1");
    set.set_number(element::COMMAND_FIELD, field::ECHO_REQUEST);
    set.set_number(element::MESSAGE_ID, message_id);
    set.set_number(element::DATA_SET_TYPE, NO_DATA_SET);
    set
}

/// One end of a connection, with the codec but without manners.
pub(super) struct Peer<S> {
    stream: S,
    decoder: PduDecoder,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, decoder: PduDecoder::new(u32::MAX) }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the association reads");
    }

    /// Sends as far as the other end takes it: for peers that are cut off in the middle.
    pub(super) async fn send_if_taken(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Closes this direction; what comes can still be read.
    pub(super) async fn send_no_more(&mut self) {
        self.stream.shutdown().await.expect("open until now");
    }

    /// The next PDU; `None` when the other end has closed.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.decoder.take().expect("the door sends valid PDUs") {
                return Some(event);
            }
            match self.stream.read_buf(self.decoder.buffer()).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The length of the next PDU, which is a P-DATA-TF; its body is left unread.
    pub(super) async fn data_pdu_length(&mut self) -> u32 {
        let mut header = [0; 6];
        self.stream.read_exact(&mut header).await.expect("a PDU");
        assert_eq!(header[0], 4);
        u32::from_be_bytes(header[2..].try_into().expect("four bytes"))
    }

    pub(super) async fn associate(&mut self, request: &AssociateRequest) -> AssociateAccept {
        self.send(&request.to_pdu().expect("fits")).await;
        match self.next().await {
            Some(Event::Accept(accept)) => *accept,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub(super) async fn fragment(&mut self, context: u8, kind: FragmentKind, last: bool, bytes: &[u8]) {
        let fragment = Fragment { context, kind, last, bytes: Bytes::copy_from_slice(bytes) };
        self.send_if_taken(&fragment.to_pdu().expect("fits")).await;
    }

    pub(super) async fn command(&mut self, context: u8, command: &CommandSet) {
        self.fragment(context, FragmentKind::Command, true, &command.encode()).await;
    }

    /// A whole C-STORE, its data set in pieces.
    pub(super) async fn store(&mut self, message_id: u16, pieces: &[&[u8]]) {
        self.command(STORE_CONTEXT, &store_command(message_id)).await;
        for (index, piece) in pieces.iter().enumerate() {
            self.fragment(STORE_CONTEXT, FragmentKind::DataSet, index + 1 == pieces.len(), piece).await;
        }
    }

    /// The next message, which is a response.
    pub(super) async fn response(&mut self) -> CommandSet {
        let mut bytes = Vec::new();
        loop {
            match self.next().await {
                Some(Event::Fragment(fragment)) => {
                    assert_eq!(fragment.kind, FragmentKind::Command);
                    bytes.extend_from_slice(&fragment.bytes);
                    if fragment.last {
                        return CommandSet::decode(bytes.into()).expect("a command set");
                    }
                }
                other => panic!("no response but {other:?}"),
            }
        }
    }

    /// Message id and status of the next message, which is a response.
    pub(super) async fn status(&mut self) -> (u16, u16) {
        let response = self.response().await;
        let number = |element| response.number(element).expect("every response has it");
        (number(element::RESPONDED_TO), number(element::STATUS))
    }

    /// C-ECHO: shows that the association is usable.
    pub(super) async fn echo(&mut self) {
        self.command(ECHO_CONTEXT, &echo_command(77)).await;
        assert_eq!(self.status().await, (77, 0));
    }

    /// Releases in order, up to the close of the connection.
    pub(super) async fn release(mut self) {
        self.send(&RELEASE_REQUEST).await;
        assert_eq!(self.next().await, Some(Event::ReleaseReply));
        assert_eq!(self.next().await, None);
    }

    /// The other end releases; this one agrees.
    pub(super) async fn be_left(mut self) {
        assert_eq!(self.next().await, Some(Event::ReleaseRequest));
        self.send(&RELEASE_REPLY).await;
        assert_eq!(self.next().await, None);
    }

    /// The other end aborts; source and reason.
    pub(super) async fn be_aborted(mut self) -> (u8, u8) {
        let abort = match self.next().await {
            Some(Event::Abort(abort)) => (abort.source, abort.reason),
            other => panic!("not aborted but {other:?}"),
        };
        assert_eq!(self.next().await, None);
        abort
    }
}
