//! A line of `smtp_tls_policy_maps`: how much TLS a next hop gets (Postfix: smtp_tls_policy(5)).
//!
//! `level attribute=value…`. What is asked for and cannot be had is never passed over in silence: an attribute that is
//! unknown, written twice or senseless at its level makes the line invalid, and mail for the next hop waits; one that our
//! TLS cannot honour, though it is no weaker without, is told once ([`Line::told`]). Of TLS there are versions 1.2 and 1.3
//! here, with the suites in [`SUITES`] and those of version 1.3; so the grades of `ciphers` are all met.

/// What is asked of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// None.
    None,
    /// If it can be had, with whomever.
    May,
    /// Always, with whomever.
    Encrypt,
    /// With a host that holds a certificate for its name.
    Verify,
    /// With a host that holds a certificate for the next hop's name, so that forged DNS leads nowhere.
    Secure,
}

/// A line that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The level.
    pub level: Level,
    /// `match`, word by word; empty: as the parameters say.
    pub names: Vec<String>,
    /// Which versions may be spoken.
    pub versions: Versions,
    /// Which of [`SUITES`] may not be.
    pub excluded: Vec<&'static str>,
    /// `servername`: the name said to the host; `hostname` and `nexthop` mean those.
    pub server_name: Option<String>,
    /// `tafile`: authorities instead of those of all.
    pub authorities: Vec<String>,
    /// `connection_reuse`
    pub reuse: bool,
    /// What the log should say about the line: attributes that have no effect.
    pub told: Vec<String>,
}

/// Versions of TLS; of those there are here, never none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Versions {
    /// TLS 1.2
    pub tls12: bool,
    /// TLS 1.3
    pub tls13: bool,
}

/// The suites of TLS 1.2 that there are here, as OpenSSL calls them.
pub const SUITES: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

impl Level {
    /// By its name.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "none" => Self::None,
            "may" => Self::May,
            "encrypt" => Self::Encrypt,
            "verify" => Self::Verify,
            "secure" => Self::Secure,
            _ => return None,
        })
    }

    /// The certificate must be right.
    #[must_use]
    pub const fn verifies(self) -> bool {
        matches!(self, Self::Verify | Self::Secure)
    }
}

impl Line {
    /// A level and nothing else.
    #[must_use]
    pub const fn plain(level: Level) -> Self {
        Self {
            level,
            names: Vec::new(),
            versions: Versions::ALL,
            excluded: Vec::new(),
            server_name: None,
            authorities: Vec::new(),
            reuse: true,
            told: Vec::new(),
        }
    }

    /// Reads what stands beside a next hop.
    ///
    /// # Errors
    /// The sentence that says why the line is invalid.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty());
        let level = words.next().unwrap_or_default();
        let invalid = |why: String| format!("TLS policy \"{text}\": {why}");
        let mut line =
            Self::plain(Level::read(level).ok_or_else(|| invalid(format!("invalid security level \"{level}\"")))?);
        let mut seen = Vec::new();
        for word in words {
            if line.level == Level::None {
                line.told.push(invalid(format!("ignoring attribute \"{word}\" with TLS disabled")));
                continue;
            }
            let (name, value) =
                word.split_once('=').ok_or_else(|| invalid(format!("malformed attribute \"{word}\"")))?;
            let name = name.to_ascii_lowercase();
            if value.is_empty() {
                return Err(invalid(format!("attribute \"{name}\" has no value")));
            }
            if !matches!(name.as_str(), "match" | "tafile") && seen.contains(&name) {
                return Err(invalid(format!("attribute \"{name}\" is specified multiple times")));
            }
            line.take(&name, value).map_err(invalid)?.into_iter().for_each(|told| line.told.push(invalid(told)));
            seen.push(name);
        }
        Ok(line)
    }

    /// One attribute; what is to be told about it.
    fn take(&mut self, name: &str, value: &str) -> Result<Option<String>, String> {
        if matches!(name, "match" | "tafile") && !self.level.verifies() {
            return Err(format!("attribute \"{name}\" is invalid at a security level that looks at no certificate"));
        }
        match name {
            "match" => self.names.extend(value.split([':', '|']).filter(|it| !it.is_empty()).map(str::to_owned)),
            "tafile" => self.authorities.push(value.to_owned()),
            "servername" => self.server_name = Some(value.to_owned()),
            "protocols" => self.versions = Versions::read(value)?,
            "ciphers" => return grade(value),
            "exclude" => return Ok(self.exclude(value)),
            "connection_reuse" => self.reuse = yes(name, value)?,
            "enable_rpk" => return Ok(yes(name, value)?.then(|| without_effect(name, value, "raw public keys"))),
            _ => return Err(format!("invalid attribute \"{name}\"")),
        }
        Ok(None)
    }

    fn exclude(&mut self, value: &str) -> Option<String> {
        let mut unknown = Vec::new();
        for word in value.split(':').filter(|word| !word.is_empty()) {
            match excluded(word) {
                Some(suites) => self.excluded.extend(suites),
                None => unknown.push(word),
            }
        }
        self.excluded.sort_unstable();
        self.excluded.dedup();
        (!unknown.is_empty()).then(|| without_effect("exclude", &unknown.join(":"), "ciphers of that name"))
    }
}

fn without_effect(name: &str, value: &str, what: &str) -> String {
    format!("attribute \"{name}={value}\" has no effect: there are no {what} here")
}

fn yes(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("attribute \"{name}\" is yes or no, not \"{value}\"")),
    }
}

/// `ciphers`: what there is here belongs to the best grade, and so to each.
fn grade(value: &str) -> Result<Option<String>, String> {
    match value.to_ascii_lowercase().as_str() {
        "export" | "low" | "medium" | "high" => Ok(None),
        "null" => Ok(Some(without_effect("ciphers", value, "ciphers that do not encipher"))),
        _ => Err(format!("invalid cipher grade \"{value}\"")),
    }
}

impl Versions {
    /// All there are here.
    pub const ALL: Self = Self { tls12: true, tls13: true };

    /// As in `smtp_tls_protocols`: names to take or, with `!`, to leave out; `>=` and `<=` bounds.
    fn read(value: &str) -> Result<Self, String> {
        let (mut low, mut high) = (0, usize::MAX);
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for word in value.split(':').filter(|word| !word.is_empty()) {
            if let Some(name) = word.strip_prefix(">=") {
                low = rank(name)?;
            } else if let Some(name) = word.strip_prefix("<=") {
                high = rank(name)?;
            } else if let Some(name) = word.strip_prefix('!') {
                left.push(rank(name)?);
            } else {
                taken.push(rank(word)?);
            }
        }
        let allows = |rank: usize| {
            (low..=high).contains(&rank) && !left.contains(&rank) && (taken.is_empty() || taken.contains(&rank))
        };
        let versions = Self { tls12: allows(TLS12), tls13: allows(TLS12 + 1) };
        if versions.tls12 || versions.tls13 {
            return Ok(versions);
        }
        Err(format!("attribute \"protocols={value}\" leaves neither TLSv1.2 nor TLSv1.3, and there is no other here"))
    }
}

const PROTOCOLS: [&str; 6] = ["sslv2", "sslv3", "tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"];
const TLS12: usize = 4;

fn rank(name: &str) -> Result<usize, String> {
    let known = PROTOCOLS.iter().position(|one| name.eq_ignore_ascii_case(one));
    known.ok_or_else(|| format!("invalid protocol \"{name}\""))
}

/// The suites of ours that a word of OpenSSL's language of ciphers means; `None`: a word we do not know.
fn excluded(word: &str) -> Option<Vec<&'static str>> {
    let mut suites = SUITES.to_vec();
    for part in word.split('+') {
        if SUITES.contains(&part) {
            suites.retain(|suite| *suite == part);
        } else if let Some(mark) = mark(part) {
            suites.retain(|suite| suite.contains(mark));
        } else if ABSENT.iter().any(|name| name.eq_ignore_ascii_case(part)) || is_other_suite(part) {
            suites.clear();
        } else {
            return None;
        }
    }
    Some(suites)
}

/// What all suites of a family have in their names.
fn mark(family: &str) -> Option<&'static str> {
    Some(match family {
        "ALL" | "HIGH" | "TLSv1.2" | "ECDHE" | "kECDHE" | "EECDH" | "kEECDH" | "ECDH" => "ECDHE",
        "aRSA" | "RSA" => "ECDHE-RSA",
        "aECDSA" | "ECDSA" => "ECDSA",
        "AES" => "AES",
        "AES128" => "AES128",
        "AES256" => "AES256",
        "AESGCM" => "GCM",
        "CHACHA20" => "CHACHA20",
        "SHA256" => "SHA256",
        "SHA384" => "SHA384",
        _ => return None,
    })
}

/// A single suite of those we never offer.
fn is_other_suite(name: &str) -> bool {
    let shape = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-';
    name.contains('-') && name.chars().all(shape) && !name.starts_with("TLS")
}

/// Families of which we never offer any.
const ABSENT: [&str; 44] = [
    "aNULL",
    "eNULL",
    "NULL",
    "ADH",
    "AECDH",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "LOW",
    "MEDIUM",
    "DES",
    "3DES",
    "RC2",
    "RC4",
    "IDEA",
    "SEED",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "MD5",
    "SHA",
    "SHA1",
    "DSS",
    "aDSS",
    "PSK",
    "aPSK",
    "kPSK",
    "SRP",
    "aSRP",
    "kSRP",
    "kRSA",
    "DH",
    "DHE",
    "kDHE",
    "EDH",
    "kEDH",
    "AESCCM",
    "AESCCM8",
    "SSLv3",
    "TLSv1",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Line {
        Line::read(text).expect(text)
    }

    #[test]
    fn versions_are_named_excluded_or_bounded() {
        let both = (true, true);
        for (value, expected) in [
            ("TLSv1.2", (true, false)),
            ("TLSv1.3:TLSv1", (false, true)),
            ("!SSLv2:!SSLv3:!TLSv1", both),
            ("!TLSv1.2", (false, true)),
            (">=TLSv1.3", (false, true)),
            (">=tlsv1:<=TLSv1.2", (true, false)),
            (">=TLSv1", both),
        ] {
            let versions = read(&format!("encrypt protocols={value}")).versions;
            assert_eq!((versions.tls12, versions.tls13), expected, "{value}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error_and_never_less_protection() {
        for (text, why) in [
            ("encrypt protocols=TLSv1.1", "neither TLSv1.2 nor TLSv1.3"),
            ("encrypt protocols=TLSv9", "invalid protocol \"TLSv9\""),
            ("secure protocol=TLSv1.3", "invalid attribute \"protocol\""),
            ("secure match", "malformed attribute \"match\""),
            ("secure match=", "has no value"),
            ("encrypt match=a.org", "invalid at a security level"),
            ("may tafile=/etc/a.pem", "invalid at a security level"),
            ("secure ciphers=best", "invalid cipher grade"),
            ("secure ciphers=high ciphers=low", "multiple times"),
            ("dane", "invalid security level \"dane\""),
            ("", "invalid security level \"\""),
        ] {
            let said = Line::read(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn ciphers_are_left_out_as_openssl_names_them() {
        for (value, left, told) in [
            ("aNULL:DES:3DES:RC4:DES-CBC3-SHA:AES+SHA1", 6, false),
            ("AES128", 4, false),
            ("aRSA+AESGCM:CHACHA20", 2, false),
            ("ECDHE-RSA-AES256-GCM-SHA384", 5, false),
            ("TLS_AES_128_GCM_SHA256", 6, true),
            ("HIGH", 0, false),
        ] {
            let line = read(&format!("encrypt exclude={value}"));
            assert_eq!((SUITES.len() - line.excluded.len(), !line.told.is_empty()), (left, told), "{value}");
        }
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let said = &read("none protocols=TLSv1.3").told;
        assert_eq!(
            *said,
            ["TLS policy \"none protocols=TLSv1.3\": ignoring attribute \"protocols=TLSv1.3\" with TLS disabled"]
        );
        assert!(read("encrypt ciphers=null enable_rpk=yes").told.len() == 2);
        let line = read("secure match=a.org:.b.org,match=c.org servername=hostname connection_reuse=no ciphers=high");
        assert_eq!((line.names, line.told), (vec!["a.org".into(), ".b.org".into(), "c.org".into()], vec![]));
        assert_eq!((line.server_name.as_deref(), line.reuse), (Some("hostname"), false));
    }
}
