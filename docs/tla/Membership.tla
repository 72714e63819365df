---------------------------- MODULE Membership ----------------------------
(***************************************************************************)
(* Changing who belongs to the group.                                      *)
(*                                                                         *)
(* A membership is an entry, in force on a replica from the moment it is   *)
(* in that replica's log, and no longer when it is cut.  Voters change     *)
(* through a joint one, which the leader leaves by itself.  Learners get   *)
(* the log and count for nothing, so they change in one step.              *)
(***************************************************************************)
EXTENDS Raft

CONSTANT Targets    \* the memberships that somebody may ask for

\* Before its first commit a leader does not know whether a change of an
\* earlier leader is still under way.  It commits entries of its own term only,
\* so anything it told is that.
KnowsCommit(r) == told[Now(r).term] > 0

IsSettled(r) ==
    /\ PlaceOfMembership(Now(r).log) <= told[Now(r).term]
    /\ ~IsJoint(InForce(r))

MayChange(r) == KnowsCommit(r) /\ IsSettled(r)

\* What is appended on the way from one membership to another.
FirstStep(from, to) == IF from.voters = to.voters THEN to ELSE Joint(from, to)

BeginChange(r, target) ==
    /\ role[r] = "leader"
    /\ MayChange(r)
    /\ target # InForce(r)
    /\ AppendEntries(r, <<FirstStep(InForce(r), target)>>)

LeaveJoint(r) ==
    /\ role[r] = "leader"
    /\ IsJoint(InForce(r))
    /\ PlaceOfMembership(Now(r).log) <= told[Now(r).term]
    /\ AppendEntries(r, <<WithoutOutgoing(InForce(r))>>)

ChangeStep(r) ==
    \/ \E target \in Targets : BeginChange(r, target)
    \/ LeaveJoint(r)

MembershipNext == \E r \in Replicas : Step(r) \/ ChangeStep(r) \/ Restart(r, 0)

MembershipSpec == Init /\ [][MembershipNext]_vars

-----------------------------------------------------------------------------
\* A leader's log has at most one membership that no leader up to it committed.
OneOpenChange ==
    \A t \in Terms :
        LET committed == Max({told[earlier] : earlier \in 1 .. t})
        IN  Cardinality({i \in committed + 1 .. Len(led[t]) : led[t][i].membership # Plain}) <= 1

=============================================================================
