------------------------------- MODULE MCReads -------------------------------
(* Reads and leases in a group whose first leader has committed.            *)
EXTENDS MCRaft, Reads

CONSTANTS
    MaxTime,
    MaxRounds

ReadsModelNext == IF Talkers = {} THEN ReadsNext ELSE Say /\ UNCHANGED readVars

ReadsFromLed == BeginLed /\ ReadsInit /\ [][ReadsModelNext]_allVars

ReadsWithinBounds ==
    /\ IsWithinBounds
    /\ now <= MaxTime
    /\ \A t \in Terms : Len(begun[t]) <= MaxRounds

\* Rounds alone: nobody needs a promise, and time stands still.
RoundsWithinBounds == ReadsWithinBounds /\ handed = {}

\* Leases alone: whether one may be trusted does not depend on who reads.
LeasesWithinBounds == ReadsWithinBounds /\ read = NoRead

\* Mistakes.
NoDrift == Timeout
FreeAtStart(r) == 0
NeverBarred(term) == FALSE
EarlierRound(r) == Max({1, Len(begun[Now(r).term])})
KnowsAtOnce(r) == TRUE
=============================================================================
