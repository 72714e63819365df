//! The protocol, tested by the sentences of the paper.
