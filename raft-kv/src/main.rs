//! The command line of raft-kv: arguments, logging, and the verbs of `cli`.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let outcome = run(cli::Cli::parse());
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match cli.verb {
            cli::Verb::Server(arguments) => cli::server::run(arguments).await?,
            cli::Verb::Dev(arguments) => cli::dev::run(arguments).await?,
            cli::Verb::Log(arguments) => return cli::log::run(&arguments),
            cli::Verb::Cert(arguments) => cli::cert::run(&arguments)?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
