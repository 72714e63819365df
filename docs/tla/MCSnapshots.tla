---------------------------- MODULE MCSnapshots ----------------------------
(* State machines and snapshots in a group whose first leader has committed. *)
EXTENDS MCRaft, Snapshots

SnapshotsModelNext == IF Talkers = {} THEN SnapshotsNext ELSE Say /\ UNCHANGED stateVars

SnapshotsFromLed == BeginLed /\ SnapshotsInit /\ [][SnapshotsModelNext]_allVars

\* Mistakes.  For PurgeableTo: the log is cut up to what is applied.
PurgesApplied(r) == Len(state[r])

\* For MayTakeOver: a snapshot does not wait for its term to be durable.
TakesOverAtOnce(r, term) == TRUE
=============================================================================
