//! `ssmtp.conf` and `revaliases`: through whom mail goes, and under which name.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

/// What the two files say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Site {
    /// Who gets mail for users below 1000.
    pub(super) root: String,
    pub(super) hub: String,
    pub(super) port: Option<u16>,
    /// `rewriteDomain`
    pub(super) domain: String,
    pub(super) hostname: String,
    /// `FromLineOverride`
    pub(super) from_line: bool,
    /// `UseTLS`: from the first octet, unless `start_tls`.
    pub(super) tls: bool,
    pub(super) start_tls: bool,
    pub(super) user: String,
    pub(super) password: String,
    /// `AuthMethod`
    pub(super) method: String,
    /// `TLS_CA_File`: then the mailhub's certificate must be right.
    pub(super) authorities: Option<PathBuf>,
    /// The outgoing address of the caller, from `revaliases`.
    pub(super) alias: Option<String>,
}

impl Site {
    /// Reads `file` and `revaliases` beside it.
    pub(super) fn read(file: &Path, caller: &str) -> Result<Site> {
        let text = fs::read_to_string(file).with_context(|| format!("Cannot open {}", file.display()))?;
        let mut site = Site::parse(&text).map_err(|(line, why)| anyhow!("{}:{line}: {why}", file.display()))?;
        let aliases = file.with_file_name("revaliases");
        if let Ok(text) = fs::read_to_string(&aliases) {
            site.take_alias(&text, caller);
        }
        Ok(site)
    }

    /// Lines `Name=value`; names in any letter case, `#` begins a comment.
    fn parse(text: &str) -> Result<Site, (usize, String)> {
        let mut site = Site { root: "postmaster".into(), hub: "mail".into(), hostname: host_name(), ..Site::default() };
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let Some((name, value)) = line.split_once('=') else {
                match line.is_empty() {
                    true => continue,
                    false => return Err((index + 1, format!("\"{line}\" is not of the form Name=value"))),
                }
            };
            site.set(name.trim(), value.trim()).map_err(|why| (index + 1, why))?;
        }
        site.tls |= site.start_tls;
        Ok(site)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let yes = ["yes", "on", "true"].contains(&value.to_ascii_lowercase().as_str());
        match name.to_ascii_lowercase().as_str() {
            "root" => value.clone_into(&mut self.root),
            "mailhub" | "server" => self.set_hub(value)?,
            "port" => self.port = Some(value.parse().map_err(|_| format!("{value} is no port"))?),
            "rewritedomain" => value.rsplit('@').next().unwrap_or(value).clone_into(&mut self.domain),
            "hostname" => value.clone_into(&mut self.hostname),
            "fromlineoverride" => self.from_line = yes,
            "usetls" => self.tls = yes,
            "usestarttls" => self.start_tls = yes,
            "authuser" => value.clone_into(&mut self.user),
            "authpass" => value.clone_into(&mut self.password),
            "authmethod" => value.clone_into(&mut self.method),
            "tls_ca_file" => self.authorities = Some(value.into()),
            // Settings that change nothing here.
            "debug" | "usetlscert" | "tlscert" | "tlskey" | "tls_ca_dir" => {}
            _ => return Err(format!("{name} is unknown")),
        }
        Ok(())
    }

    fn set_hub(&mut self, text: &str) -> Result<(), String> {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && port.bytes().all(|octet| octet.is_ascii_digit()) => {
                host.clone_into(&mut self.hub);
                self.port = Some(port.parse().map_err(|_| format!("{port} is no port"))?);
            }
            _ => text.clone_into(&mut self.hub),
        }
        Ok(())
    }

    /// `root:account@domain:mailhub:587`.
    fn take_alias(&mut self, text: &str, caller: &str) {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let own = lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.trim() == caller);
        let Some((_, rest)) = own else { return };
        let (address, hub) = rest.split_once(':').unwrap_or((rest, ""));
        self.alias = Some(address.trim().to_owned());
        if !hub.trim().is_empty() {
            self.port = None;
            let _ = self.set_hub(hub.trim());
        }
    }

    /// As written, or the standard one.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls && !self.start_tls { 465 } else { 25 })
    }

    /// The domain of addresses without one.
    pub(super) fn mail_domain(&self) -> &str {
        if self.domain.is_empty() { &self.hostname } else { &self.domain }
    }
}

fn host_name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_lab_e() {
        let text = "# Config file\nroot=kevin@example.org\nmailhub=smtp.gmail.com:587\nAuthUser=me\nAuthPass=a=b c\nUseTLS=YES\n\
            UseSTARTTLS=YES\nrewriteDomain=example.org\nhostname=vm.example.org # ours\nFromLineOverride=YES\n";
        let mut site = Site::parse(text).unwrap();
        assert_eq!((site.hub.as_str(), site.port(), site.password.as_str()), ("smtp.gmail.com", 587, "a=b c"));
        assert!(site.tls && site.start_tls && site.from_line);
        assert_eq!((site.hostname.as_str(), site.mail_domain()), ("vm.example.org", "example.org"));
        site.take_alias("# x\nkevin:me@example.org\nroot:account@domain:mailhub:2587\n", "root");
        assert_eq!((site.alias.as_deref(), site.hub.as_str(), site.port()), (Some("account@domain"), "mailhub", 2587));
        assert_eq!(Site::parse("mailhub=a\nUseTLS=yes").unwrap().port(), 465);
        assert_eq!(Site::parse("\nnonsense").unwrap_err().0, 2);
        assert!(Site::parse("mailhubb=x").is_err());
    }
}
