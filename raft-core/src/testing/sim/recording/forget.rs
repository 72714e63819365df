//! Keeps a recording within bounds: of a run that is too long, its end.

use std::collections::BTreeMap;

use super::watch::apply;
use super::{LogChange, Recording};

impl Recording {
    pub(super) fn is_full(&self) -> bool {
        let entries = self.logs.len() + self.states.len();
        self.messages.len() + entries + 2 * self.happenings.len() > self.limit
    }

    /// Forgets what happened before `moment`, but for how things stood then.
    pub(super) fn forget_before(&mut self, moment: u64) {
        let before = self.messages.len() + self.happenings.len();
        self.messages.retain(|sent| sent.arrives_at >= moment);
        self.happenings.retain(|happening| happening.at >= moment);
        self.forgotten += (before - self.messages.len() - self.happenings.len()) as u64;
        self.spells.retain(|spell| spell.until >= moment);
        let mut newest = BTreeMap::new();
        for (number, state) in self.states.iter().enumerate() {
            if state.at < moment {
                newest.insert(state.place, number);
            }
        }
        let mut number = 0;
        self.states.retain(|state| {
            number += 1;
            state.at >= moment || newest.get(&state.place) == Some(&(number - 1))
        });
        self.forget_logs_before(moment);
        self.begins_at = moment;
        self.forget_texts();
    }

    /// What logs held at the moment becomes one change each.
    fn forget_logs_before(&mut self, moment: u64) {
        let mut held = vec![Vec::new(); self.nodes];
        let kept = self.logs.partition_point(|change| change.at < moment);
        let later = self.logs.split_off(kept);
        for change in &self.logs {
            apply(&mut held[change.place], change);
        }
        let base = held
            .into_iter()
            .enumerate()
            .map(|(place, entries)| LogChange {
                at: moment,
                place,
                from: 1,
                entries,
            });
        self.logs = base.chain(later).collect();
    }

    /// Keeps only those texts that something still names.
    fn forget_texts(&mut self) {
        let old = std::mem::take(&mut self.texts);
        for happening in &mut self.happenings {
            happening.text = self.texts.place(old.texts[happening.text].clone());
        }
        let shown = self.states.iter_mut().map(|state| &mut state.shown);
        for shown in shown.chain(self.last.iter_mut().map(|last| &mut last.shown)) {
            let text = old.texts.get(shown.membership).cloned();
            shown.membership = self.texts.place(text.unwrap_or_default());
        }
    }
}
