//! How many requests are in hand at once, of all clients and of each: who takes their time holds up themself, not the others.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// One client may have one of so many places ...
const CLIENTS: usize = 10;
/// ... and has at least so many: what a few browsers ask for at once.
const LEAST: usize = 16;

/// The places there are.
pub(super) struct Places {
    most: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

/// One of them, given back when it is dropped.
pub(super) struct Place<'a> {
    places: &'a Places,
    client: Option<IpAddr>,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self { most, each: (most / CLIENTS).max(LEAST), taken: Mutex::default() }
    }

    /// A place for a request of `client`, of whom `None` is nobody in particular; `None` when there is none left for them.
    pub(super) fn take(&self, client: Option<IpAddr>) -> Option<Place<'_>> {
        let client = client.map(subscriber);
        let mut taken = self.taken();
        if taken.all >= self.most {
            return None;
        }
        if let Some(client) = client {
            let own = taken.each.entry(client).or_default();
            if *own >= self.each {
                return None;
            }
            *own += 1;
        }
        taken.all += 1;
        Some(Place { places: self, client })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        let Some(client) = self.client else { return };
        if let Some(own) = taken.each.get_mut(&client) {
            *own -= 1;
            if *own == 0 {
                taken.each.remove(&client);
            }
        }
    }
}

/// What one subscriber has at least: an IPv4 address, or the first 64 bits of an IPv6 address.
fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_gets_a_share_and_nobody_more_than_there_is() {
        let places = Places::new(200);
        let (one, neighbour, other) = ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1");
        let take = |client: &str| places.take(Some(client.parse().expect("an address")));
        let mut held: Vec<Place<'_>> = (0..20).filter_map(|_| take(one)).collect();
        assert_eq!(held.len(), 20);
        assert!(take(one).is_none() && take(neighbour).is_none(), "one subscriber");
        held.extend(take(other));
        assert_eq!(held.len(), 21);
        held.extend((0..1000).filter_map(|_| places.take(None)));
        assert_eq!(held.len(), 200);
        drop(held);
        assert!(places.taken().each.is_empty() && take(one).is_some());
    }
}
