----------------------------- MODULE Snapshots -----------------------------
(***************************************************************************)
(* State machines: commit, apply, checkpoints, cutting the log from the    *)
(* front, and snapshots.                                                   *)
(*                                                                         *)
(* A state is the sequence of entries it was made of.  So a snapshot is    *)
(* such a sequence, and replay and snapshot can be compared.  Logs keep    *)
(* their cut entries here as a memory of what they were: `purged` says     *)
(* that nobody may read them any more.                                     *)
(***************************************************************************)
EXTENDS Membership

VARIABLES
    commit,     \* of each replica: what it knows to be committed
    state,      \* of each replica: the entries that its state machine has applied
    kept,       \* of each replica: what a crash leaves of that
    purged      \* of each replica: its log can be read after this index only

stateVars == <<commit, state, kept, purged>>

allVars == <<vars, stateVars>>

SnapshotsInit ==
    /\ commit = [r \in Replicas |-> 0]
    /\ state = [r \in Replicas |-> <<>>]
    /\ kept = [r \in Replicas |-> <<>>]
    /\ purged = [r \in Replicas |-> 0]

-----------------------------------------------------------------------------
\* A leader's word holds for what a log shares with its log, whichever leader knew it
\* first: a new one passes on what it knows to be committed.
LearnCommit(r, index) ==
    /\ index > commit[r]
    /\ \E term \in Terms :
           /\ index <= told[term]
           /\ Agree(Now(r).log, led[term], index)
    /\ commit' = [commit EXCEPT ![r] = index]
    /\ UNCHANGED <<vars, state, kept, purged>>

\* What may be applied: what is committed, and durable in the own log.
ApplicableTo(r) == Least(commit[r], Agreement(Disk(r).log, Now(r).log))

Apply(r, index) ==
    /\ index \in Len(state[r]) + 1 .. ApplicableTo(r)
    /\ state' = [state EXCEPT ![r] = Upto(Now(r).log, index)]
    /\ UNCHANGED <<vars, commit, kept, purged>>

Checkpoint(r, index) ==
    /\ index \in Len(kept[r]) + 1 .. Len(state[r])
    /\ kept' = [kept EXCEPT ![r] = Upto(state[r], index)]
    /\ UNCHANGED <<vars, commit, state, purged>>

\* The log is cut below what a crash leaves of the state machine.
PurgeableTo(r) == Len(kept[r])

Purge(r, index) ==
    /\ index \in purged[r] + 1 .. PurgeableTo(r)
    /\ purged' = [purged EXCEPT ![r] = index]
    /\ UNCHANGED <<vars, commit, state, kept>>

\* A snapshot is a state of the leader's.  What leaders up to its term committed
\* is all that it can have applied.
MayBeOffered(term, index) == index <= Max({told[t] : t \in 1 .. term})

\* A state of a term that the disk has never been in would look, after a crash,
\* as if it were another replica's.
MayTakeOver(r, term) == term <= Disk(r).term

\* First the state takes the snapshot over, durably.
Restore(r, index) ==
    LET term == Now(r).term
    IN  /\ term # 0
        /\ ~IsLedBy(r, term)
        /\ index \in Len(state[r]) + 1 .. Len(led[term])
        /\ MayBeOffered(term, index)
        /\ MayTakeOver(r, TermAt(led[term], index))
        /\ state' = [state EXCEPT ![r] = Upto(led[term], index)]
        /\ kept' = [kept EXCEPT ![r] = Upto(led[term], index)]
        /\ UNCHANGED <<vars, commit, purged>>

\* Then the log follows.  One that holds the end of the snapshot stays as it is;
\* any other starts anew there.
Install(r) ==
    LET size == Len(state[r])
        holds == size <= Len(Now(r).log) /\ TermAt(Now(r).log, size) = TermAt(state[r], size)
    IN  /\ size > commit[r]
        /\ commit' = [commit EXCEPT ![r] = size]
        /\ Write(r, IF holds THEN Now(r) ELSE [Now(r) EXCEPT !.log = state[r]])
        /\ purged' = IF holds THEN purged ELSE [purged EXCEPT ![r] = size]
        /\ UNCHANGED <<role, facts, state, kept>>

\* What a crash leaves of the state is as good as a durable log.
AcknowledgeState(r, index) ==
    LET term == Claimable(r).term
    IN  /\ term # 0
        /\ ~IsLedBy(r, term)
        /\ index \in acked[term][r] + 1 .. Len(kept[r])
        /\ Agree(kept[r], led[term], index)
        /\ acked' = [acked EXCEPT ![term][r] = index]
        /\ UNCHANGED <<images, role, asked, voted, elected, led, told, stateVars>>

\* A state that is ahead of its log replaces it before anything else happens.
LogAtStart(some, log) == IF Agree(some, log, Len(some)) THEN log ELSE some

\* A crash leaves what was kept of the state.
RestartHere(r, writes) ==
    LET image == images[r][writes + 1]
        log == LogAtStart(kept[r], image.log)
        size == Len(kept[r])
    IN  /\ writes \in 0 .. Len(images[r]) - 1
        /\ images' = [images EXCEPT ![r] = <<[image EXCEPT !.log = log]>>]
        /\ role' = [role EXCEPT ![r] = "follower"]
        /\ state' = [state EXCEPT ![r] = kept[r]]
        /\ commit' = [commit EXCEPT ![r] = size]
        /\ purged' = [purged EXCEPT ![r] = IF log = image.log THEN @ ELSE size]
        /\ UNCHANGED <<facts, kept>>

-----------------------------------------------------------------------------
\* What a log has cut cannot be sent any more.  What was sent before may still
\* arrive, so it is no use to the specification to forbid it: a replica that
\* takes such an append in holds those entries already, or takes a snapshot.
StateStep(r) ==
    LET term == Now(r).term
    IN  \/ \E earlier \in Terms : LearnCommit(r, told[earlier])
        \/ Apply(r, ApplicableTo(r))
        \/ Checkpoint(r, Len(state[r]))
        \/ Purge(r, PurgeableTo(r))
        \/ \E index \in 1 .. Len(led[Max({1, term})]) : Restore(r, index)
        \/ Install(r)
        \/ AcknowledgeState(r, Len(kept[r]))
        \/ RestartHere(r, 0)

SnapshotsNext ==
    \E r \in Replicas :
        \/ (Step(r) \/ ChangeStep(r)) /\ UNCHANGED stateVars
        \/ StateStep(r)

SnapshotsSpec == Init /\ SnapshotsInit /\ [][SnapshotsNext]_allVars

-----------------------------------------------------------------------------
\* No two replicas ever apply different entries at an index, and a snapshot is
\* what replay would give.
StatesAgree ==
    \A one, other \in Replicas :
        Len(state[one]) <= Len(state[other]) => Agree(state[one], state[other], Len(state[one]))

\* What is applied is what leaders committed.
AppliedIsCommitted ==
    \A r \in Replicas :
        state[r] = <<>> \/ \E t \in Terms : Agree(state[r], Committed(t), Len(state[r]))

\* What was said outlives a crash, in the log or in the state.
Left(r) == LogAtStart(kept[r], Disk(r).log)

SaidSurvives ==
    /\ VotesAreDurable
    /\ \A t \in Terms, r \in Replicas :
           acked[t][r] > 0 =>
               \/ Disk(r).term > t
               \/ Disk(r).term = t /\ Agree(Left(r), led[t], acked[t][r])

CommittedSurvives ==
    [][\A t \in Terms : told'[t] # told[t] =>
           IsQuorum(MembershipIn(led[t]),
                    {q \in Replicas : Agree(Left(q), led[t], told'[t])})]_allVars

\* No log reaches into a term that its replica has not been in.
LogIsWithinTerm ==
    \A r \in Replicas : LastTerm(Left(r)) <= Disk(r).term /\ LastTerm(Now(r).log) <= Now(r).term

\* After a crash the log goes on where the state machine stands.
NothingIsMissing ==
    \A r \in Replicas : purged[r] <= Len(kept[r]) /\ Len(kept[r]) <= Len(state[r])

\* Nothing committed is ever cut from the end of a log.
KeepsCommitted == \A r \in Replicas : commit[r] <= Len(Now(r).log)

=============================================================================
