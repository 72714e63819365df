---------------------------- MODULE MCSnapshots ----------------------------
(* State machines and snapshots in a group whose first leader has committed. *)
EXTENDS MCRaft, Snapshots

SnapshotsModelNext == IF Talkers = {} THEN SnapshotsNext ELSE Say /\ UNCHANGED stateVars

SnapshotsFromLed == BeginLed /\ SnapshotsInit /\ [][SnapshotsModelNext]_allVars

\* What is applied beyond what a crash needs.
NeedsNothing(r, index) == index <= Len(state[r])
=============================================================================
