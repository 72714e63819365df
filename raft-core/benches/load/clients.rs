//! The load of full nodes: clients that write one after the other, each waiting
//! for its answer.
//!
//! The shape is that of openraft's own benchmark, so that its figures can be
//! compared: three nodes in one process on two threads, clients on a third,
//! commands without content, a state machine without state. An op is one write,
//! applied on the leader and answered.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::histogram::Histogram;
use super::measure::Stopwatch;

/// The numbers of clients that are tried.
pub(crate) const CLIENTS: [usize; 5] = [1, 64, 256, 1024, 4096];
/// How long clients run before they are measured.
const WARM_UP: Duration = Duration::from_millis(300);
const NODE_THREADS: usize = 2;
const CLIENT_THREADS: usize = 1;

/// A running group, as a client sees it.
pub(crate) trait Writer: Clone + Send + Sync + 'static {
    /// Has one empty command applied on the leader.
    fn write(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// The runtimes of a benchmark.
pub(crate) struct Runtimes {
    /// Runs the nodes.
    pub(crate) nodes: Runtime,
    clients: Option<Runtime>,
}

impl Runtimes {
    /// Threads for nodes, and others for clients unless they run `together`.
    pub(crate) fn new(together: bool) -> Self {
        let clients = (!together).then(|| runtime(CLIENT_THREADS));
        Self {
            nodes: runtime(NODE_THREADS),
            clients,
        }
    }

    fn clients(&self) -> &Runtime {
        self.clients.as_ref().unwrap_or(&self.nodes)
    }
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(threads).enable_all().build();
    runtime.expect("threads can be started")
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) ops_per_second: f64,
    pub(crate) cpu_micros_per_op: f64,
    /// Latencies in µs: mean, and those that half, 99 % and 99.9 % do not exceed.
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// Lets `clients` write for `duration`, after a while that does not count.
///
/// # Panics
///
/// When a write fails: the figures would mean nothing.
pub(crate) fn run<W: Writer>(
    writer: &W,
    runtimes: &Runtimes,
    clients: usize,
    duration: Duration,
) -> Sample {
    let latencies = Arc::new(Histogram::new());
    let begin = Instant::now() + WARM_UP;
    let end = begin + duration;
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let client = write_until(writer.clone(), begin, end, Arc::clone(&latencies));
        tasks.spawn_on(client, runtimes.clients().handle());
    }

    sleep_until(begin);
    let watch = Stopwatch::started();
    sleep_until(end);
    let (wall, cpu) = watch.elapsed();

    runtimes.clients().block_on(async {
        while let Some(client) = tasks.join_next().await {
            client.expect("no client panics").expect("no write fails");
        }
    });
    let ops = latencies.count() as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    Sample {
        ops_per_second: ops / wall.as_secs_f64(),
        cpu_micros_per_op: micros(cpu) / ops,
        mean: micros(latencies.mean()),
        p50: micros(latencies.quantile(0.5)),
        p99: micros(latencies.quantile(0.99)),
        p999: micros(latencies.quantile(0.999)),
    }
}

async fn write_until<W: Writer>(
    writer: W,
    begin: Instant,
    end: Instant,
    latencies: Arc<Histogram>,
) -> Result<(), String> {
    let mut started = Instant::now();
    while started < end {
        writer.write().await?;
        let now = Instant::now();
        if now >= begin && now < end {
            latencies.record(now - started);
        }
        started = now;
    }
    Ok(())
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}
