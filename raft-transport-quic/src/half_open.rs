//! Handshakes under way, counted by the address they come from: whoever opens
//! many and ends none takes room from itself, not from others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Most handshakes of one address at a time. A node dials one at a time.
pub(crate) const MOST_OF_ONE_ADDRESS: usize = 64;

/// How many there are. Bounded by the number of connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct HalfOpen {
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of them; dropped when it ended, well or not.
#[derive(Debug)]
pub(crate) struct Place {
    all: HalfOpen,
    address: IpAddr,
}

impl HalfOpen {
    /// A place for one more, if the address has not too many.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        // An IPv4 address is the same one in the clothes of IPv6.
        let address = address.to_canonical();
        let mut counts = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= MOST_OF_ONE_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place {
            all: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self
            .all
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
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
            .map(|_| all.enter(attacker).expect("there is room"))
            .collect();

        assert!(all.enter(attacker).is_none());
        assert!(all.enter(address("::ffff:192.0.2.1")).is_none());
        assert!(all.enter(address("192.0.2.2")).is_some());

        drop(places);
        assert!(all.enter(attacker).is_some());
        assert!(all.by_address.lock().expect("not poisoned").is_empty());
    }
}
