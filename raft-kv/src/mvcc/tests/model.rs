//! Random commands, compared with a model that keeps every revision in memory.

use std::collections::BTreeMap;

use super::*;
use crate::model::{DeleteRangeResult, PutResult};
use crate::mvcc::check;

const COMMANDS: usize = 3000;

/// The keys at one revision.
type Keys = BTreeMap<Vec<u8>, KeyValue>;

/// Every revision as a whole; the first is revision 1.
struct Model {
    revisions: Vec<Keys>,
}

impl Model {
    fn newest(&self) -> i64 {
        i64::try_from(self.revisions.len()).unwrap()
    }

    fn apply(&mut self, command: &Command) -> Response {
        let before = self.revisions.last().unwrap().clone();
        let mut work = Work {
            model: self,
            now: before.clone(),
            before,
            changed: false,
        };
        let result = check(command, usize::MAX).and_then(|()| work.run(command));
        let Work { now, changed, .. } = work;
        if let (true, Ok(_)) = (changed, &result) {
            self.revisions.push(now);
        }
        let revision = self.newest();
        match result {
            Ok(result) => Response::Ok(Outcome { revision, result }),
            Err(error) => Response::Refused { error, revision },
        }
    }

    fn range(&self, range: &Range) -> Result<RangeResult, KvError> {
        let work = Work {
            model: self,
            before: self.revisions.last().unwrap().clone(),
            now: self.revisions.last().unwrap().clone(),
            changed: false,
        };
        work.check_revision(range)?;
        Ok(work.range(range))
    }
}

/// One command at work.
struct Work<'a> {
    model: &'a Model,
    before: Keys,
    now: Keys,
    changed: bool,
}

impl Work<'_> {
    fn run(&mut self, command: &Command) -> Result<CommandResult, KvError> {
        Ok(match command {
            Command::Put(put) => CommandResult::Put(self.put(put)?),
            Command::DeleteRange(delete) => CommandResult::DeleteRange(self.delete(delete)),
            Command::Txn(txn) => {
                self.check(txn)?;
                CommandResult::Txn(self.txn(txn)?)
            }
        })
    }

    fn check(&self, txn: &Txn) -> Result<(), KvError> {
        let mut ops = Vec::new();
        self.path(txn, &mut ops);
        for op in &ops {
            if let Op::Put(put) = op
                && put.ignore_value
                && !self.before.contains_key(&put.key)
            {
                return Err(KvError::KeyNotFound);
            }
        }
        for op in ops {
            if let Op::Range(range) = op {
                self.check_revision(range)?;
            }
        }
        Ok(())
    }

    /// All operations that will run.
    fn path<'t>(&self, txn: &'t Txn, ops: &mut Vec<&'t Op>) {
        for op in self.branch(txn).1 {
            ops.push(op);
            if let Op::Txn(nested) = op {
                self.path(nested, ops);
            }
        }
    }

    fn check_revision(&self, range: &Range) -> Result<(), KvError> {
        match range.revision > self.model.newest() {
            true => Err(KvError::FutureRevision),
            false => Ok(()),
        }
    }

    fn branch<'t>(&self, txn: &'t Txn) -> (bool, &'t [Op]) {
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        (
            succeeded,
            if succeeded {
                &txn.success
            } else {
                &txn.failure
            },
        )
    }

    fn holds(&self, compare: &Compare) -> bool {
        let found: Vec<_> = self
            .before
            .values()
            .filter(|kv| within(&compare.keys, &kv.key))
            .collect();
        let missing = KeyValue::default();
        match (&compare.target, found.as_slice()) {
            (CompareTarget::Value(_), []) => false,
            (_, []) => satisfies(compare, &missing),
            (_, found) => found.iter().all(|kv| satisfies(compare, kv)),
        }
    }

    fn txn(&mut self, txn: &Txn) -> Result<TxnResult, KvError> {
        let (succeeded, ops) = self.branch(txn);
        let mut results = Vec::new();
        for op in ops {
            results.push(match op {
                Op::Range(range) => OpResult::Range(self.range(range)),
                Op::Put(put) => OpResult::Put(self.put(put)?),
                Op::DeleteRange(delete) => OpResult::DeleteRange(self.delete(delete)),
                Op::Txn(txn) => OpResult::Txn(self.txn(txn)?),
            });
        }
        Ok(TxnResult { succeeded, results })
    }

    fn put(&mut self, put: &Put) -> Result<PutResult, KvError> {
        let mod_revision = self.model.newest() + 1;
        let old = self.now.get(&put.key).cloned();
        let value = match &old {
            Some(old) if put.ignore_value => old.value.clone(),
            None if put.ignore_value => return Err(KvError::KeyNotFound),
            _ => put.value.clone(),
        };
        let new = KeyValue {
            key: put.key.clone(),
            value,
            create_revision: old.as_ref().map_or(mod_revision, |old| old.create_revision),
            mod_revision,
            version: old.as_ref().map_or(0, |old| old.version) + 1,
        };
        self.now.insert(put.key.clone(), new);
        self.changed = true;
        Ok(PutResult {
            prev_kv: old.filter(|_| put.prev_kv),
        })
    }

    fn delete(&mut self, delete: &DeleteRange) -> DeleteRangeResult {
        let (gone, kept): (Keys, Keys) = std::mem::take(&mut self.now)
            .into_iter()
            .partition(|(key, _)| within(&delete.keys, key));
        self.now = kept;
        self.changed |= !gone.is_empty();
        DeleteRangeResult {
            deleted: i64::try_from(gone.len()).unwrap(),
            prev_kvs: gone.into_values().filter(|_| delete.prev_kv).collect(),
        }
    }

    fn range(&self, range: &Range) -> RangeResult {
        let keys = match usize::try_from(range.revision) {
            Ok(revision @ 1..) => &self.model.revisions[revision - 1],
            _ => &self.now,
        };
        let mut kvs: Vec<_> = keys
            .values()
            .filter(|kv| within(&range.keys, &kv.key))
            .cloned()
            .collect();
        let count = i64::try_from(kvs.len()).unwrap();
        if range.count_only {
            return RangeResult {
                count,
                ..RangeResult::default()
            };
        }
        let bounded = |seen, min, max| seen >= min && (max == 0 || seen <= max);
        kvs.retain(|kv| {
            bounded(
                kv.mod_revision,
                range.min_mod_revision,
                range.max_mod_revision,
            )
        });
        match range.sort_target {
            SortTarget::Key => {}
            SortTarget::Version => kvs.sort_by_key(|kv| kv.version),
            SortTarget::Create => kvs.sort_by_key(|kv| kv.create_revision),
            SortTarget::Mod => kvs.sort_by_key(|kv| kv.mod_revision),
            SortTarget::Value => kvs.sort_by_key(|kv| kv.value.clone()),
        }
        let limit = usize::try_from(range.limit).unwrap();
        let more = limit > 0 && kvs.len() > limit;
        if more {
            kvs.truncate(limit);
        }
        if range.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        RangeResult { kvs, more, count }
    }
}

fn within(range: &KeyRange, key: &[u8]) -> bool {
    match range.range_end.as_slice() {
        [] => key == range.key,
        b"\0" => key >= range.key.as_slice(),
        end => key >= range.key.as_slice() && key < end,
    }
}

fn satisfies(compare: &Compare, kv: &KeyValue) -> bool {
    let ordering = match &compare.target {
        CompareTarget::Version(given) => kv.version.cmp(given),
        CompareTarget::Create(given) => kv.create_revision.cmp(given),
        CompareTarget::Mod(given) => kv.mod_revision.cmp(given),
        CompareTarget::Lease(given) => 0.cmp(given),
        CompareTarget::Value(given) => kv.value.cmp(given),
    };
    match compare.result {
        CompareResult::Equal => ordering.is_eq(),
        CompareResult::NotEqual => ordering.is_ne(),
        CompareResult::Greater => ordering.is_gt(),
        CompareResult::Less => ordering.is_lt(),
    }
}

/// Draws requests over a few keys, so that they meet. SplitMix64.
struct Generator(u64);

impl Generator {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn number(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).unwrap()
    }

    /// Up to three letters of an alphabet that holds the zero byte.
    fn key(&mut self) -> Vec<u8> {
        let len = 1 + self.below(3);
        (0..len)
            .map(|_| [0, 1, b'a', 0xff][self.below(4) as usize])
            .collect()
    }

    fn keys(&mut self) -> KeyRange {
        let range_end = match self.below(4) {
            0 | 1 => Vec::new(),
            2 => self.key(),
            _ => vec![0],
        };
        KeyRange {
            key: self.key(),
            range_end,
        }
    }

    fn range(&mut self, newest: i64) -> Range {
        let targets = [
            SortTarget::Key,
            SortTarget::Version,
            SortTarget::Create,
            SortTarget::Mod,
            SortTarget::Value,
        ];
        let sort_target = targets[self.below(5) as usize];
        let beyond = u64::try_from(newest).unwrap() + 2;
        Range {
            keys: self.keys(),
            limit: self.number(4),
            revision: if self.one_in(2) {
                self.number(beyond)
            } else {
                0
            },
            sort_order: if sort_target == SortTarget::Key {
                SortOrder::None
            } else {
                SortOrder::Ascend
            },
            sort_target,
            keys_only: self.one_in(4),
            count_only: self.one_in(6),
            min_mod_revision: if self.one_in(4) {
                self.number(beyond)
            } else {
                0
            },
            max_mod_revision: if self.one_in(4) {
                self.number(beyond)
            } else {
                0
            },
            ..range("", "")
        }
    }

    fn put(&mut self) -> Put {
        let ignore_value = self.one_in(5);
        let value = if ignore_value { 0 } else { self.below(9) };
        Put {
            key: self.key(),
            value: vec![b'v'; value as usize],
            prev_kv: self.one_in(2),
            ignore_value,
        }
    }

    fn delete(&mut self) -> DeleteRange {
        let mut keys = self.keys();
        // Deleting to the end too often would keep the store empty.
        if keys.range_end == [0] && !self.one_in(4) {
            keys.range_end.clear();
        }
        DeleteRange {
            keys,
            prev_kv: self.one_in(2),
        }
    }

    fn compare(&mut self, newest: i64) -> Compare {
        let number = self.number(u64::try_from(newest).unwrap() + 1);
        let target = match self.below(5) {
            0 => CompareTarget::Version(number % 4),
            1 => CompareTarget::Create(number),
            2 => CompareTarget::Mod(number),
            3 => CompareTarget::Value(vec![b'v'; self.below(9) as usize]),
            _ => CompareTarget::Lease(number % 2),
        };
        let results = [
            CompareResult::Equal,
            CompareResult::NotEqual,
            CompareResult::Greater,
            CompareResult::Less,
        ];
        compare(self.keys(), results[self.below(4) as usize], target)
    }

    fn txn(&mut self, newest: i64, depth: u32) -> Txn {
        Txn {
            compare: (0..self.below(3)).map(|_| self.compare(newest)).collect(),
            success: (0..self.below(4)).map(|_| self.op(newest, depth)).collect(),
            failure: (0..self.below(4)).map(|_| self.op(newest, depth)).collect(),
        }
    }

    fn op(&mut self, newest: i64, depth: u32) -> Op {
        match self.below(8) {
            0..=2 => Op::Put(self.put()),
            3 => Op::DeleteRange(self.delete()),
            4 if depth > 0 => Op::Txn(self.txn(newest, depth - 1)),
            // A read of the future refuses the whole transaction: keep that rare.
            _ if self.one_in(8) => Op::Range(self.range(newest)),
            _ => Op::Range(Range {
                revision: 0,
                ..self.range(newest)
            }),
        }
    }

    fn command(&mut self, newest: i64) -> Command {
        match self.below(10) {
            0..=4 => Command::Put(self.put()),
            5 => Command::DeleteRange(self.delete()),
            _ => Command::Txn(self.txn(newest, 2)),
        }
    }
}

async fn compare_with_model(seed: u64) {
    let mut generator = Generator(seed);
    let mut replica = Replica::new();
    let mut model = Model {
        revisions: vec![Keys::new()],
    };
    let mut applied = 0;
    while applied < COMMANDS {
        let batch: Vec<_> = (0..1 + generator.below(20))
            .map(|_| generator.command(model.newest()))
            .collect();
        let expected: Vec<_> = batch.iter().map(|command| model.apply(command)).collect();

        let responses = replica.apply_all(&batch).await;

        for ((command, response), expected) in batch.iter().zip(&responses).zip(&expected) {
            assert_eq!(response, expected, "seed {seed}, answer to {command:?}");
        }
        for _ in 0..10 {
            let range = generator.range(model.newest());
            let answer = match replica.store.range(&range) {
                Ok((result, revision)) => {
                    assert_eq!(revision, model.newest(), "seed {seed}");
                    Ok(result)
                }
                Err(QueryError::Refused(error)) => Err(error),
                Err(failed) => panic!("seed {seed}: {failed}"),
            };
            assert_eq!(
                answer,
                model.range(&range),
                "seed {seed}, answer to {range:?}"
            );
        }
        if generator.one_in(20) {
            replica.machine.flush().await.unwrap();
        }
        applied += batch.len();
    }
    assert!(
        model.newest() > 500,
        "seed {seed} wrote too little: {}",
        model.newest()
    );
}

#[tokio::test]
async fn random_commands_are_answered_like_the_model_answers_them() {
    for seed in [1, 2] {
        compare_with_model(seed).await;
    }
}

#[tokio::test]
async fn how_entries_are_batched_leaves_no_trace() {
    let mut generator = Generator(3);
    let commands: Vec<_> = (0..400).map(|n| generator.command(n / 2)).collect();
    let mut at_once = Replica::new();
    let mut one_by_one = Replica::new();

    let together = at_once.apply_all(&commands).await;
    let mut apart = Vec::new();
    for command in commands {
        apart.push(one_by_one.apply(command).await);
    }

    assert_eq!(together, apart);
    assert_eq!(
        at_once.store.hash().unwrap(),
        one_by_one.store.hash().unwrap()
    );
}
