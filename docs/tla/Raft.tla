-------------------------------- MODULE Raft --------------------------------
(***************************************************************************)
(* One group of Raft as this project runs it: elections, replication,      *)
(* commit, and disks.                                                      *)
(*                                                                         *)
(* The network may lose, delay, reorder, repeat and replay.  So messages   *)
(* are facts: what was said once may be heard at any time, or never.       *)
(*                                                                         *)
(* A replica acts on what it has written, before its disk has.  Writes     *)
(* become durable one after the other, and a crash leaves some first part  *)
(* of them.  What claims to be durable is said when it is.                 *)
(*                                                                         *)
(* Whoever may do something may also leave it undone.  So what only keeps  *)
(* a group calm has no step here: pre-votes, check-quorum and timeouts     *)
(* decide when a replica campaigns, not whether that is safe.              *)
(***************************************************************************)
EXTENDS Quorums

CONSTANTS
    Replicas,   \* whoever may ever belong to the group
    Founders,   \* the membership that the group begins with
    Nobody,     \* no replica: a vote that was not given
    MaxTerm     \* terms are bounded, so that they can be enumerated

Terms == 1 .. MaxTerm

VARIABLES
    images,     \* of each replica: its state on disk, then after each write under way
    role,       \* of each replica: follower, candidate or leader
    asked,      \* said: a candidate asked for votes, with the end of its log
    voted,      \* said: a voter gave its vote
    elected,    \* a replica began to lead a term; kept for ever
    led,        \* of each term: the log of its leader, as far as it ever went
    acked,      \* said, of each term and replica: durable up to here, as the leader has it
    told        \* said, of each term: its leader committed up to here

vars == <<images, role, asked, voted, elected, led, acked, told>>

facts == <<asked, voted, elected, led, acked, told>>

-----------------------------------------------------------------------------
(* What a replica knows, and what its disk does.                           *)

Disk(r) == Head(images[r])

Now(r) == images[r][Len(images[r])]

MembershipIn(log) ==
    LET place == PlaceOfMembership(log)
    IN  IF place = 0 THEN Founders ELSE log[place].membership

InForce(r) == MembershipIn(Now(r).log)

IsLedBy(r, term) == [term |-> term, replica |-> r] \in elected

HasLeader(term) == \E r \in Replicas : IsLedBy(r, term)

\* The replica acts on `image` at once; its disk follows.
Write(r, image) ==
    images' = IF image = Now(r)
              THEN images
              ELSE [images EXCEPT ![r] = Append(@, image)]

\* What may be claimed: all that the disk holds.  This and the rules after it have
\* names of their own, so that models of mistakes can replace them.
Claimable(r) == Disk(r)

\* Who decides: a quorum of the membership in force.
Decides(membership, set) == IsQuorum(membership, set)

\* Raft 5.4.2: only an entry of the leader's own term commits by its copies.
MayCount(r, index) == Now(r).log[index].term = Now(r).term

-----------------------------------------------------------------------------
Init ==
    /\ images = [r \in Replicas |-> <<[term |-> 0, vote |-> Nobody, log |-> <<>>]>>]
    /\ role = [r \in Replicas |-> "follower"]
    /\ asked = {}
    /\ voted = {}
    /\ elected = {}
    /\ led = [t \in Terms |-> <<>>]
    /\ acked = [t \in Terms |-> [r \in Replicas |-> 0]]
    /\ told = [t \in Terms |-> 0]

-----------------------------------------------------------------------------
(* Disks.                                                                  *)

\* The first `writes` of those under way are durable.
Persisted(r, writes) ==
    /\ writes \in 1 .. Len(images[r]) - 1
    /\ images' = [images EXCEPT ![r] = SubSeq(@, writes + 1, Len(@))]
    /\ UNCHANGED <<role, facts>>

\* A crash, in which the first `writes` of those under way were kept.
Restart(r, writes) ==
    /\ writes \in 0 .. Len(images[r]) - 1
    /\ images' = [images EXCEPT ![r] = <<@[writes + 1]>>]
    /\ role' = [role EXCEPT ![r] = "follower"]
    /\ UNCHANGED facts

-----------------------------------------------------------------------------
(* Elections.                                                              *)

\* Any message tells its sender's term, and is sent when that is durable.
LearnTerm(r, term) ==
    /\ term > Now(r).term
    /\ \E q \in Replicas : Claimable(q).term >= term
    /\ Write(r, [Now(r) EXCEPT !.term = term, !.vote = Nobody])
    /\ role' = [role EXCEPT ![r] = "follower"]
    /\ UNCHANGED facts

\* A leader that campaigns has stepped down before, which nobody sees.
Campaign(r) ==
    /\ r \in VotersOf(InForce(r))
    /\ Now(r).term < MaxTerm
    /\ Write(r, [Now(r) EXCEPT !.term = @ + 1, !.vote = r])
    /\ role' = [role EXCEPT ![r] = "candidate"]
    /\ UNCHANGED facts

\* What is said is read off the disk.  Its sender may have moved on by then.  A
\* candidate asks once a term.
MayAsk(r) ==
    /\ Claimable(r).vote = r
    /\ ~\E request \in asked :
           request.term = Claimable(r).term /\ request.candidate = r

RequestOf(r) ==
    [term |-> Claimable(r).term, candidate |-> r,
     lastTerm |-> LastTerm(Claimable(r).log), lastIndex |-> Len(Claimable(r).log)]

Ask(r) ==
    /\ MayAsk(r)
    /\ asked' = asked \cup {RequestOf(r)}
    /\ UNCHANGED <<images, role, voted, elected, led, acked, told>>

\* Raft 5.4.1.
IsUpToDate(request, log) ==
    \/ request.lastTerm > LastTerm(log)
    \/ request.lastTerm = LastTerm(log) /\ request.lastIndex >= Len(log)

Vote(r, request) ==
    /\ request \in asked
    /\ request.term = Now(r).term
    /\ Now(r).vote = Nobody
    /\ IsUpToDate(request, Now(r).log)
    /\ Write(r, [Now(r) EXCEPT !.vote = request.candidate])
    /\ UNCHANGED <<role, facts>>

MayTellVote(r) == Claimable(r).vote \notin {Nobody, r}

BallotOf(r) ==
    [term |-> Claimable(r).term, voter |-> r, candidate |-> Claimable(r).vote]

TellVote(r) ==
    /\ MayTellVote(r)
    /\ voted' = voted \cup {BallotOf(r)}
    /\ UNCHANGED <<images, role, asked, elected, led, acked, told>>

VotersFor(r) ==
    {q \in Replicas : [term |-> Now(r).term, voter |-> q, candidate |-> r] \in voted}

\* A candidate's own vote counts when it is durable, like every other.
Lead(r) ==
    /\ role[r] = "candidate"
    /\ Claimable(r).term = Now(r).term
    /\ Decides(InForce(r), VotersFor(r) \cup {r})
    /\ role' = [role EXCEPT ![r] = "leader"]
    /\ elected' = elected \cup {[term |-> Now(r).term, replica |-> r]}
    /\ led' = [led EXCEPT ![Now(r).term] = Now(r).log]
    /\ UNCHANGED <<images, asked, voted, acked, told>>

-----------------------------------------------------------------------------
(* Replication.                                                            *)

\* A leader appends, and may send what it appended before it is durable.
AppendEntries(r, memberships) ==
    LET new == [i \in 1 .. Len(memberships) |->
                   [term |-> Now(r).term, membership |-> memberships[i]]]
        log == Now(r).log \o new
    IN  /\ role[r] = "leader"
        /\ Write(r, [Now(r) EXCEPT !.log = log])
        /\ led' = [led EXCEPT ![Now(r).term] = log]
        /\ UNCHANGED <<role, asked, voted, elected, acked, told>>

\* What a log becomes by an append: what contradicts is cut, what is there
\* stays, and so does what comes after it.
Merged(log, previous, sent) ==
    LET whole == Upto(log, previous) \o sent
        differs == \E i \in 1 .. Len(whole) :
                       i > Len(log) \/ TermAt(log, i) # TermAt(whole, i)
    IN  IF differs THEN whole ELSE log

\* Any part of what the leader of this term ever had may arrive.  Only the term
\* of the entry before it is compared (Raft 5.3).
Accept(r, previous, count) ==
    LET term == Now(r).term
        log == Now(r).log
    IN  /\ term # 0
        /\ HasLeader(term)
        /\ ~IsLedBy(r, term)
        /\ previous + count <= Len(led[term])
        /\ previous <= Len(log)
        /\ TermAt(log, previous) = TermAt(led[term], previous)
        /\ Write(r, [Now(r) EXCEPT
               !.log = Merged(@, previous, SubSeq(led[term], previous + 1, previous + count))])
        /\ role' = [role EXCEPT ![r] = "follower"]
        /\ UNCHANGED facts

\* Up to where a replica's disk has the log of its term's leader.
Acknowledgeable(r) ==
    LET term == Claimable(r).term
    IN  IF term = 0 THEN 0 ELSE Agreement(Claimable(r).log, led[term])

Acknowledge(r, index) ==
    LET term == Claimable(r).term
    IN  /\ index \in 1 .. Acknowledgeable(r)
        /\ ~IsLedBy(r, term)
        /\ acked' = [acked EXCEPT ![term][r] = Max({@, index})]
        /\ UNCHANGED <<images, role, asked, voted, elected, led, told>>

-----------------------------------------------------------------------------
(* Commit.                                                                 *)

\* A leader's own copy counts when it is durable, and is not needed before.
Holders(r, index) ==
    {q \in Replicas : acked[Now(r).term][q] >= index}
        \cup IF Agree(Claimable(r).log, Now(r).log, index) THEN {r} ELSE {}

Commit(r, index) ==
    LET term == Now(r).term
    IN  /\ role[r] = "leader"
        /\ index > told[term]
        /\ index <= Len(Now(r).log)
        /\ MayCount(r, index)
        /\ Decides(InForce(r), Holders(r, index))
        /\ told' = [told EXCEPT ![term] = index]
        /\ UNCHANGED <<images, role, asked, voted, elected, led, acked>>

-----------------------------------------------------------------------------
\* Entries are accepted one by one here: several at once are several steps, and
\* the crash that leaves all or none of them is one of theirs.  A replica
\* acknowledges all that it may: a leader may make less of it.  The first entry
\* of a leader is a blank one, which looks like a command here.
DeposingStep(r) ==
    \/ Campaign(r)
    \/ \E request \in asked : Vote(r, request)

PlainStep(r) ==
    \/ Persisted(r, 1)
    \/ \E term \in Terms : LearnTerm(r, term)
    \/ Ask(r)
    \/ TellVote(r)
    \/ Lead(r)
    \/ AppendEntries(r, <<Plain>>)
    \/ \E previous \in 0 .. Len(Now(r).log) : Accept(r, previous, 1)
    \/ Acknowledge(r, Acknowledgeable(r))
    \/ \E index \in 1 .. Len(Now(r).log) : Commit(r, index)

Step(r) == DeposingStep(r) \/ PlainStep(r)

\* A crash keeps nothing that is under way: what it keeps was durable before it.
Next == \E r \in Replicas : Step(r) \/ Restart(r, 0)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* What holds.                                                             *)

Committed(term) == Upto(led[term], told[term])

Logs == {Now(r).log : r \in Replicas} \cup {led[t] : t \in Terms}

ElectionSafety ==
    \A one, other \in elected : one.term = other.term => one = other

\* A candidate that asked has voted for itself.
VotesSaid ==
    voted \cup {[term |-> a.term, voter |-> a.candidate, candidate |-> a.candidate] : a \in asked}

VoteUniqueness ==
    \A one, other \in VotesSaid :
        one.term = other.term /\ one.voter = other.voter => one = other

LogMatching ==
    \A one, other \in Logs :
        \A i \in 1 .. Least(Len(one), Len(other)) :
            one[i].term = other[i].term => Agree(one, other, i)

LeaderCompleteness ==
    \A earlier, later \in Terms :
        earlier < later /\ HasLeader(later)
            => Agree(led[earlier], led[later], told[earlier])

\* No two terms commit different entries at an index.
StateMachineSafety ==
    \A one, other \in Terms :
        told[one] <= told[other] => Agree(led[one], led[other], told[one])

\* What was said is on the disk of whoever said it, until a later term.
VotesAreDurable ==
    \A vote \in VotesSaid :
        LET disk == Disk(vote.voter)
        IN  \/ disk.term > vote.term
            \/ disk.term = vote.term /\ disk.vote = vote.candidate

SaidIsDurable ==
    /\ VotesAreDurable
    /\ \A t \in Terms, r \in Replicas :
           acked[t][r] > 0 =>
               \/ Disk(r).term > t
               \/ Disk(r).term = t /\ Agree(Disk(r).log, led[t], acked[t][r])

\* Whenever a leader commits, a quorum of the membership in force at the end of
\* its log has the entry on disk.
CommittedIsDurable ==
    [][\A t \in Terms : told'[t] # told[t] =>
           IsQuorum(MembershipIn(led[t]),
                    {q \in Replicas : Agree(Disk(q).log, led[t], told'[t])})]_vars

=============================================================================
