//! What the program makes of the configuration. A reload makes a new one of these for the orders that come afterwards.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use config::{Config, Interfaces};
use daemon::tls::client::{Client, Manner as TlsManner};
use smtp::client::{Manner, Timeouts};

use super::courier::Reuse;
use super::exit::Exit;
use super::hop::Defaults;
use super::hosts::{Choice, Family};
use super::logins::Logins;
use super::names::Protocols;
use super::policy::{Level, Policies, Policy};
use super::pool::Pool;

/// Everything a delivery needs to know.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) defaults: Defaults,
    pub(super) finding: Finding,
    pub(super) reaching: Reaching,
    pub(super) speaking: Speaking,
    pub(super) policies: Policies,
    pub(super) logins: Logins,
    pub(super) exit: Exit,
    pub(super) pool: Arc<Pool>,
    pub(super) soft_bounce: bool,
}

/// How hosts are found.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) choice: Choice,
    pub(super) protocols: Protocols,
    /// `ignore_mx_lookup_error`
    pub(super) ignore_mx_error: bool,
    /// `smtp_defer_if_no_mx_address_found`
    pub(super) defer_without_address: bool,
    /// `inet_interfaces` and `proxy_interfaces`
    pub(super) interfaces: Interfaces,
    /// The port on which we ourselves take mail.
    pub(super) own_port: u16,
}

/// How they are connected to.
#[derive(Debug)]
pub(super) struct Reaching {
    /// `smtp_mx_session_limit`; 0: no limit.
    pub(super) most_sessions: usize,
    pub(super) connect_timeout: Duration,
    bind: [Option<IpAddr>; 2],
    pub(super) reuse: Reuse,
    tls: Option<Client>,
    /// By what single next hops ask for.
    manners: Mutex<HashMap<TlsManner, Client>>,
    pub(super) log_tls: bool,
}

/// How is spoken with them.
#[derive(Debug)]
pub(super) struct Speaking {
    pub(super) hostname: String,
    pub(super) helo: String,
    pub(super) timeouts: Timeouts,
    pub(super) manner: Manner,
}

impl Settings {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            defaults: Defaults {
                smtp: port(config, "smtp_tcp_port"),
                lmtp: port(config, "lmtp_tcp_port"),
                queue: config.text("queue_directory").into(),
            },
            finding: Finding::new(config),
            reaching: Reaching::new(config),
            speaking: Speaking::new(config),
            policies: Policies {
                default: Level::read(config.text("smtp_tls_security_level")).unwrap_or(Level::May),
                table: config.tables("smtp_tls_policy_maps"),
                verify: config.list("smtp_tls_verify_cert_match"),
                secure: config.list("smtp_tls_secure_cert_match"),
                wrapper: config.flag("smtp_tls_wrappermode"),
                told: Mutex::default(),
            },
            logins: Logins::new(config),
            exit: Exit::new(config),
            pool: Arc::default(),
            soft_bounce: config.flag("soft_bounce"),
        }
    }
}

/// `dns_servers`; what is no address is passed over with a warning.
pub(super) fn dns_servers(config: &Config) -> Vec<SocketAddr> {
    let read = |text: String| {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let found = text.parse().ok().or_else(|| bare.parse().ok().map(|address| SocketAddr::new(address, 53)));
        if found.is_none() {
            tracing::warn!("dns_servers: \"{text}\" is no address");
        }
        found
    };
    config.list("dns_servers").into_iter().filter_map(read).collect()
}

impl Finding {
    fn new(config: &Config) -> Self {
        let protocols = config.list("inet_protocols");
        let speaks = |name: &str| protocols.iter().any(|one| one == "all" || one == name);
        let first = match config.text("smtp_address_preference") {
            "ipv4" => Family::V4,
            "ipv6" => Family::V6,
            _ => Family::Any,
        };
        let offset = u16::try_from(config.number("port_offset")).unwrap_or(0);
        Self {
            choice: Choice { first, most: count(config, "smtp_mx_address_limit") },
            protocols: Protocols { v4: speaks("ipv4"), v6: speaks("ipv6") },
            ignore_mx_error: config.flag("ignore_mx_lookup_error"),
            defer_without_address: config.flag("smtp_defer_if_no_mx_address_found"),
            interfaces: config.interfaces(),
            own_port: 25_u16.saturating_add(offset),
        }
    }
}

impl Reaching {
    fn new(config: &Config) -> Self {
        let bind = ["smtp_bind_address", "smtp_bind_address6"].map(|name| {
            let text = config.text(name);
            let address = text.trim_start_matches('[').trim_end_matches(']').parse().ok();
            if address.is_none() && !text.is_empty() {
                tracing::warn!("{name}: \"{text}\" is no address");
            }
            address
        });
        Self {
            most_sessions: count(config, "smtp_mx_session_limit"),
            connect_timeout: config.time("smtp_connect_timeout"),
            bind,
            reuse: Reuse {
                allowed: config.flag("smtp_connection_cache_on_demand"),
                most: config.number("smtp_connection_reuse_count_limit"),
                longest: config.time("smtp_connection_reuse_time_limit"),
            },
            tls: authorities(config),
            manners: Mutex::default(),
            log_tls: config.number("smtp_tls_loglevel") > 0,
        }
    }

    /// TLS as a policy asks for it; `None` where there is none to be had.
    pub(super) fn tls_for(&self, policy: &Policy) -> Result<Option<Client>, String> {
        let (Some(tls), Some(manner)) = (&self.tls, policy.manner()?) else { return Ok(self.tls.clone()) };
        let mut manners = self.manners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = manners.get(&manner) {
            return Ok(Some(client.clone()));
        }
        let client = tls.in_manner(&manner).map_err(|error| error.to_string())?;
        manners.insert(manner, client.clone());
        Ok(Some(client))
    }

    /// From which of our addresses we connect to this one.
    pub(super) fn source(&self, to: IpAddr) -> Option<IpAddr> {
        let [v4, v6] = self.bind;
        if to.is_ipv4() { v4 } else { v6 }
    }
}

fn authorities(config: &Config) -> Option<Client> {
    let text = config.path("smtp_tls_CAfile").map(|path| {
        std::fs::read(&path).unwrap_or_else(|error| {
            tracing::warn!("smtp_tls_CAfile: {}: {error}; no certificate is trusted", path.display());
            Vec::new()
        })
    });
    Client::new(&text.unwrap_or_default()).inspect_err(|error| tracing::error!("no TLS: {error}")).ok()
}

impl Speaking {
    fn new(config: &Config) -> Self {
        Self {
            hostname: config.text("myhostname").into(),
            helo: config.text("smtp_helo_name").into(),
            timeouts: Timeouts {
                helo: config.time("smtp_helo_timeout"),
                starttls: config.time("smtp_starttls_timeout"),
                mail: config.time("smtp_mail_timeout"),
                rcpt: config.time("smtp_rcpt_timeout"),
                data_init: config.time("smtp_data_init_timeout"),
                data_xfer: config.time("smtp_data_xfer_timeout"),
                data_done: config.time("smtp_data_done_timeout"),
                rset: config.time("smtp_rset_timeout"),
                quit: config.time("smtp_quit_timeout"),
                idle: config.time("smtp_connection_cache_time_limit"),
            },
            manner: Manner {
                pipelining: true,
                discarded: config.list("smtp_discard_ehlo_keywords").iter().map(|word| word.to_lowercase()).collect(),
                always_ehlo: config.flag("smtp_always_send_ehlo"),
                never_ehlo: config.flag("smtp_never_send_ehlo"),
                skip_5xx_greeting: config.flag("smtp_skip_5xx_greeting"),
                skip_quit_response: config.flag("smtp_skip_quit_response"),
                line_length: count(config, "smtp_line_length_limit"),
                convert_8bit: !config.flag("disable_mime_output_conversion"),
            },
        }
    }
}

fn count(config: &Config, name: &str) -> usize {
    usize::try_from(config.number(name)).unwrap_or(usize::MAX)
}

fn port(config: &Config, name: &str) -> u16 {
    u16::try_from(config.number(name)).unwrap_or(25)
}
