//! Handshakes under way, counted by the address they come from: whoever opens
//! many and ends none takes room from itself. A host with IPv6 has a network of
//! 2^64 addresses to itself, so those count as one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Most handshakes of one address at a time. A node dials one at a time.
pub(crate) const MOST_OF_ONE_ADDRESS: usize = 64;

/// How many there are. Bounded by the number of connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct HalfOpen {
    /// Those that proved their address apart from those that only claim it.
    by_address: Arc<Mutex<HashMap<(IpAddr, bool), usize>>>,
}

/// One of them; dropped when it ended, well or not.
#[derive(Debug)]
pub(crate) struct Place {
    all: HalfOpen,
    key: (IpAddr, bool),
}

impl HalfOpen {
    /// A place for one more, if the address has not too many.
    pub(crate) fn enter(&self, address: IpAddr, is_proven: bool) -> Option<Place> {
        let key = (counted_as(address), is_proven);
        let mut counts = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        if *count >= MOST_OF_ONE_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place {
            all: self.clone(),
            key,
        })
    }
}

/// The address that stands for all that one host may have.
fn counted_as(address: IpAddr) -> IpAddr {
    // An IPv4 address is the same one in the clothes of IPv6.
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self
            .all
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_has_its_share_and_others_have_theirs() {
        let all = HalfOpen::default();
        let attacker = address("192.0.2.1");
        let places: Vec<_> = (0..MOST_OF_ONE_ADDRESS)
            .map(|_| all.enter(attacker, false).expect("there is room"))
            .collect();

        assert!(all.enter(attacker, false).is_none());
        assert!(all.enter(address("::ffff:192.0.2.1"), false).is_none());
        assert!(all.enter(address("192.0.2.2"), false).is_some());

        drop(places);
        assert!(all.enter(attacker, false).is_some());
        assert!(all.by_address.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn all_addresses_of_a_network_of_ipv6_have_one_share() {
        let all = HalfOpen::default();
        let _places: Vec<_> = (0..MOST_OF_ONE_ADDRESS)
            .map(|host| all.enter(address(&format!("2001:db8:0:7::{host:x}")), true))
            .map(|place| place.expect("there is room"))
            .collect();

        assert!(all.enter(address("2001:db8:0:7:ffff::1"), true).is_none());
        assert!(all.enter(address("2001:db8:0:8::1"), true).is_some());
    }
}
