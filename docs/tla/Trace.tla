------------------------------- MODULE Trace -------------------------------
(***************************************************************************)
(* Whether what a group of replicas did is what the specification allows.  *)
(*                                                                         *)
(* `cargo xtask tla --trace FILE` writes the module TraceData from a file  *)
(* with one step a line.  Each step must be enabled where it comes.  If    *)
(* one is not, the checker finds a deadlock there, and `at` says which.    *)
(***************************************************************************)
EXTENDS Snapshots, TraceData

VARIABLES
    at,         \* the step that is next
    pending,    \* of each replica: how many writes each request to its disk has
    passed      \* of each replica: what its disk held in the course of its last step

traceVars == <<at, pending, passed>>

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

TraceInit ==
    /\ Init
    /\ SnapshotsInit
    /\ at = 1
    /\ pending = [r \in Replicas |-> <<>>]
    /\ passed = [r \in Replicas |-> {}]

RECURSIVE Sum(_)
Sum(list) == IF list = <<>> THEN 0 ELSE Head(list) + Sum(Tail(list))

Rest(list, count) == SubSeq(list, count + 1, Len(list))

-----------------------------------------------------------------------------
(* Disks.  A request holds all that was written since the request before it. *)

Requests(r) ==
    /\ pending' = [pending EXCEPT ![r] = Append(@, Len(images[r]) - 1 - Sum(@))]
    /\ UNCHANGED <<allVars, passed>>

\* Several requests may be done at once; what was true in between may be said.
Completes(r, requests) ==
    LET writes == Sum(Upto(pending[r], requests))
    IN  /\ requests <= Len(pending[r])
        /\ IF writes = 0 THEN UNCHANGED vars ELSE Persisted(r, writes)
        /\ pending' = [pending EXCEPT ![r] = Rest(@, requests)]
        /\ passed' = [passed EXCEPT ![r] = Elements(Upto(images[r], writes + 1))]
        /\ UNCHANGED stateVars

\* Of the request after those that were kept, term and vote may be done: those of
\* its writes that leave the log alone.
Crashes(r, requests, ballot) ==
    LET done == Sum(Upto(pending[r], requests))
        more == IF ballot /\ requests < Len(pending[r]) THEN pending[r][requests + 1] ELSE 0
        alone == {i \in 0 .. more : images[r][done + i + 1].log = images[r][done + 1].log}
    IN  /\ requests <= Len(pending[r])
        /\ RestartHere(r, done + Max(alone))
        /\ pending' = [pending EXCEPT ![r] = <<>>]
        /\ passed' = [passed EXCEPT ![r] = {}]

Shown(r) == passed[r] \cup {Disk(r)}

-----------------------------------------------------------------------------
(* What is said.  A message may wait for the disk while its sender moves on. *)

Asks(r, term) ==
    /\ \E image \in Shown(r) :
           /\ image.term = term
           /\ image.vote = r
           /\ asked' = asked \cup {[term |-> term, candidate |-> r,
                  lastTerm |-> LastTerm(image.log), lastIndex |-> Len(image.log)]}
    /\ UNCHANGED <<images, role, voted, elected, led, acked, told>>

TellsVote(r, term, candidate) ==
    /\ \E image \in Shown(r) : image.term = term /\ image.vote = candidate
    /\ voted' = voted \cup {[term |-> term, voter |-> r, candidate |-> candidate]}
    /\ UNCHANGED <<images, role, asked, elected, led, acked, told>>

\* To hold nothing is no claim.
Holds(r, term, index) ==
    IF index = 0 THEN UNCHANGED vars
    ELSE /\ term \in Terms
         /\ \/ \E image \in Shown(r) : image.term >= term /\ Agree(image.log, led[term], index)
            \/ Disk(r).term >= term /\ Agree(kept[r], led[term], index)
         /\ acked' = [acked EXCEPT ![term][r] = Max({@, index})]
         /\ UNCHANGED <<images, role, asked, voted, elected, led, told>>

-----------------------------------------------------------------------------
(* What is done.                                                           *)

\* A membership is judged where it is appended.
MayAppend(r, to) ==
    LET from == InForce(r)
    IN  \/ to = Plain
        \/ /\ IsJoint(from)
           /\ to = WithoutOutgoing(from)
           /\ PlaceOfMembership(Now(r).log) <= told[Now(r).term]
        \/ MayChange(r) /\ IsJoint(to) /\ to.outgoing = from.voters
        \/ MayChange(r) /\ ~IsJoint(to) /\ to.voters = from.voters

Appends(r, items) ==
    /\ \A i \in 1 .. Len(items) : Carried(items[i]) # Plain => i = 1
    /\ Len(items) > 0 => MayAppend(r, Carried(items[1]))
    /\ AppendEntries(r, [i \in 1 .. Len(items) |-> Carried(items[i])])

\* Items come right after what both logs share: at the cut, or at the end.
Accepts(r, step) ==
    LET term == Now(r).term
        previous == IF "cut" \in DOMAIN step THEN step.cut - 1 ELSE Len(Now(r).log)
        items == step.items
    IN  /\ term # 0
        /\ previous + Len(items) <= Len(led[term])
        /\ \A i \in 1 .. Len(items) :
               led[term][previous + i] = [term |-> items[i].term, membership |-> Carried(items[i])]
        /\ Accept(r, previous, Len(items))

Votes(r, candidate) ==
    \E request \in asked : request.candidate = candidate /\ Vote(r, request)

CommitsHere(r, index) ==
    /\ Commit(r, index)
    /\ commit' = [commit EXCEPT ![r] = index]
    /\ UNCHANGED <<state, kept, purged>>

\* A log that follows a snapshot need not have been behind it.
Installs(r) == IF Len(state[r]) > commit[r] THEN Install(r) ELSE UNCHANGED allVars

-----------------------------------------------------------------------------
\* What only decides whether something else happens is no step here.
IsCalm(action) ==
    action \in {"join", "start", "hear", "pre_campaign", "step_down", "say_term",
               "would_vote", "vote_in_passing", "say_would_vote", "say_leads", "say_hands_over", "say_purged"}

OfTheProtocol(r, step) ==
    CASE step.action = "learn_term" -> LearnTerm(r, step.term)
      [] step.action = "campaign" -> Campaign(r)
      [] step.action = "vote" -> Votes(r, step.candidate)
      [] step.action = "lead" -> Lead(r)
      [] step.action = "append" -> Appends(r, step.items)
      [] step.action = "accept" -> Accepts(r, step)
      [] step.action = "say_campaigns" -> Asks(r, step.term)
      [] step.action = "say_votes" -> TellsVote(r, step.term, step.candidate)
      [] step.action = "say_holds" -> Holds(r, step.term, step.index)
      [] OTHER -> FALSE

OfTheState(r, step) ==
    CASE step.action = "commit" -> CommitsHere(r, step.index)
      [] step.action = "learn_commit" -> LearnCommit(r, step.index)
      [] step.action = "apply" -> Apply(r, step.index)
      [] step.action = "state_durable" -> Checkpoint(r, step.index)
      [] step.action = "restore" -> Restore(r, step.at)
      [] step.action = "install" -> Installs(r)
      [] step.action = "purge" -> Purge(r, step.index)
      [] OTHER -> FALSE

OfTheDisk(r, step) ==
    CASE step.action = "ask" -> Requests(r)
      [] step.action = "done" -> Completes(r, step.writes)
      [] step.action = "crash" -> 
             Crashes(r, step.kept, "and_ballot" \in DOMAIN step /\ step.and_ballot)
      [] OTHER -> FALSE

Follows(r, step) ==
    \/ IsCalm(step.action) /\ UNCHANGED <<allVars, pending, passed>>
    \/ OfTheProtocol(r, step) /\ UNCHANGED <<stateVars, pending, passed>>
    \/ OfTheState(r, step) /\ UNCHANGED <<pending, passed>>
    \/ OfTheDisk(r, step)

TraceNext ==
    \/ /\ at <= Len(Steps)
       /\ Follows(Steps[at].replica, Steps[at])
       /\ at' = at + 1
    \/ at > Len(Steps) /\ UNCHANGED <<allVars, traceVars>>

TraceSpec == TraceInit /\ [][TraceNext]_<<allVars, traceVars>>

=============================================================================
