------------------------------- MODULE Trace -------------------------------
(***************************************************************************)
(* Whether what a group of replicas did is what the specification allows.  *)
(*                                                                         *)
(* `cargo xtask tla --trace FILE` writes the module TraceData from a file  *)
(* with one step a line.  Each step must be enabled where it comes.  If    *)
(* one is not, the checker finds a deadlock there, and `at` says which.    *)
(***************************************************************************)
EXTENDS Snapshots, TraceData

VARIABLE at     \* the step that is next

Elements(list) == {list[i] : i \in 1 .. Len(list)}

MembershipOf(some) ==
    [voters |-> Elements(some.voters),
     outgoing |-> IF "outgoing" \in DOMAIN some THEN Elements(some.outgoing) ELSE {},
     learners |-> IF "learners" \in DOMAIN some THEN Elements(some.learners) ELSE {}]

\* What an entry of the trace carries.
Carried(entry) ==
    IF "membership" \in DOMAIN entry THEN MembershipOf(entry.membership) ELSE Plain

TraceReplicas == Elements(Group.replicas)

TraceFounders == MembershipOf(Group)

\* The trace says who asks for which membership.
AnyTargets == {}

TraceInit == Init /\ SnapshotsInit /\ at = 1

-----------------------------------------------------------------------------
\* What is appended is judged where the specification has a rule for it.
Appends(r, entries) ==
    LET memberships == [i \in 1 .. Len(entries) |-> Carried(entries[i])]
        changes == {i \in 1 .. Len(entries) : memberships[i] # Plain}
        from == InForce(r)
        to == memberships[1]
    IN  /\ changes # {} =>
               /\ Len(entries) = 1
               /\ \/ IsJoint(from) /\ to = WithoutOutgoing(from)
                     /\ PlaceOfMembership(Now(r).log) <= told[Now(r).term]
                  \/ MayChange(r) /\ IsJoint(to) /\ to.outgoing = from.voters
                  \/ MayChange(r) /\ to.voters = from.voters /\ ~IsJoint(to)
        /\ AppendEntries(r, memberships)

Accepts(r, term, previous, entries) ==
    /\ term = Now(r).term
    /\ previous + Len(entries) <= Len(led[term])
    /\ \A i \in 1 .. Len(entries) :
           led[term][previous + i] = [term |-> entries[i].term, membership |-> Carried(entries[i])]
    /\ Accept(r, previous, Len(entries))

Votes(r, candidate, term) ==
    \E request \in asked :
        /\ request.candidate = candidate
        /\ request.term = term
        /\ Vote(r, request)

\* Nothing is a step, too.
Acknowledges(r, term, index) ==
    /\ term = Now(r).term
    /\ IF index = 0 THEN UNCHANGED vars ELSE Acknowledge(r, index)

CommitsHere(r, index) ==
    /\ Commit(r, index)
    /\ commit' = [commit EXCEPT ![r] = index]
    /\ UNCHANGED <<state, kept, purged>>

\* A checkpoint shows only by what is purged after it.
PurgesTo(r, index) ==
    /\ index \in purged[r] + 1 .. Len(state[r])
    /\ purged' = [purged EXCEPT ![r] = index]
    /\ kept' = [kept EXCEPT ![r] = Upto(state[r], Max({Len(@), index}))]
    /\ UNCHANGED <<vars, commit, state>>

\* Which writes a crash kept, and what of the state, the trace may leave open.
Restarts(r, step) ==
    \E writes \in 0 .. Len(images[r]) - 1, size \in Len(kept[r]) .. Len(state[r]) :
        /\ "writes" \in DOMAIN step => writes = step.writes
        /\ "applied" \in DOMAIN step => size = step.applied
        /\ RestartAt(r, writes, size)

-----------------------------------------------------------------------------
OfTheProtocol(r, step) ==
    CASE step.action = "learn_term" -> LearnTerm(r, step.term)
      [] step.action = "campaign" -> Campaign(r)
      [] step.action = "ask" -> Ask(r)
      [] step.action = "vote" -> Votes(r, step.candidate, step.term)
      [] step.action = "tell_vote" -> Now(r).vote = step.candidate /\ TellVote(r)
      [] step.action = "lead" -> Lead(r)
      [] step.action = "append" -> Appends(r, step.entries)
      [] step.action = "accept" -> Accepts(r, step.term, step.previous, step.entries)
      [] step.action = "acknowledge" -> Acknowledges(r, step.term, step.index)
      [] step.action = "persisted" -> Persisted(r, step.writes)
      [] OTHER -> FALSE

OfTheState(r, step) ==
    CASE step.action = "restart" -> Restarts(r, step)
      [] step.action = "commit" -> CommitsHere(r, step.index)
      [] step.action = "learn_commit" -> LearnCommit(r, step.index)
      [] step.action = "apply" -> Apply(r, step.index)
      [] step.action = "install" -> Install(r, step.index)
      [] step.action = "purge" -> PurgesTo(r, step.index)
      [] OTHER -> FALSE

Follows(step) ==
    \/ OfTheProtocol(step.replica, step) /\ UNCHANGED stateVars
    \/ OfTheState(step.replica, step)

TraceNext ==
    \/ /\ at <= Len(Steps)
       /\ Follows(Steps[at])
       /\ at' = at + 1
    \/ at > Len(Steps) /\ UNCHANGED <<allVars, at>>

TraceSpec == TraceInit /\ [][TraceNext]_<<allVars, at>>

=============================================================================
