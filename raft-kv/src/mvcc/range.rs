//! Answers a range: which revision, which keys, in which order, how many.

use std::cmp::Ordering;

use super::error::QueryError;
use super::view::{Live, View};
use crate::model::{KeyValue, KvError, Range, RangeResult, SortOrder, SortTarget};

/// Answers `range` when the newest revision is `newest`.
pub(super) fn range(
    view: &View<'_>,
    newest: i64,
    range: &Range,
) -> Result<RangeResult, QueryError> {
    let revision = check_revision(range, newest)?;
    let (count, candidates) = collect(view, revision, range)?;
    let mut kvs = ordered(view, range, candidates)?;
    let limit = limit(range).unwrap_or(usize::MAX);
    let more = kvs.len() > limit;
    kvs.truncate(limit);
    let mut result = RangeResult {
        kvs: Vec::with_capacity(kvs.len()),
        more,
        count,
    };
    for candidate in kvs {
        result.kvs.push(candidate.answer(view, range)?);
    }
    Ok(result)
}

/// The revision to read at.
///
/// # Errors
///
/// [`KvError::FutureRevision`].
pub(super) fn check_revision(range: &Range, newest: i64) -> Result<i64, KvError> {
    match range.revision {
        ..=0 => Ok(newest),
        asked if asked > newest => Err(KvError::FutureRevision),
        asked => Ok(asked),
    }
}

/// A key that may be in the answer; its value is read only when needed.
enum Candidate {
    Key(Live),
    Whole(KeyValue),
}

impl Candidate {
    fn answer(self, view: &View<'_>, range: &Range) -> Result<KeyValue, QueryError> {
        Ok(match self {
            Self::Key(live) if range.keys_only => live.without_value(),
            Self::Key(live) => view.with_value(live)?,
            Self::Whole(kv) if range.keys_only => KeyValue {
                value: Vec::new(),
                ..kv
            },
            Self::Whole(kv) => kv,
        })
    }
}

/// Counts the range and collects the keys that pass the filters. Without order
/// and filters nothing beyond the limit is kept, but for one that shows `more`.
fn collect(view: &View<'_>, revision: i64, range: &Range) -> Result<(i64, Vec<Live>), QueryError> {
    let wanted = match limit(range) {
        _ if range.count_only => 0,
        Some(limit) if range.sort_order == SortOrder::None && !has_filter(range) => {
            limit.saturating_add(1)
        }
        _ => usize::MAX,
    };
    let mut count = 0;
    let mut candidates = Vec::new();
    view.walk(&range.keys, revision, |live| {
        count += 1;
        if candidates.len() < wanted && passes(range, &live) {
            candidates.push(live);
        }
    })?;
    Ok((count, candidates))
}

fn limit(range: &Range) -> Option<usize> {
    usize::try_from(range.limit).ok().filter(|&limit| limit > 0)
}

fn has_filter(range: &Range) -> bool {
    filters(range)
        .iter()
        .any(|&(min, max)| min != 0 || max != 0)
}

fn passes(range: &Range, live: &Live) -> bool {
    let seen = [live.modified.main, live.lifetime.create_revision];
    filters(range)
        .iter()
        .zip(seen)
        .all(|(&(min, max), seen)| (min == 0 || seen >= min) && (max == 0 || seen <= max))
}

/// Minimum and maximum of the mod revision, then of the create revision; 0 is no bound.
fn filters(range: &Range) -> [(i64, i64); 2] {
    [
        (range.min_mod_revision, range.max_mod_revision),
        (range.min_create_revision, range.max_create_revision),
    ]
}

/// Sorts the candidates. Equal ones stay in key order.
fn ordered(
    view: &View<'_>,
    range: &Range,
    candidates: Vec<Live>,
) -> Result<Vec<Candidate>, QueryError> {
    if range.sort_target == SortTarget::Value {
        return ordered_by_value(view, range, candidates);
    }
    let mut keys = candidates;
    let by: fn(&Live, &Live) -> Ordering = match range.sort_target {
        SortTarget::Version => |a, b| a.lifetime.version.cmp(&b.lifetime.version),
        SortTarget::Create => |a, b| a.lifetime.create_revision.cmp(&b.lifetime.create_revision),
        SortTarget::Mod => |a, b| a.modified.main.cmp(&b.modified.main),
        SortTarget::Key | SortTarget::Value => |a, b| a.key.cmp(&b.key),
    };
    keys.sort_by(|a, b| directed(range.sort_order, by(a, b)));
    Ok(keys.into_iter().map(Candidate::Key).collect())
}

fn ordered_by_value(
    view: &View<'_>,
    range: &Range,
    candidates: Vec<Live>,
) -> Result<Vec<Candidate>, QueryError> {
    let mut kvs = Vec::with_capacity(candidates.len());
    for live in candidates {
        kvs.push(view.with_value(live)?);
    }
    kvs.sort_by(|a, b| directed(range.sort_order, a.value.cmp(&b.value)));
    Ok(kvs.into_iter().map(Candidate::Whole).collect())
}

/// A target without an order means ascending, as in etcd.
fn directed(order: SortOrder, ordering: Ordering) -> Ordering {
    match order {
        SortOrder::None | SortOrder::Ascend => ordering,
        SortOrder::Descend => ordering.reverse(),
    }
}
