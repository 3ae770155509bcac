//! Questions to the DNS from a program without a runtime: one at a time, each server in turn, over UDP and, when an answer
//! is too long for that, over TCP.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

/// Whom to ask.
#[derive(Debug)]
pub(crate) struct Servers {
    list: Vec<SocketAddr>,
    /// The next question's number.
    number: Cell<u16>,
}

/// What the DNS says.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The name exists, with records of this type or without.
    pub(crate) exists: bool,
    /// The name is another one's alias.
    pub(crate) alias: bool,
    /// The records of the type that was asked for.
    pub(crate) records: Vec<RData>,
}

/// Nobody can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No server answers.
    Away(Vec<SocketAddr>),
    /// A server answers that it does not know now.
    Says(ResponseCode),
}

impl Servers {
    /// Those named by the caller, else by the configuration, else by `/etc/resolv.conf`.
    pub(crate) fn new(named: Option<&str>, configured: &[String]) -> Result<Servers> {
        let list = match named {
            Some(text) => vec![place(text)?],
            None if !configured.is_empty() => configured.iter().map(|text| place(text)).collect::<Result<_>>()?,
            None => of_system(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
        };
        if list.is_empty() {
            bail!("no DNS server is named in /etc/resolv.conf: name one with --dns");
        }
        Ok(Servers { list, number: Cell::new(std::process::id() as u16) })
    }

    /// The records of a type that a name has.
    pub(crate) fn ask(&self, name: &Name, kind: RecordType) -> Result<Answer, Trouble> {
        let mut trouble = Trouble::Away(self.list.clone());
        for server in self.list.iter().cycle().take(self.list.len() * ROUNDS) {
            let Ok(answer) = self.exchange(name, kind, *server) else { continue };
            match answer.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => return Ok(Answer::read(answer, kind)),
                code => trouble = Trouble::Says(code),
            }
        }
        Err(trouble)
    }

    fn exchange(&self, name: &Name, kind: RecordType, server: SocketAddr) -> io::Result<Message> {
        let number = self.number.get().wrapping_mul(25_173).wrapping_add(13_849);
        self.number.set(number);
        let mut asked = Message::new(number, MessageType::Query, OpCode::Query);
        asked.metadata.recursion_desired = true;
        asked.add_query(Query::query(name.clone(), kind));
        let mut edns = Edns::new();
        edns.set_max_payload(LONGEST as u16);
        asked.set_edns(edns);
        let answer = by_udp(&asked, server)?;
        if answer.metadata.truncation { by_tcp(&asked, server) } else { Ok(answer) }
    }
}

impl Answer {
    fn read(message: Message, kind: RecordType) -> Answer {
        let alias = message.answers.iter().any(|record| record.record_type() == RecordType::CNAME);
        let records = message.answers.into_iter().map(|record| record.data).filter(|data| data.record_type() == kind);
        Answer { exists: message.metadata.response_code == ResponseCode::NoError, alias, records: records.collect() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Away(list) => {
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                write!(f, "no DNS server answers (asked {})", list.join(", "))
            }
            Trouble::Says(code) => write!(f, "the DNS server does not know now ({code})"),
        }
    }
}

/// What does not belong to the question is passed over: anybody may send to a port.
fn by_udp(asked: &Message, server: SocketAddr) -> io::Result<Message> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.send(&asked.to_vec().map_err(io::Error::other)?)?;
    let (end, mut octets) = (Instant::now() + PATIENCE, vec![0; LONGEST]);
    loop {
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        socket.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        let length = socket.recv(&mut octets)?;
        if let Some(answer) = octets.get(..length).and_then(|octets| read(octets, asked)) {
            return Ok(answer);
        }
    }
}

fn by_tcp(asked: &Message, server: SocketAddr) -> io::Result<Message> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let packet = asked.to_vec().map_err(io::Error::other)?;
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &packet].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets)?;
    read(&octets, asked).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read(octets: &[u8], asked: &Message) -> Option<Message> {
    let answer = Message::from_vec(octets).ok()?;
    let ours = answer.metadata.id == asked.metadata.id && answer.metadata.message_type == MessageType::Response;
    (ours && answer.queries == asked.queries).then_some(answer)
}

fn place(text: &str) -> Result<SocketAddr> {
    let alone = || text.parse().map(|address: IpAddr| SocketAddr::new(address, 53));
    text.parse().or_else(|_| alone()).map_err(|_| anyhow!("\"{text}\" is no DNS server: write address or address:port"))
}

fn of_system(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| line.strip_prefix("nameserver")?.trim().split('%').next()?.parse::<IpAddr>().ok();
    text.lines().filter_map(address).map(|address| SocketAddr::new(address, 53)).collect()
}

const PATIENCE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 2;
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_ask() {
        assert_eq!(of_system("# x\nnameserver 192.168.0.254\nnameserver fe80::1%eth0\nsearch a.fr\n").len(), 2);
        let named = |text| Servers::new(Some(text), &[]).map(|servers| servers.list);
        assert_eq!(named("192.0.2.1").unwrap(), ["192.0.2.1:53".parse().unwrap()]);
        assert_eq!(named("[::1]:5353").unwrap(), ["[::1]:5353".parse().unwrap()]);
        assert!(named("ns.example").is_err());
    }

    #[test]
    fn only_the_answer_to_the_question_counts() {
        let name = Name::from_ascii("a.fr.").unwrap();
        let mut asked = Message::new(7, MessageType::Query, OpCode::Query);
        asked.add_query(Query::query(name.clone(), RecordType::MX));
        let reply = |number, kind| {
            let mut answer = Message::new(number, MessageType::Response, OpCode::Query);
            answer.add_query(Query::query(name.clone(), kind));
            answer.to_vec().unwrap()
        };
        assert!(read(&reply(7, RecordType::MX), &asked).is_some());
        assert!(read(&reply(8, RecordType::MX), &asked).is_none());
        assert!(read(&reply(7, RecordType::TXT), &asked).is_none());
        assert!(read(&asked.to_vec().unwrap(), &asked).is_none() && read(&[0, 7], &asked).is_none());
    }
}
