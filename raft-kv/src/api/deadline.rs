//! How long a request may take, and whose limit that is.

use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// The part of a client's timeout that is kept for the answer's way back: one
/// that gives up at the same moment would never learn why.
const WAY_BACK: u32 = 10;
/// The most that is kept.
const WAY_BACK_MOST: Duration = Duration::from_millis(250);

/// When a request must have been answered.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
}

impl Deadline {
    /// `limit` from now, by the server's own choice.
    pub fn after(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
        }
    }

    /// The client's deadline if it is earlier than the server's `limit`.
    pub(super) fn of_request(metadata: &MetadataMap, limit: Duration) -> Self {
        let given = metadata
            .get("grpc-timeout")
            .and_then(|value| value.to_str().ok())
            .and_then(parse_timeout);
        match given {
            Some(timeout) if before_the_clients(timeout) < limit => Self {
                at: Instant::now() + before_the_clients(timeout),
            },
            _ => Self::after(limit),
        }
    }

    /// The moment.
    pub(super) const fn at(self) -> Instant {
        self.at
    }
}

/// A little less than the client waits.
fn before_the_clients(timeout: Duration) -> Duration {
    timeout - (timeout / WAY_BACK).min(WAY_BACK_MOST)
}

/// Parses a gRPC timeout: up to eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_leaves_before_the_client_gives_up() {
        assert_eq!(
            before_the_clients(Duration::from_secs(5)),
            Duration::from_millis(4750)
        );
        assert_eq!(
            before_the_clients(Duration::from_millis(100)),
            Duration::from_millis(90)
        );
    }

    #[test]
    fn a_timeout_is_read_in_each_unit() {
        assert_eq!(parse_timeout("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(parse_timeout("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parse_timeout("4S"), Some(Duration::from_secs(4)));
        assert_eq!(parse_timeout("5m"), Some(Duration::from_millis(5)));
        assert_eq!(parse_timeout("6u"), Some(Duration::from_micros(6)));
        assert_eq!(parse_timeout("7n"), Some(Duration::from_nanos(7)));
    }

    #[test]
    fn what_is_no_timeout_counts_as_none() {
        for wrong in ["", "S", "5", "123456789S", "-1S", "5x", "5µ"] {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
    }
}
