//! Actions as lines of JSON, for other tools to follow.
//!
//! The first line describes the group, each other is an action of one replica, by its
//! name. Replicas are numbered like their nodes; later lives of a node count on by a
//! hundred.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::action::{Action, Fact};
use super::log::Item;
use crate::membership::Membership;
use crate::types::{NodeId, ReplicaId};

/// What happened in a group of `founders`, line by line.
pub(crate) fn lines(founders: &Membership, actions: &[(ReplicaId, Action)]) -> Vec<String> {
    let replicas: BTreeSet<_> = actions.iter().map(|(id, _)| number(*id)).collect();
    let voters = ids(founders.voters().iter().copied());
    let group = format!(
        "{{\"action\":\"group\",\"replicas\":{},\"voters\":{voters}}}",
        list(replicas.iter().map(u64::to_string))
    );
    let steps = actions.iter().map(|(id, action)| line(*id, action));
    std::iter::once(group).chain(steps).collect()
}

fn line(id: ReplicaId, action: &Action) -> String {
    let mut line = format!(
        "{{\"action\":\"{}\",\"replica\":{}",
        action.name(),
        number(id)
    );
    for (name, value) in fields(action) {
        write!(line, ",\"{name}\":{value}").expect("a string takes everything");
    }
    line.push('}');
    line
}

fn fields(action: &Action) -> Vec<(&'static str, String)> {
    match action {
        Action::NextLife { next } => vec![("next", number(*next).to_string())],
        Action::Crash { kept, and_ballot } => vec![
            ("kept", kept.to_string()),
            ("and_ballot", and_ballot.to_string()),
        ],
        Action::LearnTerm { term, .. } => vec![("term", term.get().to_string())],
        Action::Vote { candidate, .. } => vec![("candidate", number(*candidate).to_string())],
        Action::WouldVote {
            candidate, term, ..
        }
        | Action::VoteInPassing {
            candidate, term, ..
        } => vec![
            ("term", term.get().to_string()),
            ("candidate", number(*candidate).to_string()),
        ],
        Action::Append { items } => vec![("items", items_of(items))],
        Action::Accept { cut, items } => {
            let cut = cut.map(|cut| ("cut", cut.get().to_string()));
            cut.into_iter()
                .chain([("items", items_of(items))])
                .collect()
        }
        Action::CutDamage { from } => vec![("from", from.get().to_string())],
        Action::Restore { at } => vec![("at", at.get().to_string())],
        Action::Install { at, resets } => {
            vec![("at", at.get().to_string()), ("resets", resets.to_string())]
        }
        Action::Commit { index }
        | Action::LearnCommit { index }
        | Action::Apply { index }
        | Action::StateDurable { index } => vec![("index", index.get().to_string())],
        Action::Done { writes } => vec![("writes", writes.to_string())],
        Action::Say { term, fact } => said(term.get(), *fact),
        _ => Vec::new(),
    }
}

fn said(term: u64, fact: Fact) -> Vec<(&'static str, String)> {
    let in_term = |term: u64| ("term", term.to_string());
    match fact {
        Fact::Term | Fact::Leads { .. } | Fact::Campaigns { .. } => vec![in_term(term)],
        Fact::Votes { term, candidate } | Fact::WouldVote { term, candidate } => vec![
            in_term(term.get()),
            ("candidate", number(candidate).to_string()),
        ],
        Fact::HandsOver { successor } => {
            vec![in_term(term), ("successor", number(successor).to_string())]
        }
        Fact::Holds { up_to } | Fact::Purged { up_to } => {
            vec![in_term(term), ("index", up_to.index.get().to_string())]
        }
    }
}

fn items_of(items: &[Item]) -> String {
    list(items.iter().map(|item| {
        let membership = item.membership.as_deref().map(membership_of);
        let membership = membership.map(|m| format!(",\"membership\":{m}"));
        format!(
            "{{\"term\":{}{}}}",
            item.term.get(),
            membership.unwrap_or_default()
        )
    }))
}

fn membership_of(membership: &Membership) -> String {
    let replica = |node: NodeId| membership.replica(node).map_or(node.get(), number);
    let named = |nodes: &BTreeSet<NodeId>| list(nodes.iter().map(|n| replica(*n).to_string()));
    let mut fields = vec![format!("\"voters\":{}", named(membership.voters()))];
    if let Some(outgoing) = membership.outgoing() {
        fields.push(format!("\"outgoing\":{}", named(outgoing)));
    }
    // Who will be one when a joint membership is left is a learner already.
    let stays = |node: &&NodeId| !membership.leaving().contains(node);
    let nodes = membership.members().keys().filter(stays).copied();
    let learners: BTreeSet<_> = nodes.filter(|n| !membership.voters().contains(n)).collect();
    if !learners.is_empty() {
        fields.push(format!("\"learners\":{}", named(&learners)));
    }
    format!("{{{}}}", fields.join(","))
}

fn ids(nodes: impl Iterator<Item = NodeId>) -> String {
    list(nodes.map(|node| node.get().to_string()))
}

fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

const fn number(id: ReplicaId) -> u64 {
    id.node.get() + 100 * id.incarnation.get()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{LogIndex, Term};

    #[test]
    fn a_group_and_what_it_does_are_lines() {
        let joint = Membership::of_ids(1..=2).joint_with(&Membership::of_ids(1..=3));
        let item = |membership| Item {
            term: Term::new(2),
            content: 7,
            is_blank: false,
            membership,
        };
        let accept = Action::Accept {
            cut: Some(LogIndex::new(4)),
            items: vec![item(None), item(Some(std::sync::Arc::new(joint)))],
        };
        let mut later = ReplicaId::first(2);
        later.incarnation = crate::types::Incarnation::new(1);
        let votes = Action::Say {
            term: Term::new(9),
            fact: Fact::Votes {
                term: Term::new(3),
                candidate: ReplicaId::first(1),
            },
        };
        let actions = [(ReplicaId::first(1), accept), (later, votes)];
        let lines = lines(&Membership::of_ids(1..=2), &actions);
        assert_eq!(
            lines,
            [
                r#"{"action":"group","replicas":[1,102],"voters":[1,2]}"#,
                r#"{"action":"accept","replica":1,"cut":4,"items":[{"term":2},{"term":2,"membership":{"voters":[1,2,3],"outgoing":[1,2]}}]}"#,
                r#"{"action":"say_votes","replica":102,"term":3,"candidate":1}"#,
            ]
        );
    }
}
