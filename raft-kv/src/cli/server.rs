//! `raft-kv server`: one node, until it is told to stop.

use std::path::PathBuf;

use raft_kv::config::{Config, ConfigError, LogFormat, Settings};
use raft_kv::server::{self, ServerError};
use raft_kv::shutdown::{self, Hangups, Signals};
use tokio::sync::Mutex;
use tracing_subscriber::EnvFilter;

/// The arguments: where the file is, and each of its keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The configuration file (TOML)
    #[arg(long, env = "RAFT_KV_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
    /// What stands above the file.
    #[command(flatten)]
    settings: Settings,
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be configured so.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The filter of the log is none.
    #[error(
        "log_level: {given:?} is no filter; write error, warn, info, debug, trace, or as in info,raft_core=debug"
    )]
    LogLevel {
        /// What was given.
        given: String,
        /// Why it is none.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The system lets us not listen for signals.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// It does not start, or failed.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// Runs the node.
pub(crate) async fn run(arguments: Box<Arguments>) -> Result<(), Error> {
    let config = Config::load(arguments.settings, arguments.config.as_deref())?;
    start_logging(&config)?;
    let mut signals = Signals::catch().map_err(Error::Signals)?;
    let stop = async {
        tokio::select! {
            () = signals.received() => {}
            () = shutdown::abandoned(), if arguments.stop_with_stdin => {}
        }
    };
    let hangups = Mutex::new(Hangups::catch().map_err(Error::Signals)?);
    let reload = || async { hangups.lock().await.received().await };
    Ok(server::run_and_reload(config, stop, reload).await?)
}

fn start_logging(config: &Config) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&config.log_level).map_err(|source| Error::LogLevel {
        given: config.log_level.clone(),
        source,
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => {
            use std::io::IsTerminal;
            lines.with_ansi(std::io::stderr().is_terminal()).init();
        }
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
