//! `popd` and `imapd`: bind the ports, check passwords, start front and workers. See [`daemon::login::keeper`].
//!
//! Runs as: root, or any user in one-directory mode. Reads: the configuration, the certificate and its key, what PAM
//! reads or the accounts file. Writes: the self-signed certificate. Speaks to: its front and workers. Exits with: 0 after
//! SIGTERM or SIGINT, or when `protocols` does not name the service; 1 when it cannot start (one line says why); 2 for a
//! wrong command line. SIGHUP reads the configuration again; a wrong one is one line in the log and all stays as it was.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use config::Config;
use daemon::login::keeper::{Policy, Program, Renewed, Settings};
use daemon::shutdown::Signals;
use daemon::tls::{self, Files};
use daemon::{arguments, limits, listen, login, ready, version};
use wire::Security;

use crate::Service;

/// The program.
pub fn main(service: &Service) -> ExitCode {
    arguments::run(service.keeper, |dir| start(service, dir))
}

fn start(service: &Service, dir: &Path) -> Result<(), String> {
    let config = crate::prepare(service.keeper, dir)?;
    if !config.list("protocols").iter().any(|protocol| protocol == service.protocol) {
        tracing::info!("not started: protocols does not name {}", service.protocol);
        ready::tell();
        return Ok(());
    }
    let _ = limits::raise_descriptors();
    let listeners = bind_at_last(service, &config).map_err(|e| e.to_string())?;
    let settings = Settings {
        listeners,
        certificate: certificate(&config),
        front: program(service.front, &config),
        worker: program(service.worker, &config),
        notes: (config.text("data_directory").into(), service.keeper),
    };
    // One thread: a child that ends with its parent ends with the thread that started it.
    let runtime =
        daemon::runtime::build(&mut tokio::runtime::Builder::new_current_thread()).map_err(|e| e.to_string())?;
    tracing::info!("daemon started -- version {}, configuration {}", version::short(), dir.display());
    config::mailbox::mismatch(&config).iter().for_each(|sentence| tracing::warn!("{sentence}"));
    runtime.block_on(async {
        let signals = Signals::listen().map_err(|e| e.to_string())?;
        ready::tell();
        login::keeper::run(settings, policy(&config), &signals, || reload(dir)).await;
        tracing::info!("terminating on signal {}", signals.number());
        Ok(())
    })
}

fn reload(dir: &Path) -> Option<Renewed> {
    match Config::load(dir).map_err(config::lines) {
        Ok(config) => {
            tracing::info!("reload -- version {}, configuration {}", version::short(), dir.display());
            Some((policy(&config), certificate(&config)))
        }
        Err(problems) => {
            tracing::error!("reload refused, keeping the old configuration: {problems}");
            None
        }
    }
}

fn policy(config: &Config) -> Policy {
    let number = |name| usize::try_from(config.number(name)).unwrap_or(usize::MAX);
    let lowest = if privileges::is_root() { config.number("first_valid_uid") } else { 0 };
    Policy {
        accounts: crate::accounts(config),
        domains: config.list("mydestination"),
        lowest_uid: u32::try_from(lowest).unwrap_or(u32::MAX),
        failure_delay: config.time("auth_failure_delay"),
        most_per_user_and_address: number("mail_max_userip_connections"),
    }
}

/// After a keeper was killed its front keeps the ports for a moment, until it hears of that.
fn bind_at_last(service: &Service, config: &Config) -> Result<Vec<(TcpListener, Security)>, listen::Error> {
    let end = Instant::now() + PATIENCE;
    loop {
        match bind(service, config) {
            Err(listen::Error::Taken(_)) if Instant::now() < end => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

fn bind(service: &Service, config: &Config) -> Result<Vec<(TcpListener, Security)>, listen::Error> {
    let addresses = addresses(config)?;
    let offset = u16::try_from(config.number("port_offset")).unwrap_or(u16::MAX);
    let mut bound = Vec::new();
    let mut add = |port: u16, security| {
        let listeners = listen::bind_each(&addresses, port.saturating_add(offset))?;
        bound.extend(listeners.into_iter().map(|listener| (listener, security)));
        Ok(())
    };
    add(service.port, Security::Clear)?;
    if config.text("ssl") != "no" {
        add(service.tls_port, Security::Tls)?;
    }
    Ok(bound)
}

/// `listen`, as far as `inet_protocols` allows: `*` is every IPv4 address, `::` every IPv6 address.
fn addresses(config: &Config) -> Result<Vec<IpAddr>, listen::Error> {
    let names: Vec<String> = config.list("listen").into_iter().map(|name| name.replace('*', "0.0.0.0")).collect();
    let protocols = config.list("inet_protocols");
    let speaks = |name: &str| protocols.iter().any(|one| one == "all" || one == name);
    let (v4, v6) = (speaks("ipv4"), speaks("ipv6"));
    let mut addresses = listen::interfaces(&names)?;
    addresses.retain(|address| if address.is_ipv4() { v4 } else { v6 });
    Ok(addresses)
}

/// The configured pair, else the self-signed one; without either the service runs without TLS and says so.
fn certificate(config: &Config) -> Option<Files> {
    if config.text("ssl") == "no" {
        return None;
    }
    if let Some(certificate) = config.path("ssl_cert") {
        let key = config.path("ssl_key").unwrap_or_else(|| certificate.clone());
        return Some(Files { certificate, key });
    }
    let dir = Path::new(config.text("data_directory"));
    let _ = DirBuilder::new().recursive(true).mode(0o755).create(dir);
    match tls::ensure_certificate(dir, &[config.text("myhostname").to_owned()]) {
        Ok(files) => Some(files),
        Err(error) => {
            tracing::error!("no TLS: {error}");
            None
        }
    }
}

fn program(name: &str, config: &Config) -> Program {
    Program {
        name: name.to_owned(),
        path: Path::new(config.text("daemon_directory")).join(name),
        arguments: vec![OsString::from("-c"), config.dir().as_os_str().to_owned()],
    }
}
