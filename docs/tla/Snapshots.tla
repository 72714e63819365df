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
\* The leader's word holds for what a log shares with its log.
LearnCommit(r, index) ==
    LET term == Now(r).term
    IN  /\ term # 0
        /\ index > commit[r]
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

Checkpoint(r) ==
    /\ kept' = [kept EXCEPT ![r] = state[r]]
    /\ UNCHANGED <<vars, commit, state, purged>>

\* The log is cut below what a crash leaves of the state machine.
MayPurge(r, index) == index <= Len(kept[r])

Purge(r, index) ==
    /\ index \in purged[r] + 1 .. Len(Now(r).log)
    /\ MayPurge(r, index)
    /\ purged' = [purged EXCEPT ![r] = index]
    /\ UNCHANGED <<vars, commit, state, kept>>

\* A snapshot is a state of the leader's.  What leaders up to its term committed
\* is all that it can have applied.
MayBeOffered(term, index) == index <= Max({told[t] : t \in 1 .. term})

\* First the state, durably; then the log.  A log that holds the end of the
\* snapshot stays as it is; any other starts anew there.
Install(r, index) ==
    LET term == Now(r).term
        log == Now(r).log
        holds == index <= Len(log) /\ TermAt(log, index) = TermAt(led[term], index)
    IN  /\ term # 0
        /\ ~IsLedBy(r, term)
        /\ index \in Len(state[r]) + 1 .. Len(led[term])
        /\ MayBeOffered(term, index)
        /\ state' = [state EXCEPT ![r] = Upto(led[term], index)]
        /\ kept' = [kept EXCEPT ![r] = Upto(led[term], index)]
        /\ commit' = [commit EXCEPT ![r] = Max({@, index})]
        /\ Write(r, IF holds THEN Now(r) ELSE [Now(r) EXCEPT !.log = Upto(led[term], index)])
        /\ purged' = IF holds THEN purged ELSE [purged EXCEPT ![r] = index]
        /\ role' = [role EXCEPT ![r] = "follower"]
        /\ UNCHANGED <<facts>>

\* A crash, in which the state machine kept what it had applied up to `size`.  A
\* state that is ahead of its log replaces it before anything else happens.
RestartAt(r, writes, size) ==
    LET image == images[r][writes + 1]
        left == Upto(state[r], size)
        holds == Agree(left, image.log, size)
        log == IF holds THEN image.log ELSE left
    IN  /\ writes \in 0 .. Len(images[r]) - 1
        /\ size \in Len(kept[r]) .. Len(state[r])
        /\ images' = [images EXCEPT ![r] = <<[image EXCEPT !.log = log]>>]
        /\ role' = [role EXCEPT ![r] = "follower"]
        /\ state' = [state EXCEPT ![r] = left]
        /\ kept' = [kept EXCEPT ![r] = left]
        /\ commit' = [commit EXCEPT ![r] = size]
        /\ purged' = [purged EXCEPT ![r] = IF holds THEN @ ELSE size]
        /\ UNCHANGED facts

-----------------------------------------------------------------------------
\* What a log has cut cannot be sent any more.  What was sent before may still
\* arrive, so it is no use to the specification to forbid it: a replica that
\* takes such an append in holds those entries already, or takes a snapshot.
StateStep(r) ==
    LET term == Now(r).term
    IN  \/ term # 0 /\ LearnCommit(r, told[term])
        \/ Apply(r, ApplicableTo(r))
        \/ Checkpoint(r)
        \/ Purge(r, Len(kept[r]))
        \/ \E index \in 1 .. Len(led[Max({1, term})]) : Install(r, index)
        \/ RestartAt(r, 0, Len(kept[r]))

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

\* After a crash the log goes on where the state machine stands.
NothingIsMissing ==
    \A r \in Replicas : purged[r] <= Len(kept[r]) /\ Len(kept[r]) <= Len(state[r])

\* Nothing committed is ever cut from the end of a log.
KeepsCommitted == \A r \in Replicas : commit[r] <= Len(Now(r).log)

=============================================================================
