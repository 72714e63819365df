-------------------------------- MODULE Reads --------------------------------
(***************************************************************************)
(* Linearizable reads: by a round of heartbeats, and by the lease.         *)
(*                                                                         *)
(* This is the module with time.  `now` is true time, which nobody sees.   *)
(* What a clock measures as `Timeout` takes at least `Timeout - Drift` and *)
(* at most `Timeout + Drift`.  Of both bounds the worse one is taken: a    *)
(* voter's clock is as fast, and a leader's as slow, as they may be.       *)
(***************************************************************************)
EXTENDS Membership

CONSTANTS
    Timeout,    \* for how long a voter that heard a leader refuses to vote
    Drift,      \* by how much a clock may misjudge that
    NoRead      \* nobody reads

VARIABLES
    now,        \* true time
    promised,   \* of each replica: until when it votes for nobody
    begun,      \* said, of each term: when each round of its leader was sent
    answered,   \* said, of each term and replica: the latest round it answered
    handed,     \* said: terms whose leader asked a successor to campaign
    read        \* a read that waits for its round

readVars == <<now, promised, begun, answered, handed, read>>

allVars == <<vars, readVars>>

ReadsInit ==
    /\ now = 0
    /\ promised = [r \in Replicas |-> 0]
    /\ begun = [t \in Terms |-> <<>>]
    /\ answered = [t \in Terms |-> [r \in Replicas |-> 0]]
    /\ handed = {}
    /\ read = NoRead

-----------------------------------------------------------------------------
\* The lease is shorter than a voter's promise by what both clocks may drift.
LeaseTime == Timeout - 2 * Drift

PromiseFrom(time) == time + Timeout - Drift

\* A start counts as having heard a leader: it may have been heard before.
PromiseAtStart(r) == Max({promised[r], PromiseFrom(now)})

\* The leader asked for it itself, and has given up its lease.
IsHandedOver(term) == term \in handed

\* Whether a replica may help to depose the leader of the term before `term`.
IsFree(r, term) == now >= promised[r] \/ IsHandedOver(term - 1)

IsBarred(term) == IsHandedOver(term)

\* Any round that begins after a read arrived confirms it.
RoundFor(r) == Len(begun[Now(r).term]) + 1

-----------------------------------------------------------------------------
Tick ==
    /\ now' = now + 1
    /\ UNCHANGED <<vars, promised, begun, answered, handed, read>>

BeginRound(r) ==
    /\ role[r] = "leader"
    /\ begun' = [begun EXCEPT ![Now(r).term] = Append(@, now)]
    /\ UNCHANGED <<vars, now, promised, answered, handed, read>>

AnswerRound(r, round) ==
    LET term == Now(r).term
    IN  /\ term # 0
        /\ Claimable(r).term = term
        /\ ~IsLedBy(r, term)
        /\ round \in answered[term][r] + 1 .. Len(begun[term])
        /\ answered' = [answered EXCEPT ![term][r] = round]
        /\ promised' = [promised EXCEPT ![r] = Max({@, PromiseFrom(now)})]
        /\ UNCHANGED <<vars, now, begun, handed, read>>

HandOver(r) ==
    /\ role[r] = "leader"
    /\ handed' = handed \cup {Now(r).term}
    /\ UNCHANGED <<vars, now, promised, begun, answered, read>>

-----------------------------------------------------------------------------
IsPromisedUntil(r, q) ==
    LET term == Now(r).term
        round == answered[term][q]
    IN  round > 0 /\ now < begun[term][round] + LeaseTime + Drift

\* Whether the leader believes that nobody else can have been elected.
HoldsLease(r) ==
    /\ role[r] = "leader"
    /\ KnowsCommit(r)
    /\ ~IsBarred(Now(r).term)
    /\ Decides(InForce(r), {r} \cup {q \in Replicas : IsPromisedUntil(r, q)})

\* The read gets what its leader has committed.  `floor` is what a client may have
\* seen by then, whoever committed it; the leader does not know that.
Read(r) ==
    /\ read = NoRead
    /\ role[r] = "leader"
    /\ KnowsCommit(r)
    /\ read' = [leader |-> r, term |-> Now(r).term, index |-> told[Now(r).term],
                round |-> RoundFor(r), floor |-> Max({told[t] : t \in Terms})]
    /\ UNCHANGED <<vars, now, promised, begun, answered, handed>>

IsConfirmed(some) ==
    /\ role[some.leader] = "leader"
    /\ Now(some.leader).term = some.term
    /\ Decides(InForce(some.leader),
               {some.leader} \cup {q \in Replicas : answered[some.term][q] >= some.round})

-----------------------------------------------------------------------------
\* Voters keep their promises, to themselves, too.  All they do else is as ever.
PromisingStep(r) ==
    \/ /\ DeposingStep(r)
       /\ IsFree(r, Now(r)'.term)
       /\ UNCHANGED readVars
    \/ /\ Restart(r, 0)
       /\ promised' = [promised EXCEPT ![r] = PromiseAtStart(r)]
       /\ UNCHANGED <<now, begun, answered, handed, read>>

ReadStep(r) ==
    \/ BeginRound(r)
    \/ \E round \in 1 .. Len(begun[Max({1, Now(r).term})]) : AnswerRound(r, round)
    \/ HandOver(r)
    \/ Read(r)

ReadsNext ==
    \/ Tick
    \/ \E r \in Replicas :
           \/ PromisingStep(r)
           \/ (PlainStep(r) \/ ChangeStep(r)) /\ UNCHANGED readVars
           \/ ReadStep(r)

ReadsSpec == Init /\ ReadsInit /\ [][ReadsNext]_allVars

-----------------------------------------------------------------------------
\* A read that is served shows every write that was acknowledged before it came.
ReadIsFresh ==
    read # NoRead /\ IsConfirmed(read) => read.index >= read.floor

\* While a lease holds, no later term has a leader, so none has committed.
LeaseExclusion ==
    \A r \in Replicas, t \in Terms :
        HoldsLease(r) /\ t > Now(r).term => ~HasLeader(t)

LeaseReadIsFresh ==
    \A r \in Replicas, t \in Terms : HoldsLease(r) => told[t] <= told[Now(r).term]

=============================================================================
