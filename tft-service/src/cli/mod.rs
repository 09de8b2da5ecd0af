//! The command line: `serve`, which is the default, and a file for each other command.

#[cfg(feature = "tls")]
mod cert;
mod check;
mod healthcheck;
mod keys;
mod rules;
mod test_alert;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tft_core::store::Store;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use self::healthcheck::HealthcheckArgs;
use self::keys::MintArgs;
use self::test_alert::TestAlertArgs;
use crate::clock::SystemClock;
use crate::config::args::{DemoArgs, MigrateArgs, ModelCommand};
use crate::config::settings::Settings;
use crate::config::{Config, ConfigError, Secrets};
use crate::demo::{self, Replayed};
use crate::error::{ServiceError, in_one_line};
use crate::migrate;
use crate::model;
use crate::server::Server;

/// Forecasts the health of a fleet of servers, over HTTP.
#[derive(Debug, Parser)]
#[command(name = "tft-service", version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Clone, clap::Args)]
struct ServeArgs {
    /// TOML file with a table for each group of settings; flags and variables beat it [default: none]
    #[arg(long, env = "TFT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// JSON file with `domain`, `cert_file`, `key_file`, `https_port_api` and so on, below the TOML file; `MFC_SSL_…`
    /// and the other `MFC_…` variables of ports and certificates beat it [default: none]
    #[arg(long, env = "MFC_SSL_CONFIG", value_name = "FILE")]
    ssl_config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Serve forecasts of the metrics that are fed (the default)
    Serve(ServeArgs),
    /// Replay a week of real services, print what was forecast and what happened, then serve the result
    Demo(DemoArgs),
    /// Check the configuration and the model, and print what is on
    ///
    /// Takes the settings of `serve` and starts nothing. The exit code is 1, with one line on standard error, if
    /// `serve` would refuse them.
    Check(ServeArgs),
    /// Ask a running service for its health; the exit code is 0 if it answers
    Healthcheck(HealthcheckArgs),
    /// Print a new key: 64 hexadecimal digits from the system's randomness
    GenKey,
    /// Print a token for a subject, signed with `JWT_SECRET_KEY`
    MintToken(MintArgs),
    /// Tell every receiver of alerts about a test, and print what each answers
    ///
    /// Takes the settings of `serve`. Makes one attempt per receiver; those that remember what fires are told at once
    /// that it is resolved. The exit code is 1 if any was not told.
    TestAlert(TestAlertArgs),
    /// Take over the window that the original system left as a pickle
    ///
    /// The pickle is read as plain data and never executed. If all of it is, the checkpoint is written and the
    /// pickle renamed to `<name>.migrated`; otherwise the exit code is 1, one line says what is wrong with which
    /// byte or row, and the pickle is renamed to `<name>.backup`. `serve` does the same when it starts without a
    /// checkpoint and finds a pickle beside its place.
    Migrate(MigrateArgs),
    /// Check rule files, test them, and try them out on a recorded history
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Look into a model directory
    #[command(subcommand)]
    Model(ModelCommand),
    /// Look at a certificate, or at a service's TLS from outside
    #[cfg(feature = "tls")]
    #[command(subcommand)]
    Cert(cert::CertCommand),
}

impl ServeArgs {
    /// Puts flags, variables and the files together, and checks the whole.
    fn into_config(self) -> Result<Config, ConfigError> {
        let settings = match &self.config {
            Some(path) => self.settings.over_file(path)?,
            None => self.settings,
        };
        let variable = |name: &str| std::env::var_os(name).map(|text| text.to_string_lossy().into_owned());
        let (settings, remarks) = settings.over_ssl_config(self.ssl_config.as_deref(), variable)?;
        for remark in remarks {
            tracing::info!("{remark}");
        }
        settings.into_config(&Secrets::from_env())
    }
}

/// Runs the command that the process's arguments ask for.
///
/// Errors are one line on standard error and exit code 1. `model verify` also exits with 1, without such a
/// line, if the model's outputs differ.
pub fn run() -> ExitCode {
    start_logging();
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve(cli.serve).map(|()| ExitCode::SUCCESS),
        Some(Command::Serve(args)) => serve(args).map(|()| ExitCode::SUCCESS),
        Some(Command::Check(args)) => check::run(args).map(|()| ExitCode::SUCCESS),
        Some(Command::GenKey) => keys::generate().map(|()| ExitCode::SUCCESS),
        Some(Command::MintToken(args)) => keys::mint(&args).map(|()| ExitCode::SUCCESS),
        Some(Command::Healthcheck(args)) => Ok(healthcheck::run(&args)),
        Some(Command::Demo(args)) => demo(args).map(|()| ExitCode::SUCCESS),
        Some(Command::TestAlert(args)) => test_alert::run(args),
        Some(Command::Migrate(args)) => migrate::by_command(args).map(|()| ExitCode::SUCCESS),
        Some(Command::Rules(command)) => rules::run(&command),
        Some(Command::Model(command)) => model::run(command),
        #[cfg(feature = "tls")]
        Some(Command::Cert(command)) => Ok(cert::run(&command)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tft-service: {}", in_one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: ServeArgs) -> Result<(), ServiceError> {
    let config = args.into_config()?;
    if config.auth.is_development_mode() {
        tracing::warn!(host = %config.host, "TFT_API_KEY is not set: development mode, everyone may call");
    }
    let server = Server::bind(&config, Arc::new(SystemClock::new()))?;
    runtime()?.block_on(async {
        let mut hang_up = signal(SignalKind::hangup()).map_err(|source| ServiceError::Thread { source })?;
        let reload = server.reload_handle();
        tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                reload.reload();
            }
        });
        server.run(stop_signal()?).await
    })
}

fn demo(args: DemoArgs) -> Result<(), ServiceError> {
    let config = args.into_config(&Secrets::from_env())?;
    let Replayed { engine, window, clock } = demo::replay_and_report(&config)?;
    if config.is_once {
        return Ok(());
    }
    let server = Server::with_engine(&config.serve, clock, engine, Store::in_memory(window))?;
    eprintln!("serving the replayed state at http://{} until Ctrl-C", server.local_addr());
    runtime()?.block_on(async { server.run(stop_signal()?).await })
}

fn runtime() -> Result<Runtime, ServiceError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().max_blocking_threads(BLOCKING_THREADS_MAX);
    builder.build().map_err(|source| ServiceError::Thread { source })
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()>, ServiceError> {
    let listen = |kind| signal(kind).map_err(|source| ServiceError::Thread { source });
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("received SIGTERM"),
            _ = interrupt.recv() => tracing::info!("received SIGINT"),
        }
    })
}

/// Logs to standard error at the level that `RUST_LOG` asks for, otherwise `info`.
fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr)
        .init();
}

const AFTER_HELP: &str = "Keys that clients must send as X-API-Key are read from TFT_API_KEY, one key, and API_KEYS, \
    entries `secret`, `id:secret`, `id:secret:scopes` or `id:secret:scopes:tier` separated by commas, or from the files \
    above: each of 32 to 512 printable characters (`tft-service gen-key` makes one). Without any only a loopback address \
    is served. JWT_SECRET_KEY holds the secret of tokens, RATE_LIMIT_REDIS_URL the address of Redis. \
    RUST_LOG sets the level of the log on standard error.";

/// Feeds that are parsed at the same time; others wait.
const BLOCKING_THREADS_MAX: usize = 4;
