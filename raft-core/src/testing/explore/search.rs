//! Follows every choice from every state, to a depth, on several threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::fingerprint::Keys;
use super::state::{Choice, State};
use super::{Counterexample, Exploration, Scope};
use crate::testing::spec::Refused;

/// States by fingerprint: to what depth each was followed.
#[allow(clippy::disallowed_types, reason = "nothing depends on its order")]
type Visited = std::collections::HashMap<u64, u8, Keys>;

/// Threads rarely want the same one of so many parts.
const PARTS: usize = 256;

/// So many states for each thread to begin with.
const PER_THREAD: usize = 64;

/// What all threads share.
struct Search {
    visited: Vec<Mutex<Visited>>,
    /// Where the threads begin, with the way there.
    roots: Vec<(State, Vec<Choice>)>,
    next_root: AtomicUsize,
    is_over: AtomicBool,
    until: Instant,
    scope: Scope,
}

/// Follows every choice within `scope`, on `jobs` threads, for `limit` at most.
pub fn explore(scope: Scope, jobs: usize, limit: Duration) -> Exploration {
    explore_from(|| State::new(scope), scope, jobs, limit)
}

/// [`explore`] from what `begin` makes.
pub(super) fn explore_from(
    begin: impl FnOnce() -> Result<State, Refused>,
    scope: Scope,
    jobs: usize,
    limit: Duration,
) -> Exploration {
    let mut total = Exploration::default();
    let first = match outcome_of(begin) {
        Ok(state) => state,
        Err(reason) => {
            let choices = Vec::new();
            total.violation = Some(Counterexample { choices, reason });
            return total;
        }
    };
    let mut search = Search {
        visited: (0..PARTS).map(|_| Mutex::default()).collect(),
        roots: Vec::new(),
        next_root: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        until: Instant::now() + limit,
        scope,
    };
    search.is_new(&first, scope.depth);
    total.states = 1;
    search.spread(first, jobs.max(1) * PER_THREAD, &mut total);
    let parts = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..jobs.max(1) {
            threads.spawn(|| {
                let part = search.follow_roots();
                parts.lock().expect("no thread panics here").push(part);
            });
        }
    });
    for part in parts.into_inner().expect("all threads have ended") {
        total.add(part);
    }
    total.is_complete = !search.is_over.load(Ordering::Relaxed);
    total
}

/// What `step` came to. What no rule allows is answered in words, and so is a panic.
fn outcome_of<T>(step: impl FnOnce() -> Result<T, Refused>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(outcome) => outcome.map_err(|refused| refused.to_string()),
        Err(panic) => Err(crate::testing::sim::words(&*panic)),
    }
}

impl Exploration {
    fn add(&mut self, other: Self) {
        self.states += other.states;
        self.transitions += other.transitions;
        for (name, count) in other.actions {
            *self.actions.entry(name).or_default() += count;
        }
        self.violation = self.violation.take().or(other.violation);
    }
}

impl Search {
    /// Notes that `state` is followed to a depth of `left` from here. Answers whether it
    /// never was so far; the second answer says whether it was never seen.
    fn is_new(&self, state: &State, left: u8) -> (bool, bool) {
        let key = state.fingerprint();
        let part = usize::try_from(key >> 32).unwrap_or(0) % PARTS;
        let mut visited = self.visited[part].lock().expect("no thread panics here");
        match visited.insert(key, left) {
            None => (true, true),
            Some(before) if before < left => (true, false),
            Some(before) => {
                visited.insert(key, before);
                (false, false)
            }
        }
    }

    /// Goes breadth first until there is work for all.
    fn spread(&mut self, first: State, wanted: usize, total: &mut Exploration) {
        let mut level = vec![(first, Vec::new())];
        while !level.is_empty() && level.len() < wanted {
            let mut next = Vec::new();
            for (state, way) in level {
                let left = self.left(&way);
                if left == 0 {
                    continue;
                }
                for choice in state.choices() {
                    let mut way = way.clone();
                    way.push(choice);
                    match self.take(&state, choice, left, total) {
                        Ok(Some(state)) => next.push((state, way)),
                        Ok(None) => {}
                        Err(reason) => return self.end(&way, reason, total),
                    }
                }
            }
            level = next;
        }
        self.roots = level;
    }

    fn left(&self, way: &[Choice]) -> u8 {
        let gone = u8::try_from(way.len()).unwrap_or(u8::MAX);
        self.scope.depth.saturating_sub(gone)
    }

    fn follow_roots(&self) -> Exploration {
        let mut part = Exploration::default();
        loop {
            let at = self.next_root.fetch_add(1, Ordering::Relaxed);
            let Some((state, way)) = self.roots.get(at) else {
                return part;
            };
            let mut way = way.clone();
            if let Err(reason) = self.follow(state, &mut way, &mut part) {
                self.end(&way, reason, &mut part);
            }
        }
    }

    /// Follows every choice from `state`, depth first.
    fn follow(
        &self,
        state: &State,
        way: &mut Vec<Choice>,
        part: &mut Exploration,
    ) -> Result<(), String> {
        let left = self.left(way);
        if left == 0 || self.is_late() {
            return Ok(());
        }
        for choice in state.choices() {
            way.push(choice);
            if let Some(next) = self.take(state, choice, left, part)? {
                self.follow(&next, way, part)?;
            }
            way.pop();
        }
        Ok(())
    }

    /// Whether no more is to be done. What is cut short is not complete.
    fn is_late(&self) -> bool {
        let is_late = self.is_over.load(Ordering::Relaxed) || Instant::now() >= self.until;
        if is_late {
            self.is_over.store(true, Ordering::Relaxed);
        }
        is_late
    }

    /// `choice` happens in `state`. Answers where that leads, unless that was followed as
    /// far as it would be from here.
    fn take(
        &self,
        state: &State,
        choice: Choice,
        left: u8,
        part: &mut Exploration,
    ) -> Result<Option<State>, String> {
        let mut next = state.clone();
        part.transitions += 1;
        outcome_of(|| next.apply(choice))?;
        let counts = next.take_counts();
        let (follows, is_new) = self.is_new(&next, left - 1);
        if is_new {
            part.states += 1;
            for (name, count) in counts.happened() {
                *part.actions.entry(name).or_default() += count;
            }
        }
        Ok(follows.then_some(next))
    }

    /// A step was refused: tells how to get there, and ends the search.
    fn end(&self, way: &[Choice], reason: String, part: &mut Exploration) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut choices = Vec::new();
        let mut state = State::new(self.scope).ok();
        for &choice in way {
            if let Some(mut at) = state.take() {
                choices.push(at.describe(choice));
                let step = catch_unwind(AssertUnwindSafe(|| at.apply(choice).is_ok()));
                state = step.is_ok_and(|is_ok| is_ok).then_some(at);
            }
        }
        part.violation = Some(Counterexample { choices, reason });
    }
}
