//! Single values of the configuration, parsed from what people write.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// What a value should have been.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(String);

/// A duration as people write it: `300ms`, `5s`, `2m`, `1h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HumanDuration(Duration);

impl HumanDuration {
    /// The plain duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for HumanDuration {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let wrong = || {
            InvalidValue(format!(
                "{text:?} is no duration; write one like 300ms, 5s or 2m"
            ))
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            _ => None,
        };
        Ok(Self(Duration::from_millis(millis.ok_or_else(wrong)?)))
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A cluster: the name that certificates carry, and the number that clients see.
///
/// Written as digits, the number is those; else it is the hash of the name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClusterId {
    name: String,
    number: u64,
}

impl ClusterId {
    /// The name as it was written, in certificates as `raft://<name>/<node>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number, as data directories and answers to clients carry it.
    pub const fn number(&self) -> u64 {
        self.number
    }
}

/// FNV-1a. The number is in data directories, so it stays as it is for good.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl FromStr for ClusterId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=64).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(InvalidValue(format!(
                "cluster {text:?} must be 1 to 64 letters, digits, '-', '_' or '.'"
            )));
        }
        let number = if text.bytes().all(|byte| byte.is_ascii_digit()) {
            text.parse()
                .map_err(|_| InvalidValue(format!("cluster number {text} is above 2^64")))?
        } else {
            hash(text)
        };
        Ok(Self {
            name: text.to_owned(),
            number,
        })
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<'de> Deserialize<'de> for ClusterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrName;

        impl Visitor<'_> for NumberOrName {
            type Value = ClusterId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number or the name of a cluster")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ClusterId, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ClusterId, E> {
                number.to_string().parse().map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ClusterId, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(NumberOrName)
    }
}

/// A node that the cluster begins with.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitialMember {
    /// Its number.
    pub id: u64,
    /// Its name, for people.
    pub name: String,
    /// Where its peers reach it, as `host:port`.
    pub peer: String,
    /// Where clients reach it, as a URL.
    pub client: String,
}

/// The form of a flag: `id=1,name=node-1,peer=host:port,client=http://host:port`.
impl FromStr for InitialMember {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let field = |key: &str| {
            text.split(',')
                .filter_map(|part| part.trim().split_once('='))
                .find_map(|(name, value)| (name == key).then(|| value.to_owned()))
                .ok_or_else(|| {
                    InvalidValue(format!(
                        "{key} is missing in {text:?}; write id=N,name=NAME,peer=HOST:PORT,client=URL"
                    ))
                })
        };
        let id = field("id")?;
        Ok(Self {
            id: id
                .parse()
                .map_err(|_| InvalidValue(format!("id {id:?} is no number")))?,
            name: field("name")?,
            peer: field("peer")?,
            client: field("client")?,
        })
    }
}

/// Whether a node starts a cluster or joins one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// `initial_cluster` is the cluster that begins now.
    #[default]
    New,
    /// `initial_cluster` is a cluster that exists, to which this node was added as a member.
    Existing,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        let millis = |text: &str| text.parse().map(|d: HumanDuration| d.get().as_millis());

        assert_eq!(millis("300ms"), Ok(300));
        assert_eq!(millis("5s"), Ok(5000));
        assert_eq!(millis("2m"), Ok(120_000));
        for wrong in [
            "5",
            "s",
            "-1s",
            "5 s",
            "99999999999999999999ms",
            "18446744073709551615h",
        ] {
            assert!(millis(wrong).is_err(), "{wrong}");
        }
    }

    /// Data directories carry the number.
    #[test]
    fn a_cluster_name_keeps_its_number_for_good() {
        let cluster: ClusterId = "a".parse().unwrap();

        assert_eq!(cluster.number(), 0xaf63_dc4c_8601_ec8c);
        assert_eq!("42".parse().map(|c: ClusterId| c.number()), Ok(42));
        for wrong in ["99999999999999999999", "", "a b", "-1/2"] {
            assert!(wrong.parse::<ClusterId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_member_of_a_flag_needs_all_its_parts() {
        let member: InitialMember = "id=1,name=a,peer=h:1,client=http://h:2".parse().unwrap();

        assert_eq!((member.id, member.client.as_str()), (1, "http://h:2"));
        let error = "id=1,name=a,peer=h:1".parse::<InitialMember>().unwrap_err();
        assert!(
            error.to_string().starts_with("client is missing"),
            "{error}"
        );
    }
}
