//! From `maildrop` into the queue, some messages at a time so that they share their syncs.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use addresses::Entering;
use config::Config;
use durable::{Access, Dir};
use handover::Outcome;
use mail::{Address, Domain, EnhancedStatus, Envelope, OldForms, QueueId, Recipient};
use spool::{Damage, Incoming, OpenError, Origin, QueueFile, Spool};

use super::complete::{self, Completed, Facts};
use crate::bounce::{Action, Fate, Kind, Notice, Sender};
use crate::cleanup::Cleanup;
use crate::local::line::Line;

/// What is needed to enter messages.
pub(super) struct Entry {
    spool: Spool,
    maildrop: Dir,
    qmgr: PathBuf,
    socket: Option<UnixDatagram>,
    host: String,
    mail_name: String,
    origin: Option<Domain>,
    forms: OldForms,
    duplicate_limit: usize,
    hop_limit: usize,
    notices: Sender,
    cleanup: Cleanup,
    /// `pickup_content_filter`
    filter: Option<String>,
}

impl Entry {
    pub(super) fn new(config: &Config, spool: Spool, maildrop: Dir) -> Self {
        let filter = Some(config.text("pickup_content_filter").trim().to_owned()).filter(|text| !text.is_empty());
        let late = config.list("receive_override_options").iter().any(|option| option == "no_address_mappings");
        let socket = UnixDatagram::unbound().ok();
        socket.iter().for_each(|socket| drop(socket.set_nonblocking(true)));
        Self {
            spool,
            maildrop,
            qmgr: PathBuf::from(config.text("queue_directory")).join("public/qmgr"),
            socket,
            host: config.text("myhostname").to_owned(),
            mail_name: config.text("mail_name").to_owned(),
            origin: Domain::parse(config.text("myorigin")).ok(),
            forms: addresses::old_forms(config),
            duplicate_limit: count(config, "duplicate_filter_limit"),
            hop_limit: count(config, "hopcount_limit"),
            notices: Sender::new(config),
            cleanup: if filter.is_some() && late { Cleanup::IDLE } else { Cleanup::new(config) },
            filter,
        }
    }

    /// Enters all that is there now, until the directory has nothing that can be entered. What fails stays for the next
    /// time.
    pub(super) fn enter_all(&self) {
        let mut before = None;
        loop {
            let mut ids = match self.maildrop.entries() {
                Ok(entries) => entries.iter().filter_map(|entry| QueueId::parse(&entry.name)).collect::<Vec<_>>(),
                Err(error) => return tracing::warn!("maildrop: {error}"),
            };
            ids.sort_unstable();
            // Nothing new, or nothing but what could not be entered a moment ago.
            if ids.is_empty() || before.as_ref() == Some(&ids) {
                return;
            }
            self.enter_batch(&ids);
            before = Some(ids);
        }
    }

    fn enter_batch(&self, ids: &[QueueId]) {
        let left = Mutex::new(ids.iter());
        let next = || left.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next().copied();
        std::thread::scope(|scope| {
            for _ in 1..ids.len().min(THREADS) {
                scope.spawn(|| std::iter::from_fn(next).for_each(|id| self.enter_one(id)));
            }
            std::iter::from_fn(next).for_each(|id| self.enter_one(id));
        });
        if let Err(error) = self.maildrop.sync_shared() {
            tracing::warn!("maildrop: {error}");
        }
    }

    fn enter_one(&self, dropped: QueueId) {
        let entered = match QueueFile::open(&self.maildrop, dropped, Access::Read) {
            Ok(file) => self.enter(&file),
            Err(error) => Err(error),
        };
        match entered {
            Ok(id) => {
                // Should this fail, it is entered again, which is said here and better than lost.
                if let Err(error) = self.maildrop.unlink(&dropped.name()) {
                    tracing::error!("{id}: maildrop/{dropped} cannot be removed: {error}");
                }
                self.wake_qmgr(id);
            }
            Err(OpenError::Gone) => {}
            Err(OpenError::Disk(error)) => tracing::warn!("maildrop/{dropped}: {error}"),
            Err(OpenError::Damaged(damage)) => self.set_aside(dropped, damage),
        }
    }

    fn set_aside(&self, dropped: QueueId, damage: Damage) {
        tracing::error!("maildrop/{dropped}: {damage}; moved to corrupt");
        let corrupt = self.spool.dir(spool::Queue::Corrupt);
        if let Err(error) = self.maildrop.rename_new(&dropped.name(), corrupt, &dropped.name()) {
            tracing::error!("maildrop/{dropped}: {error}");
        }
    }

    fn enter(&self, file: &QueueFile) -> Result<QueueId, OpenError> {
        let meta = file.file.meta()?;
        if meta.links != 1 {
            return Err(Damage::Magic.into());
        }
        // What its addresses become cannot be told now: it stays where it is.
        let tables = self.cleanup.tables().map_err(io::Error::other)?;
        let qualified = self.qualified(&file.envelope);
        let mut envelope = tables.envelope(&qualified, Entering::Mail).map_err(io::Error::other)?.into_owned();
        envelope.merge_duplicates(self.duplicate_limit);
        // Whatever the dropped file says.
        envelope.filter.clone_from(&self.filter);
        let message = self.spool.enter(&envelope, &Origin::Local { uid: meta.uid });
        let id = message.id();
        let sender = envelope.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default();
        tracing::info!("{id}: uid={} from=<{sender}>", meta.uid);
        let addresses = self.origin.as_ref().map(|origin| tables.addresses(origin.to_string()));
        let facts = Facts {
            id,
            uid: meta.uid,
            arrival: file.arrival,
            host: &self.host,
            mail_name: &self.mail_name,
            sender: &sender,
            addresses: addresses.as_ref(),
        };
        let head_size = file.size().min(complete::MAX_HEADER);
        let mut head = vec![0; usize::try_from(head_size).map_err(io::Error::other)?];
        file.file.read_exact_at(&mut head, file.content.start)?;
        let done = complete::complete(&head, &facts);
        tracing::info!("{id}: message-id={}", done.message_id);
        if done.hops > self.hop_limit {
            return self.return_loop(id, file, envelope);
        }
        Ok(Self::write(message, file, &head, &done)?)
    }

    /// A message that has passed too many servers is not entered: its sender gets it back.
    fn return_loop(&self, id: QueueId, file: &QueueFile, envelope: Envelope) -> Result<QueueId, OpenError> {
        let (status, text) = (EnhancedStatus::new(5, 4, 6), "too many hops");
        let delay = SystemTime::now().duration_since(file.arrival).unwrap_or_default();
        for recipient in &envelope.recipients {
            let line = Line {
                id,
                to: &recipient.address.to_string(),
                original: recipient.original.as_ref(),
                relay: "none",
                delays: [delay, Duration::ZERO, Duration::ZERO, Duration::ZERO],
                outcome: &Outcome::Bounced(status, text.into()),
            };
            tracing::info!("{line}");
        }
        let fates: Vec<Fate> =
            envelope.recipients.into_iter().map(|to| Fate::here(to, Action::Failed, (status, text.into()))).collect();
        let sender = envelope.reverse_path.as_ref();
        let notice = Notice { id, about: file, sender, kind: Kind::Failed, fates: &fates };
        self.notices.tell(&self.spool, notice)?.into_iter().for_each(|notice| self.wake_qmgr(notice));
        tracing::info!("{id}: removed");
        Ok(id)
    }

    fn write(mut message: Incoming, file: &QueueFile, head: &[u8], done: &Completed) -> io::Result<QueueId> {
        message.write(&done.header)?;
        message.write(&head[done.body..])?;
        let mut at = file.content.start + head.len() as u64;
        let mut chunk = vec![0; CHUNK];
        while at < file.content.end {
            let want = usize::try_from(file.content.end - at).unwrap_or(CHUNK).min(CHUNK);
            file.file.read_exact_at(&mut chunk[..want], at)?;
            message.write(&chunk[..want])?;
            at += want as u64;
        }
        message.commit()
    }

    /// Bare names get `myorigin`; what the user wrote is kept beside it for the log and `X-Original-To`.
    fn qualified(&self, envelope: &Envelope) -> Envelope {
        let whole = |address: &Address| match &self.origin {
            Some(origin) => address.clone().completed(origin, self.forms),
            None => address.clone(),
        };
        let recipient = |given: &Recipient| {
            let address = whole(&given.address);
            let bare = || (address != given.address).then(|| given.address.clone());
            let original = given.original.clone().or_else(bare);
            Recipient { address, original, ..given.clone() }
        };
        Envelope {
            reverse_path: envelope.reverse_path.as_ref().map(whole),
            recipients: envelope.recipients.iter().map(recipient).collect(),
            ..envelope.clone()
        }
    }

    /// Lost when qmgr does not run; it looks at the directory when it starts.
    fn wake_qmgr(&self, id: QueueId) {
        if let Some(socket) = &self.socket {
            socket.send_to(format!("{id}\n").as_bytes(), &self.qmgr).ok();
        }
    }
}

const THREADS: usize = 16;
const CHUNK: usize = 64 * 1024;

fn count(config: &Config, name: &str) -> usize {
    usize::try_from(config.number(name)).unwrap_or(usize::MAX)
}
