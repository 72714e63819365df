------------------------------ MODULE Quorums ------------------------------
(***************************************************************************)
(* Entries, memberships, and what a quorum is.  Nothing here changes.      *)
(*                                                                         *)
(* An entry is its term and, if it changes who belongs to the group, a     *)
(* membership.  What a command says does not matter: within a term a       *)
(* position of the log names one entry.                                    *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets, Sequences

\* What an entry that changes no membership carries; a membership has voters.
Plain == [voters |-> {}, outgoing |-> {}, learners |-> {}]

Of(voters) == [voters |-> voters, outgoing |-> {}, learners |-> {}]

IsJoint(membership) == membership.outgoing # {}

\* While it is in force, the voters of both must agree.
Joint(from, to) == [to EXCEPT !.outgoing = from.voters]

WithoutOutgoing(membership) == [membership EXCEPT !.outgoing = {}]

VotersOf(membership) == membership.voters \cup membership.outgoing

IsMajority(voters, set) ==
    2 * Cardinality(voters \cap set) > Cardinality(voters)

IsQuorum(membership, set) ==
    /\ IsMajority(membership.voters, set)
    /\ IsJoint(membership) => IsMajority(membership.outgoing, set)

Max(set) == CHOOSE one \in set : \A other \in set : other <= one

Min(set) == CHOOSE one \in set : \A other \in set : one <= other

Least(a, b) == IF a < b THEN a ELSE b

\* The log up to `index`.
Upto(log, index) == SubSeq(log, 1, index)

TermAt(log, index) == IF index = 0 THEN 0 ELSE log[index].term

LastTerm(log) == TermAt(log, Len(log))

\* Whether the first entries of both, up to `index`, are there and the same.
Agree(one, other, index) ==
    /\ index <= Len(one)
    /\ index <= Len(other)
    /\ Upto(one, index) = Upto(other, index)

\* Up to where two logs are the same.
Agreement(one, other) ==
    LET shorter == Least(Len(one), Len(other))
        differing == {i \in 1 .. shorter : one[i] # other[i]}
    IN  IF differing = {} THEN shorter ELSE Min(differing) - 1

\* Where the log last changes the membership; 0 if it never does.
PlaceOfMembership(log) ==
    Max({0} \cup {i \in 1 .. Len(log) : log[i].membership # Plain})

=============================================================================
