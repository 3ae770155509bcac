//! The lines of a golden dialogue.

/// Which side of the dialogue the machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `S: `; the file's client is the peer.
    Server,
    /// `C: `; the file's server is the peer.
    Client,
}

impl Role {
    /// How the lines of the peer and of the machine begin.
    pub(super) const fn prefixes(self) -> (&'static str, &'static str) {
        match self {
            Self::Server => ("C", "S"),
            Self::Client => ("S", "C"),
        }
    }
}

/// One line of the file.
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) what: What,
}

pub(super) enum What {
    Setting(String, String),
    /// The peer sends this.
    Peer(Vec<u8>),
    /// A complete expected event, prefix included: `S: …`, `?: …`, `=: …`.
    Expect(String),
    Log(String),
    Answer(String),
    Input(String),
}

pub(super) fn parse(text: &str, role: Role) -> Result<Vec<Step>, String> {
    let (peer, machine) = role.prefixes();
    let mut steps = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (prefix, rest) = line.split_once(':').ok_or_else(|| format!("{number}: no prefix in {line:?}"))?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let what = match prefix {
            "@" => {
                let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
                What::Setting(name.into(), value.into())
            }
            _ if prefix == peer => What::Peer(format!("{rest}\r\n").into_bytes()),
            _ if prefix.strip_suffix("\\n") == Some(peer) => What::Peer(format!("{rest}\n").into_bytes()),
            _ if prefix.strip_suffix("\\b") == Some(peer) => {
                What::Peer(unescape(rest).ok_or_else(|| format!("{number}: bad escape in {line:?}"))?)
            }
            _ if prefix == machine => What::Expect(format!("{prefix}: {rest}").trim_end().into()),
            "?" | "=" => What::Expect(format!("{prefix}: {rest}").trim_end().into()),
            "L" => What::Log(rest.into()),
            "!" => What::Answer(rest.into()),
            "~" => What::Input(rest.into()),
            _ => return Err(format!("{number}: unknown prefix {prefix:?}")),
        };
        steps.push(Step { line: number, what });
    }
    Ok(steps)
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let (&escape, tail) = rest.split_first()?;
        rest = tail;
        octets.push(match escape {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let hex = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(hex, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(octets)
}
