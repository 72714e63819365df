------------------------------ MODULE Mistakes ------------------------------
(***************************************************************************)
(* Classic mistakes.  Each model in the folder `mistakes` puts one of      *)
(* these in the place of a rule of the specification, and the checker must *)
(* find what is violated then.                                             *)
(***************************************************************************)
EXTENDS MCRaft

\* For Claimable: votes and entries are claimed before they are durable.
ClaimsWritten(r) == Now(r)

\* For Acknowledgeable: entries are acknowledged before they are durable.
AcknowledgesWritten(r) ==
    LET term == Disk(r).term
    IN  IF term = 0 THEN 0 ELSE Agreement(Now(r).log, led[term])

\* For MayCount: copies of any entry count (Raft 5.4.2).
CountsAnyTerm(r, index) == TRUE

\* For Decides: of two joint sets of voters the new one is enough (Raft 6).
NewVotersDecide(membership, set) == IsMajority(membership.voters, set)

\* For Decides: half of the voters are enough.
HalfDecides(membership, set) ==
    2 * Cardinality(membership.voters \cap set) >= Cardinality(membership.voters)

\* For FirstStep: voters change at once, without a joint membership.
WithoutJoint(from, to) == to

\* For KnowsCommit: a new leader changes members before its first commit (Ongaro 2015).
KnowsAtOnce(r) == TRUE

\* For IsUpToDate: a log is compared by its length alone (Raft 5.4.1).
IsAsLong(request, log) == request.lastIndex >= Len(log)

\* For Merged: an append ends the log, whatever came after it.
CutsBehind(log, previous, sent) == Upto(log, previous) \o sent

-----------------------------------------------------------------------------
(* Places to begin at, close to where a mistake shows.  All can be reached  *)
(* without any.                                                             *)

Image(term, vote, log) == <<[term |-> term, vote |-> vote, log |-> log]>>

Request(term, candidate, log) ==
    [term |-> term, candidate |-> candidate,
     lastTerm |-> LastTerm(log), lastIndex |-> Len(log)]

Ballots(term, voters, candidate) ==
    [term : {term}, voter : voters, candidate : {candidate}]

NothingAcked == [t \in Terms |-> [r \in Replicas |-> 0]]

\* Raft figure 8 (b): one leader's entry is on its disk alone, and a later one's too.
BeginFigure8 ==
    \E one, two, three \in Replicas :
        /\ Cardinality({one, two, three}) = 3
        /\ images = [r \in Replicas |->
               IF r = one THEN Image(2, Nobody, <<Blank(1)>>)
               ELSE IF r = two THEN Image(2, two, <<Blank(2)>>)
               ELSE Image(2, two, <<>>)]
        /\ role = [r \in Replicas |-> "follower"]
        /\ asked = {Request(1, one, <<>>), Request(2, two, <<>>)}
        /\ voted = Ballots(1, {three}, one) \cup Ballots(2, {three}, two)
        /\ elected = {[term |-> 1, replica |-> one], [term |-> 2, replica |-> two]}
        /\ led = [t \in Terms |-> IF t <= 2 THEN <<Blank(t)>> ELSE <<>>]
        /\ acked = NothingAcked
        /\ told = [t \in Terms |-> 0]

Figure8 == BeginFigure8 /\ [][ModelNext]_vars

\* Two leaders of which the former has heard nothing of the latter; neither has
\* appended anything.
BeginDeposed ==
    \E former, latter \in Replicas :
        LET others == Replicas \ {former, latter}
        IN  /\ former # latter
            /\ images = [r \in Replicas |->
                   IF r = former THEN Image(1, former, <<>>) ELSE Image(2, latter, <<>>)]
            /\ role = [r \in Replicas |-> IF r \in others THEN "follower" ELSE "leader"]
            /\ asked = {Request(1, former, <<>>), Request(2, latter, <<>>)}
            /\ voted = Ballots(1, others, former) \cup Ballots(2, others, latter)
            /\ elected = {[term |-> 1, replica |-> former], [term |-> 2, replica |-> latter]}
            /\ led = [t \in Terms |-> <<>>]
            /\ acked = NothingAcked
            /\ told = [t \in Terms |-> 0]

Deposed == BeginDeposed /\ [][ModelNext]_vars

=============================================================================
