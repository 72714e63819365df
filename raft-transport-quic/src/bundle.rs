//! Datagrams that wait for more of their kind, to leave in one call of the system.
//!
//! Quinn hands out at most ten datagrams at once. Where they are as small as Ethernet
//! wants them, that is a quarter of what a call carries, and to call costs more than
//! to encrypt them. A batch that is full is nearly always followed by another; one that
//! is not is the last for now, and everything leaves with it.

use std::net::{IpAddr, SocketAddr};

use quinn::udp::{EcnCodepoint, Transmit};

/// As many datagrams as quinn hands out at once, if it has so many.
const FULL: usize = 10;
/// What a message of UDP carries at most, less some room for headers.
const MAX_BYTES: usize = 65_000;

/// Datagrams of one size for one peer, at most 65 000 bytes.
#[derive(Debug)]
pub(crate) struct Bundle {
    bytes: Vec<u8>,
    route: Option<Route>,
    /// Most datagrams that the system takes in one call.
    limit: usize,
}

/// What all datagrams of one call have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Route {
    destination: SocketAddr,
    source: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    size: usize,
}

impl Bundle {
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            route: None,
            limit,
        }
    }

    /// Takes a batch in, unless it does not go with what is here, or nothing would be
    /// gained: then it leaves by itself, after what is here.
    pub(crate) fn takes(&mut self, batch: &Transmit<'_>) -> bool {
        let Some(route) = Route::of(batch) else {
            return false;
        };
        let fits = match self.route {
            Some(known) => known == route && self.has_room_for(batch),
            None => is_full(batch) && self.would_have_room_after(batch),
        };
        if fits {
            self.route = Some(route);
            self.bytes.extend_from_slice(batch.contents);
        }
        fits
    }

    /// Whether another batch like the latest, which was taken in, is to be waited for.
    pub(crate) fn waits_after(&self, latest: &Transmit<'_>) -> bool {
        is_full(latest) && self.has_room_for(latest)
    }

    /// All that is here, if there is something.
    pub(crate) fn whole(&self) -> Option<Transmit<'_>> {
        let route = self.route?;
        Some(Transmit {
            destination: route.destination,
            ecn: route.ecn,
            contents: &self.bytes,
            segment_size: Some(route.size),
            src_ip: route.source,
        })
    }

    /// What was here is sent.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.route = None;
    }

    fn would_have_room_after(&self, batch: &Transmit<'_>) -> bool {
        self.carries(batch.contents.len() * 2, batch)
    }

    fn has_room_for(&self, batch: &Transmit<'_>) -> bool {
        self.carries(self.bytes.len() + batch.contents.len(), batch)
    }

    fn carries(&self, bytes: usize, like: &Transmit<'_>) -> bool {
        let size = like.segment_size.unwrap_or(bytes).max(1);
        bytes <= MAX_BYTES && bytes.div_ceil(size) <= self.limit
    }
}

impl Route {
    /// Nothing for a single datagram.
    fn of(batch: &Transmit<'_>) -> Option<Self> {
        Some(Self {
            destination: batch.destination,
            source: batch.src_ip,
            ecn: batch.ecn,
            size: batch.segment_size?,
        })
    }
}

/// Whether quinn could not have put more into a batch. A shorter datagram, which only the
/// end of a call may hold, makes it one that is not full.
fn is_full(batch: &Transmit<'_>) -> bool {
    let full = batch.segment_size.map(|size| size * FULL);
    full == Some(batch.contents.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETHERNET: usize = 1452;
    const DATA: &[u8] = &[7; 65_000];

    fn batch(bytes: usize) -> Transmit<'static> {
        Transmit {
            destination: ([127, 0, 0, 1], 1).into(),
            ecn: None,
            contents: &DATA[..bytes],
            segment_size: Some(ETHERNET),
            src_ip: None,
        }
    }

    fn full() -> Transmit<'static> {
        batch(FULL * ETHERNET)
    }

    fn bundle() -> Bundle {
        Bundle::new(64)
    }

    fn held(bundle: &Bundle) -> usize {
        bundle.whole().map_or(0, |whole| whole.contents.len())
    }

    #[test]
    fn full_batches_wait_until_no_other_fits() {
        let mut bundle = bundle();

        for _ in 0..3 {
            assert!(bundle.takes(&full()) && bundle.waits_after(&full()));
        }
        assert!(bundle.takes(&full()));

        assert!(!bundle.waits_after(&full()));
        assert_eq!(held(&bundle), 4 * FULL * ETHERNET);
        assert!(!bundle.takes(&full()));
    }

    #[test]
    fn a_batch_that_is_not_full_leaves_with_those_before_it_and_is_not_kept_by_itself() {
        let mut bundle = bundle();
        let last = batch(3 * ETHERNET - 100);
        assert!(!bundle.takes(&last));

        assert!(bundle.takes(&full()) && bundle.takes(&last));

        assert!(!bundle.waits_after(&last));
        assert_eq!(held(&bundle), 13 * ETHERNET - 100);
    }

    #[test]
    fn what_goes_elsewhere_or_otherwise_is_not_mixed() {
        let elsewhere = ([127, 0, 0, 2], 1).into();
        let marked = Some(EcnCodepoint::Ect0);
        let from = Some([127, 0, 0, 3].into());
        for other in [
            Transmit {
                destination: elsewhere,
                ..full()
            },
            Transmit {
                ecn: marked,
                ..full()
            },
            Transmit {
                src_ip: from,
                ..full()
            },
            Transmit {
                segment_size: Some(1200),
                contents: &DATA[..12_000],
                ..full()
            },
            Transmit {
                segment_size: None,
                contents: &DATA[..100],
                ..full()
            },
        ] {
            let mut bundle = bundle();
            assert!(bundle.takes(&full()));
            assert!(!bundle.takes(&other), "{other:?}");
        }
    }

    #[test]
    fn datagrams_that_fill_a_call_by_themselves_do_not_wait() {
        let large = Transmit {
            contents: DATA,
            segment_size: Some(6500),
            ..full()
        };

        assert!(!bundle().takes(&large));
        assert!(!Bundle::new(FULL).takes(&full()));
    }

    #[test]
    fn what_was_sent_is_gone() {
        let mut bundle = bundle();
        assert!(bundle.takes(&full()));

        bundle.clear();

        assert!(bundle.whole().is_none());
        assert!(bundle.takes(&Transmit {
            ecn: Some(EcnCodepoint::Ect0),
            ..full()
        }));
    }
}
