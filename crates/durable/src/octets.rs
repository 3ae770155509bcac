//! A file that is on no disk: octets that somebody handed over.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::SystemTime;

use crate::disk::{Kind, Meta, RawFile};

/// Nobody can change it, and it has no descriptor.
pub(crate) struct Octets(pub(crate) Arc<[u8]>);

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl RawFile for Octets {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        read_only()
    }

    fn append(&self, _: &[u8]) -> io::Result<u64> {
        read_only()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync(&self) -> io::Result<()> {
        read_only()
    }

    fn written(&self) -> io::Result<()> {
        read_only()
    }

    fn meta(&self) -> io::Result<Meta> {
        Ok(Meta {
            kind: Kind::File,
            size: self.0.len() as u64,
            mtime: SystemTime::UNIX_EPOCH,
            inode: 0,
            device: 0,
            links: 0,
            uid: 0,
            gid: 0,
            mode: 0o400,
        })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn lend(&self) -> io::Result<BorrowedFd<'_>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn octets(&self) -> Option<Arc<[u8]>> {
        Some(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use crate::File;

    #[test]
    fn octets_are_read_as_a_file() {
        let file = File::from_octets((*b"Subject: x").into());
        assert_eq!(file.read_all(10).expect("read"), b"Subject: x");
        let mut end = [0; 4];
        assert_eq!((file.read_at(&mut end, 9).expect("read"), end[0]), (1, b'x'));
        assert_eq!([10, 11, u64::MAX].map(|offset| file.read_at(&mut end, offset).expect("the end")), [0; 3]);
        assert!(file.append(b"y").is_err() && file.sync().is_err() && file.lend().is_err());
    }
}
