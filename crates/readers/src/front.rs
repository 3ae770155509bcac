//! `pop3-login` and `imap-login`: everything before login, and TLS. See [`daemon::login::front`].
//!
//! Runs as: `default_login_user`, jailed, started by the keeper with its socket as standard input. May read: nothing but
//! the configuration at its start. May write: the log. Speaks to: the net, the keeper. Exits with: 0 when the keeper is
//! gone or it was told to stop, 1 when it cannot start, 2 for a wrong command line.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use config::{Config, Networks};
use daemon::login::front::{Cleartext, Protocol, Settings};
use daemon::shutdown::{self, Signals};
use daemon::{Channel, arguments, limits, login};
use privileges::{Exec, Jail, Network};

use crate::Service;

/// The program. `make` builds the protocol from the configuration.
pub fn main<P: Protocol>(service: &Service, make: impl FnOnce(&Config) -> P) -> ExitCode {
    arguments::run(service.front, |dir| start(service, dir, make))
}

fn start<P: Protocol>(service: &Service, dir: &Path, make: impl FnOnce(&Config) -> P) -> Result<(), String> {
    let config = crate::prepare(service.front, dir)?;
    let most = limits::sessions_for(limits::raise_descriptors(), DESCRIPTORS_EACH);
    let protocol = make(&config);
    let settings = Settings { cleartext: Box::new(cleartext(&config)), most };
    give_up_power(&config)?;
    let runtime =
        daemon::runtime::build(&mut tokio::runtime::Builder::new_multi_thread()).map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let signals = Signals::listen().map_err(|e| e.to_string())?;
        let channel =
            Channel::inherited().map_err(|_| format!("{} is started by {}", service.front, service.keeper))?;
        login::front::run(protocol, settings, channel, signals.stop.clone()).await.map_err(|e| e.to_string())
    })
}

/// Whether a password may come in clear: client and server on one machine, or a trusted network, or the operator says so.
fn cleartext(config: &Config) -> impl Fn(IpAddr, IpAddr) -> Cleartext + Send + Sync + 'static {
    let trusted: Networks = config.networks("login_trusted_networks");
    let demanded = config.text("ssl") == "required";
    let allowed = !config.flag("disable_plaintext_auth");
    move |peer, local| {
        if demanded {
            Cleartext::Refused
        } else if peer == local || peer.is_loopback() || trusted.contains(peer) {
            Cleartext::Secured
        } else if allowed {
            Cleartext::Allowed
        } else {
            Cleartext::Refused
        }
    }
}

fn give_up_power(config: &Config) -> Result<(), String> {
    if privileges::is_root() {
        let user = privileges::find_user(config.text("default_login_user")).map_err(|e| e.to_string())?;
        privileges::become_user(&user, None).map_err(|e| e.to_string())?;
    }
    shutdown::end_with_parent();
    let jail = Jail {
        read_only: &[Path::new("/dev/null"), Path::new("/dev/urandom"), Path::new("/sys/devices/system/cpu")],
        read_write: &[],
        exec: Exec::Never,
        network: Network::Deny,
    };
    privileges::jail(&jail).iter().for_each(|lacking| tracing::warn!("jail: {lacking}"));
    Ok(())
}

/// The client, and the pipe to the worker.
const DESCRIPTORS_EACH: usize = 2;
