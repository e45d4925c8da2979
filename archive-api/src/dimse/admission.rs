//! How many may be in: associations in all, from one address, with one calling AE title.
//!
//! A connection takes its seat when it is accepted, before it has said a word, so that silent connections count too.
//! One that finds no seat is heard out, to be told why, but only a few of these are kept at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use archive_core::identifiers::AeTitle;

use super::config::AssociationLimits;

/// Connections without a seat that are heard out, to be rejected in words; any more are closed at once.
const STANDING_MAX: usize = 64;

/// Counts who is in.
#[derive(Debug)]
pub struct Admission {
    limits: AssociationLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    seated: usize,
    standing: usize,
    by_address: HashMap<IpAddr, usize>,
    by_title: HashMap<AeTitle, usize>,
}

/// A place among those who are in; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    admission: Arc<Admission>,
    place: Place,
    title: Option<AeTitle>,
}

#[derive(Debug)]
enum Place {
    Seated(IpAddr),
    Standing,
}

impl Admission {
    /// Nobody is in yet.
    #[must_use]
    pub fn new(limits: AssociationLimits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// Lets a connection in: seated where the limits allow, standing while there is room, otherwise `None`.
    #[must_use]
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let network = network_of(address);
        let mut counts = self.lock();
        let from_there = counts.by_address.get(&network).copied().unwrap_or(0);
        let place = if counts.seated < self.limits.total && from_there < self.limits.per_address {
            counts.seated += 1;
            counts.by_address.insert(network, from_there + 1);
            Place::Seated(network)
        } else if counts.standing < STANDING_MAX {
            counts.standing += 1;
            Place::Standing
        } else {
            return None;
        };
        drop(counts);
        Some(Seat { admission: Arc::clone(self), place, title: None })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Whether this connection may become an association with this calling AE title: it has a seat, and the title has
    /// room left. Asked once, when the title is known.
    #[must_use]
    pub fn admit(&mut self, title: &AeTitle) -> bool {
        if matches!(self.place, Place::Standing) || self.title.is_some() {
            return false;
        }
        let mut counts = self.admission.lock();
        let with_it = counts.by_title.get(title).copied().unwrap_or(0);
        if with_it >= self.admission.limits.per_title {
            return false;
        }
        counts.by_title.insert(title.clone(), with_it + 1);
        drop(counts);
        self.title = Some(title.clone());
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        match &self.place {
            Place::Standing => counts.standing = counts.standing.saturating_sub(1),
            Place::Seated(network) => {
                counts.seated = counts.seated.saturating_sub(1);
                one_less(&mut counts.by_address, network);
            }
        }
        if let Some(title) = &self.title {
            one_less(&mut counts.by_title, title);
        }
    }
}

/// Takes one off a count; a count of none is forgotten, so that the maps stay as small as the number of connections.
fn one_less<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(key);
        }
    }
}

/// What counts as one address: IPv4 addresses alone, IPv6 by the 64 bits that one subscriber has.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn admission(total: usize, per_address: usize, per_title: usize) -> Arc<Admission> {
        Admission::new(AssociationLimits { total, per_address, per_title })
    }

    fn may(seat: &mut Option<Seat>, title: &str) -> bool {
        seat.as_mut().is_some_and(|seat| seat.admit(&AeTitle::parse(title).expect("a title")))
    }

    #[test]
    fn one_more_than_the_total_stands_until_a_seat_is_free() {
        let admission = admission(1, 9, 9);
        let mut first = admission.enter(HERE);
        let mut second = admission.enter(HERE);
        assert!(may(&mut first, "A") && !may(&mut second, "A"));
        drop(first);
        assert!(!may(&mut second, "A"), "who stands is not seated later");
        assert!(may(&mut admission.enter(HERE), "A"));
    }

    #[test]
    fn one_address_and_one_title_cannot_take_all_seats() {
        let admission = admission(9, 2, 1);
        let mut seats: Vec<_> = (0..3).map(|_| admission.enter(HERE)).collect();
        let admitted: Vec<_> = seats.iter_mut().zip(["A", "B", "C"]).map(|(seat, title)| may(seat, title)).collect();
        assert_eq!(admitted, [true, true, false]);
        let mut elsewhere = admission.enter(IpAddr::from([10, 0, 0, 1]));
        assert!(!may(&mut elsewhere, "A") && may(&mut elsewhere, "D"));
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let admission = admission(9, 1, 9);
        let _first = admission.enter("2001:db8::1".parse().expect("address"));
        assert!(!may(&mut admission.enter("2001:db8::2:3".parse().expect("address")), "A"));
        assert!(may(&mut admission.enter("2001:db8:0:1::1".parse().expect("address")), "A"));
    }

    #[test]
    fn what_is_given_back_is_forgotten_and_who_finds_no_room_at_all_is_turned_away() {
        let admission = admission(2, 2, 2);
        let mut seats: Vec<_> = (0..2 + STANDING_MAX).map(|_| admission.enter(HERE)).collect();
        assert!(seats.iter().all(Option::is_some) && admission.enter(HERE).is_none());
        assert!(may(&mut seats[0], "A"));
        drop(seats);
        let counts = admission.lock();
        assert_eq!((counts.seated, counts.standing, counts.by_address.len(), counts.by_title.len()), (0, 0, 0, 0));
    }
}
