---------------------------- MODULE MCSnapshots ----------------------------
(* State machines and snapshots in a group whose first leader has committed. *)
EXTENDS MCRaft, Snapshots

SayOnly == Say /\ UNCHANGED stateVars

\* Everything in any order.
StatesModelNext == IF Talkers = {} THEN SnapshotsNext ELSE SayOnly

StatesFromLed == BeginLed /\ SnapshotsInit /\ [][StatesModelNext]_allVars

\* What may be applied is, durably, at once.  That leaves room for elections.
Unsettled == {r \in Replicas : Len(kept[r]) < Max({ApplicableTo(r), Len(state[r])})}

Settle(r) == Apply(r, ApplicableTo(r)) \/ Checkpoint(r, Len(state[r]))

SnapshotsModelNext ==
    IF Talkers # {} THEN SayOnly
    ELSE IF Unsettled # {} THEN \E r \in Unsettled : Settle(r)
    ELSE SnapshotsNext

SnapshotsFromLed == BeginLed /\ SnapshotsInit /\ [][SnapshotsModelNext]_allVars

SnapshotsFromStart == Init /\ SnapshotsInit /\ [][SnapshotsModelNext]_allVars

\* Nothing is purged, because nothing depends on that.
PurgesNothing(r) == 0

\* Mistakes.  For PurgeableTo: the log is cut up to what is applied.
PurgesApplied(r) == Len(state[r])

\* For MayTakeOver: a snapshot does not wait for its term to be durable.
TakesOverAtOnce(r, term) == TRUE
=============================================================================
