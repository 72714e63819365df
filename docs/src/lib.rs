//! The book, chapter by chapter, so that its code blocks are tests.
//!
//! Never published; read it with mdBook or as plain Markdown in `docs/book`.

/// Includes a page, so that `cargo test` compiles and runs its examples.
macro_rules! pages {
    ($($name:ident = $path:literal;)*) => {
        $(
            #[doc = include_str!($path)]
            pub mod $name {}
        )*
    };
}

pages! {
    readme = "../../README.md";
    introduction = "../book/introduction.md";
    quick_start = "../book/quick-start.md";
    choosing_crates = "../book/choosing-crates.md";
    protocol_roles = "../book/protocol/roles.md";
    protocol_election = "../book/protocol/election.md";
    protocol_replication = "../book/protocol/replication.md";
    protocol_commit = "../book/protocol/commit.md";
    protocol_reads = "../book/protocol/reads.md";
    protocol_membership = "../book/protocol/membership.md";
    protocol_snapshots = "../book/protocol/snapshots.md";
    protocol_transfer = "../book/protocol/transfer.md";
    protocol_requirements = "../book/protocol/requirements.md";
    protocol_safety = "../book/protocol/safety.md";
    backends_log_store = "../book/backends/log-store.md";
    backends_stable_store = "../book/backends/stable-store.md";
    backends_network = "../book/backends/network.md";
    backends_state_machine = "../book/backends/state-machine.md";
    backends_testing_your_own = "../book/backends/testing-your-own.md";
    formats_disk = "../book/formats/disk.md";
    formats_wire = "../book/formats/wire.md";
    operations_bootstrap = "../book/operations/bootstrap.md";
    operations_membership = "../book/operations/membership.md";
    operations_certificates = "../book/operations/certificates.md";
    operations_failures = "../book/operations/failures.md";
    operations_metrics = "../book/operations/metrics.md";
    testing_levels = "../book/testing/levels.md";
    testing_scenarios = "../book/testing/scenarios.md";
    testing_simulator = "../book/testing/simulator.md";
    testing_exploration = "../book/testing/exploration.md";
    testing_benchmarks = "../book/testing/benchmarks.md";
    testing_transport = "../book/testing/transport.md";
    testing_lab = "../book/testing/lab.md";
    testing_fuzzing = "../book/testing/fuzzing.md";
    testing_mistakes = "../book/testing/mistakes.md";
    testing_specification = "../book/testing/specification.md";
    testing_track_record = "../book/testing/track-record.md";
    contributing_style = "../book/contributing/style.md";
    contributing_tidy = "../book/contributing/tidy.md";
    contributing_releasing = "../book/contributing/releasing.md";
    glossary = "../book/glossary.md";
}
