//! Long random histories of several logs in one store, beside lists that say what
//! each must hold: runs that shadow each other, purges that end within one, cuts
//! without anything new, copies of damaged entries.

use std::collections::BTreeSet;

use bytes::Bytes;
use raft_core::{
    AppendBatch, Entry, EntryMeta, GroupId, LogBounds, LogId, LogIndex, LogSlice, LogStore,
    RequestId, StorageError, StoredEntry,
};
use raft_storage_rocks::{RocksLogStore, RocksOptions, RocksStore};

use crate::support::{Place, identity};

const GROUPS: u64 = 3;

/// What a log must hold.
#[derive(Debug, Default)]
struct Model {
    purged: LogId,
    entries: Vec<Entry>,
    /// Those whose payload was damaged and not replaced since.
    damaged: BTreeSet<u64>,
    term: u64,
}

impl Model {
    fn bounds(&self) -> LogBounds {
        let last = self
            .entries
            .last()
            .map_or(self.purged, |entry| entry.log_id);
        let purged = self.purged;
        LogBounds { purged, last }
    }

    fn first(&self) -> u64 {
        self.purged.index.get() + 1
    }

    fn next(&self) -> u64 {
        self.first() + self.entries.len() as u64
    }

    fn cut(&mut self, from: u64) {
        self.entries.retain(|entry| entry.index().get() < from);
        self.damaged.retain(|index| *index < from);
    }

    fn purge(&mut self, up_to: LogId) {
        self.entries.retain(|entry| entry.index() > up_to.index);
        self.damaged.retain(|index| *index > up_to.index.get());
        self.purged = up_to;
    }

    fn at(&self, index: u64) -> &Entry {
        &self.entries[usize::try_from(index - self.first()).unwrap()]
    }

    /// What a read from `first` to `last` without a limit answers.
    fn answers(&self, first: u64, last: u64) -> Vec<Answer> {
        let mut answers = Vec::new();
        for index in first..=last {
            if index < self.first() || index >= self.next() {
                answers.push(Answer::Absent(index));
            } else if self.damaged.contains(&index) {
                answers.push(Answer::Corrupt(EntryMeta::from(self.at(index))));
            } else {
                answers.push(Answer::Entry(self.at(index).clone()));
            }
            if index >= self.next() {
                break;
            }
        }
        answers
    }
}

/// An answer without the words for damage.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Answer {
    Entry(Entry),
    Absent(u64),
    Corrupt(EntryMeta),
}

impl From<StoredEntry> for Answer {
    fn from(stored: StoredEntry) -> Self {
        match stored {
            StoredEntry::Entry(entry) => Self::Entry(entry),
            StoredEntry::Absent { index } => Self::Absent(index.get()),
            StoredEntry::Corrupt {
                meta: Some(meta), ..
            } => Self::Corrupt(meta),
            StoredEntry::Corrupt { .. } => panic!("{stored:?}"),
        }
    }
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // Steele, Lea and Flood: fast splittable generators.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }

    /// A position from `first` to before `end`.
    fn within(&mut self, first: u64, end: u64) -> u64 {
        first + self.below(end - first)
    }
}

/// A store, what its logs must hold, and what happens next.
struct History {
    place: Place,
    options: RocksOptions,
    random: Random,
    models: Vec<Model>,
    store: Option<RocksStore>,
    logs: Vec<RocksLogStore>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let options = RocksOptions {
            // So small that much is flushed, or so large that nothing is.
            write_buffer_bytes: if random.one_in(2) { 64 << 10 } else { 64 << 20 },
            recent_bytes: [0, 4 << 10, 8 << 20][usize::try_from(random.below(3)).unwrap()],
            writes_in_place: random.one_in(2),
            sync: false,
            ..RocksOptions::default()
        };
        let mut history = Self {
            place: Place::new(),
            options,
            random,
            models: (0..GROUPS).map(|_| Model::default()).collect(),
            store: None,
            logs: Vec::new(),
        };
        history.open();
        history
    }

    fn open(&mut self) {
        let store = RocksStore::open(self.place.path(), &self.options, identity(1, 1)).unwrap();
        let log_of = |group| store.log_store(GroupId::new(group)).unwrap();
        self.logs = (0..GROUPS).map(log_of).collect();
        self.store = Some(store);
    }

    fn close(&mut self) {
        self.logs.clear();
        self.store = None;
    }

    async fn step(&mut self) {
        let group = usize::try_from(self.random.below(GROUPS)).unwrap();
        match self.random.below(100) {
            0..40 => self.append(group, None).await,
            40..55 => self.cut_and_append(group).await,
            55..65 => self.cut(group).await,
            65..72 => self.purge(group).await,
            72..74 => self.reset(group).await,
            74..75 => self.reopen(),
            75..76 => self.damage(group),
            76..80 => self.repair(group).await,
            _ => self.read(group).await,
        }
        let bounds = self.logs[group].bounds().await.unwrap();
        assert_eq!(bounds, self.models[group].bounds());
    }

    /// A run of entries: mostly a few small ones, now and then many or large ones.
    fn entries(&mut self, group: usize, first: u64) -> Vec<Entry> {
        let count = match self.random.below(20) {
            0 => self.random.within(1000, 2100),
            1..4 => self.random.within(20, 200),
            _ => self.random.within(1, 8),
        };
        let large = count < 8 && self.random.one_in(5);
        let mut entries = Vec::new();
        for index in first..first + count {
            if self.random.one_in(30) {
                self.models[group].term += 1;
            }
            let id = LogId::new(self.models[group].term, index);
            let length = if large { 40_000 } else { 60 };
            let length = usize::try_from(self.random.below(length)).unwrap();
            // No two writes write the same.
            let request = RequestId {
                boot: self.random.below(u64::MAX),
                sequence: index,
            };
            entries.push(match self.random.below(12) {
                0 => Entry::blank(id),
                _ => Entry::command(id, request, Bytes::from(vec![index as u8; length])),
            });
        }
        entries
    }

    async fn append(&mut self, group: usize, cut: Option<u64>) {
        let first = cut.unwrap_or_else(|| self.models[group].next());
        let entries = self.entries(group, first);
        let batch = AppendBatch {
            truncate_from: cut.map(LogIndex::new),
            entries: LogSlice::new(entries.clone()).unwrap(),
        };
        self.logs[group].append(batch).await.unwrap();
        let model = &mut self.models[group];
        model.cut(first);
        model.entries.extend(entries);
    }

    async fn cut_and_append(&mut self, group: usize) {
        let model = &mut self.models[group];
        model.term += 1;
        let near_the_end = model.next().saturating_sub(1 + self.random.below(12));
        let cut = match self.random.one_in(10) {
            true => self.random.within(model.first(), model.next() + 1),
            false => near_the_end.max(model.first()),
        };
        self.append(group, Some(cut)).await;
    }

    async fn cut(&mut self, group: usize) {
        let model = &mut self.models[group];
        let back = self.random.below(20);
        let cut = (model.next() + 1).saturating_sub(back).max(model.first());
        let batch = AppendBatch {
            truncate_from: Some(LogIndex::new(cut)),
            entries: LogSlice::empty(),
        };
        self.logs[group].append(batch).await.unwrap();
        model.cut(cut);
        // A leader of a later term writes there next.
        model.term += 1;
    }

    async fn purge(&mut self, group: usize) {
        let model = &mut self.models[group];
        if model.entries.is_empty() {
            return;
        }
        let up_to = match self.random.one_in(5) {
            true => model.bounds().last,
            false => {
                model
                    .at(self.random.within(model.first(), model.next()))
                    .log_id
            }
        };
        self.logs[group].purge(up_to).await.unwrap();
        model.purge(up_to);
    }

    async fn reset(&mut self, group: usize) {
        let model = &mut self.models[group];
        model.term += 1;
        // Ahead as a snapshot is, or back as none is: the store does not mind.
        let index = self.random.within(0, 2 * model.next() + 10);
        let snapshot = LogId::new(model.term, index);
        self.logs[group].reset(snapshot).await.unwrap();
        model.cut(0);
        model.purged = snapshot;
    }

    fn reopen(&mut self) {
        if self.random.one_in(2) {
            // As a kill leaves it.
            let image = self.place.image();
            self.close();
            self.place = image;
        } else {
            self.close();
        }
        self.open();
    }

    /// Flips a bit of an entry's payload on the disk.
    fn damage(&mut self, group: usize) {
        let model = &mut self.models[group];
        if model.entries.is_empty() {
            return;
        }
        let index = self.random.within(model.first(), model.next());
        let holds_something = model.at(index).kind() == raft_core::EntryKind::Command;
        if holds_something && model.damaged.insert(index) {
            self.close();
            self.place
                .damage_payload_of(GroupId::new(group as u64), index);
            self.open();
        }
    }

    /// Replaces a damaged entry, or one that is not; another is refused.
    async fn repair(&mut self, group: usize) {
        let model = &mut self.models[group];
        let damaged = model.damaged.first().copied();
        let index = match damaged {
            Some(index) => index,
            None if model.entries.is_empty() => return,
            None => self.random.within(model.first(), model.next()),
        };
        let entry = model.at(index).clone();
        let later = LogId::new(entry.term().get() + 1, index);
        let other = LogSlice::new(vec![Entry::blank(later)]).unwrap();
        let refused = self.logs[group].repair(other).await;
        assert!(
            matches!(refused, Err(StorageError::Misuse { .. })),
            "{refused:?}"
        );
        let copy = LogSlice::new(vec![entry]).unwrap();
        self.logs[group].repair(copy).await.unwrap();
        model.damaged.remove(&index);
    }

    async fn read(&mut self, group: usize) {
        let model = &self.models[group];
        let first = self
            .random
            .within(model.first().saturating_sub(3).max(1), model.next() + 3);
        let last = first + self.random.below(300);
        let expected = model.answers(first, last);
        let log = &self.logs[group];
        let (from, to) = (LogIndex::new(first), LogIndex::new(last));
        let limit = match self.random.below(3) {
            0 => usize::MAX,
            1 => 0,
            _ => usize::try_from(self.random.below(3000)).unwrap(),
        };

        let found = log.read(from, to, limit).await.unwrap();
        let found: Vec<Answer> = found.into_iter().map(Answer::from).collect();

        if limit == usize::MAX {
            assert_eq!(found, expected);
        }
        assert!(!found.is_empty(), "duty 6");
        assert_eq!(found, expected[..found.len()]);
        if found.len() < expected.len() {
            let size = |answer: &Answer| match answer {
                Answer::Entry(entry) => entry.size(),
                _ => size_of::<StoredEntry>(),
            };
            let size: usize = found.iter().map(size).sum();
            assert!(size > limit, "{size} bytes answered of {limit}");
        }
        self.read_metadata(group, first, last).await;
    }

    async fn read_metadata(&self, group: usize, first: u64, last: u64) {
        let model = &self.models[group];
        let (from, to) = (LogIndex::new(first), LogIndex::new(last));
        let found = self.logs[group].metadata(from, to).await.unwrap();
        let expected = (first.max(model.first())..=last.min(model.next() - 1))
            .map(|index| EntryMeta::from(model.at(index)));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }

    /// Everything, as a new start finds it.
    async fn check_all(&mut self) {
        self.close();
        self.open();
        for group in 0..self.logs.len() {
            let model = &self.models[group];
            assert_eq!(self.logs[group].bounds().await.unwrap(), model.bounds());
            let (first, last) = (1.max(model.first().saturating_sub(2)), model.next());
            let (from, to) = (LogIndex::new(first), LogIndex::new(last));
            let found = self.logs[group].read(from, to, usize::MAX).await.unwrap();
            let found: Vec<Answer> = found.into_iter().map(Answer::from).collect();
            assert_eq!(found, model.answers(first, last));
            self.read_metadata(group, first, last).await;
        }
    }
}

async fn run(seed: u64, steps: usize) {
    // Printed only if the test fails.
    println!("seed {seed}: RAFT_STORAGE_MODEL_SEED={seed} repeats it");
    let mut history = History::new(seed);
    for step in 0..steps {
        println!("step {step}");
        history.step().await;
    }
    history.check_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_of_several_logs_reads_as_its_calls_say() {
    if let Ok(seed) = std::env::var("RAFT_STORAGE_MODEL_SEED") {
        return run(seed.parse().unwrap(), 600).await;
    }
    for seed in 1..=12 {
        run(seed, 600).await;
    }
}
