------------------------------- MODULE MCRaft -------------------------------
(* Small groups for the checker: bounds, symmetry, and places to begin at. *)
EXTENDS Membership, TLC

CONSTANTS
    MaxLog,     \* longest log
    MaxIssued   \* most writes under way on one replica

Symmetry == Permutations(Replicas)

All == Of(Replicas)

\* Whom somebody may want instead: nobody, one voter less, one voter alone.
NoTargets == {}

OneLess == {Of(Replicas \ {r}) : r \in Replicas}

OneAlone == {Of({r}) : r \in Replicas}

IsWithinBounds ==
    \A r \in Replicas :
        /\ Len(Now(r).log) <= MaxLog
        /\ Len(images[r]) <= MaxIssued + 1

-----------------------------------------------------------------------------
(* What may be said is said at once, before anything else happens.  Nothing   *)
(* is lost by that: to have said more never forbids a step, and the           *)
(* properties ask for the more the more was said.                             *)
HasMoreToSay(r) ==
    \/ MayAsk(r)
    \/ MayTellVote(r) /\ BallotOf(r) \notin voted
    \/ LET index == Acknowledgeable(r)
           term == Claimable(r).term
       IN  index > 0 /\ ~IsLedBy(r, term) /\ index > acked[term][r]

Talkers == {r \in Replicas : HasMoreToSay(r)}

Say == \E r \in Talkers : Ask(r) \/ TellVote(r) \/ Acknowledge(r, Acknowledgeable(r))

ModelNext == IF Talkers = {} THEN MembershipNext ELSE Say

-----------------------------------------------------------------------------
\* For Write, in models that are about something else: a disk that takes everything
\* at once.
WriteThrough(r, image) == images' = [images EXCEPT ![r] = <<image>>]

Blank(term) == [term |-> term, membership |-> Plain]

\* Term 1 has a leader, whose first entry is committed and everywhere.
BeginLed ==
    \E leader \in Replicas :
        LET log == <<Blank(1)>>
        IN  /\ leader \in Founders.voters
            /\ images = [r \in Replicas |-> <<[term |-> 1, vote |-> leader, log |-> log]>>]
            /\ role = [r \in Replicas |-> IF r = leader THEN "leader" ELSE "follower"]
            /\ asked = {[term |-> 1, candidate |-> leader, lastTerm |-> 0, lastIndex |-> 0]}
            /\ voted = [term : {1}, voter : Replicas \ {leader}, candidate : {leader}]
            /\ elected = {[term |-> 1, replica |-> leader]}
            /\ led = [t \in Terms |-> IF t = 1 THEN log ELSE <<>>]
            /\ acked = [t \in Terms |-> [r \in Replicas |-> IF t = 1 /\ r # leader THEN 1 ELSE 0]]
            /\ told = [t \in Terms |-> IF t = 1 THEN 1 ELSE 0]

FromStart == Init /\ [][ModelNext]_vars

FromLed == BeginLed /\ [][ModelNext]_vars
=============================================================================
