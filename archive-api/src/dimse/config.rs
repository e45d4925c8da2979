//! What an administrator may say about the DIMSE door, and what holds when nothing is said.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use archive_core::identifiers::AeTitle;

use super::pdu::{OFFERED_DATA_BYTES_DEFAULT, OFFERED_DATA_BYTES_MAX, OFFERED_DATA_BYTES_MIN};

/// Configuration of the DIMSE door.
#[derive(Clone, Debug)]
pub struct DimseConfig {
    /// Address to listen on (`dimse.listen`). Default 127.0.0.1:11112. Beyond loopback peers must be registered.
    pub listen: SocketAddr,
    /// AE titles that are served; any other called title is rejected. Default `VELLUM`.
    pub titles: Vec<AeTitle>,
    /// Who may call. Default nobody is named: then anybody may, but only from this machine.
    pub peers: Vec<Peer>,
    /// P-DATA-TF length offered to peers, in bytes (`dimse.max_pdu`): 4 KiB to 1 MiB, default 128 KiB.
    pub max_pdu: u32,
    /// How many associations may be open.
    pub limits: AssociationLimits,
    /// How long what may last.
    pub timeouts: Timeouts,
    /// Bytes a second that a peer must reach on average over `timeouts.rate_window` while it sends a message.
    /// Default 16 KiB; 0 switches the check off.
    pub minimum_rate: u64,
}

/// Somebody who may call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its AE title.
    pub title: AeTitle,
    /// Addresses that it may call from; empty for any.
    pub addresses: Vec<IpAddr>,
    /// Whether abstract syntaxes that no table knows are accepted from it as storage SOP classes.
    pub accept_unknown_classes: bool,
    /// Whether transfer syntaxes that the standard does not name are accepted from it.
    pub accept_unknown_syntaxes: bool,
}

impl Peer {
    /// A peer that may call from any address, with what everybody may send.
    #[must_use]
    pub const fn new(title: AeTitle) -> Self {
        Self { title, addresses: Vec::new(), accept_unknown_classes: false, accept_unknown_syntaxes: false }
    }
}

/// How many associations may be open; one more is rejected as transient "local limit exceeded".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AssociationLimits {
    /// In all. Default 200.
    pub total: usize,
    /// From one IPv4 address or one IPv6 network of 64 bits. Default 20.
    pub per_address: usize,
    /// With one calling AE title. Default 50.
    pub per_title: usize,
}

impl Default for AssociationLimits {
    fn default() -> Self {
        Self { total: 200, per_address: 20, per_title: 50 }
    }
}

/// How long what may last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// ARTIM (PS3.8 §9.1.5): from connect to a whole A-ASSOCIATE-RQ, and from our last PDU to the peer's close.
    /// Default 30 s.
    pub artim: Duration,
    /// Without a byte from the peer, or without one taken by it. Default 60 s.
    pub idle: Duration,
    /// Over which `minimum_rate` is averaged. Default 30 s.
    pub rate_window: Duration,
    /// An association in all; then it is released after the message at hand. Default 4 h.
    pub lifetime: Duration,
    /// The peer's answer to our release request. Default 5 s.
    pub release: Duration,
    /// From the order to stop until associations that still receive are aborted. Default 30 s.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            artim: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            rate_window: Duration::from_secs(30),
            lifetime: Duration::from_secs(4 * 60 * 60),
            release: Duration::from_secs(5),
            shutdown: Duration::from_secs(30),
        }
    }
}

impl Default for DimseConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 11112)),
            titles: AeTitle::parse("VELLUM").into_iter().collect(),
            peers: Vec::new(),
            max_pdu: OFFERED_DATA_BYTES_DEFAULT,
            limits: AssociationLimits::default(),
            timeouts: Timeouts::default(),
            minimum_rate: 16 * 1024,
        }
    }
}

impl DimseConfig {
    /// The first thing that is wrong, in words for the administrator.
    pub(super) fn fault(&self) -> Option<String> {
        if !(OFFERED_DATA_BYTES_MIN..=OFFERED_DATA_BYTES_MAX).contains(&self.max_pdu) {
            return Some(format!(
                "max_pdu is {} bytes: choose {OFFERED_DATA_BYTES_MIN} to {OFFERED_DATA_BYTES_MAX}",
                self.max_pdu
            ));
        }
        if self.titles.is_empty() {
            return Some("no AE title is served: name at least one".to_owned());
        }
        if !self.listen.ip().to_canonical().is_loopback() && self.peers.is_empty() {
            return Some(format!(
                "{} is reachable from other machines and no peers are registered: register them, or listen on 127.0.0.1",
                self.listen
            ));
        }
        None
    }

    /// The entry by which this caller may call. Outer `None`: it may not. Without registered peers only callers on
    /// this machine may, and have no entry.
    pub(super) fn entry_for(&self, title: &AeTitle, address: IpAddr) -> Option<Option<&Peer>> {
        let address = address.to_canonical();
        if self.peers.is_empty() {
            return address.is_loopback().then_some(None);
        }
        let may = |peer: &&Peer| {
            let from_there = |allowed: &IpAddr| allowed.to_canonical() == address;
            peer.title == *title && (peer.addresses.is_empty() || peer.addresses.iter().any(from_there))
        };
        self.peers.iter().find(may).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(text: &str) -> AeTitle {
        AeTitle::parse(text).expect("a title")
    }

    #[test]
    fn defaults_serve_this_machine_alone() {
        let config = DimseConfig::default();
        assert_eq!(config.fault(), None);
        assert_eq!(config.titles, [title("VELLUM")]);
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 7]));
        assert_eq!(config.entry_for(&title("ANYBODY"), here), Some(None));
        assert_eq!(config.entry_for(&title("ANYBODY"), "::ffff:127.0.0.1".parse().expect("address")), Some(None));
        assert_eq!(config.entry_for(&title("ANYBODY"), there), None);
    }

    #[test]
    fn beyond_loopback_peers_must_be_registered() {
        let listen = SocketAddr::from(([0, 0, 0, 0], 11112));
        let open = DimseConfig { listen, ..DimseConfig::default() };
        assert!(open.fault().is_some_and(|fault| fault.contains("no peers are registered")));
        let closed = DimseConfig { peers: vec![Peer::new(title("PACS"))], ..open };
        assert_eq!(closed.fault(), None);
    }

    #[test]
    fn a_registered_peer_calls_by_its_title_from_its_addresses() {
        let pacs = Peer { addresses: vec![IpAddr::from([10, 0, 0, 7])], ..Peer::new(title("PACS")) };
        let config = DimseConfig { peers: vec![pacs.clone()], ..DimseConfig::default() };
        assert_eq!(config.entry_for(&title("PACS"), IpAddr::from([10, 0, 0, 7])), Some(Some(&pacs)));
        assert_eq!(config.entry_for(&title("PACS"), IpAddr::from([10, 0, 0, 8])), None);
        assert_eq!(config.entry_for(&title("OTHER"), IpAddr::from([10, 0, 0, 7])), None);
        assert_eq!(config.entry_for(&title("OTHER"), IpAddr::from([127, 0, 0, 1])), None, "loopback is no exception");
    }

    #[test]
    fn a_pdu_length_out_of_bounds_and_no_title_are_faults() {
        assert!(DimseConfig { max_pdu: 0, ..DimseConfig::default() }.fault().is_some());
        assert!(DimseConfig { max_pdu: u32::MAX, ..DimseConfig::default() }.fault().is_some());
        assert!(DimseConfig { titles: Vec::new(), ..DimseConfig::default() }.fault().is_some());
    }
}
