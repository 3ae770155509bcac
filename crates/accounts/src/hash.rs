//! Password hashes of the accounts file: SHA-crypt, `$5$` and `$6$`.

use std::fs::File;
use std::io::{self, Read};

use sha_crypt::password_hash::{PasswordHasher, PasswordVerifier};
use sha_crypt::{PasswordHashRef, ShaCrypt};

/// A `$6$` hash of `password` with a fresh salt. Fails only when the system gives no random octets.
pub fn hash(password: &str) -> io::Result<String> {
    let mut salt = [0; 12];
    File::open("/dev/urandom")?.read_exact(&mut salt)?;
    let hash = ShaCrypt::SHA512
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "password cannot be hashed"))?;
    Ok(hash.as_str().to_owned())
}

/// Whether the hash may stand in the file: one we can check, or a lock (`*`, `!…`).
pub(crate) fn supported(hash: &str) -> bool {
    let checkable = (hash.starts_with("$5$") || hash.starts_with("$6$")) && PasswordHashRef::new(hash).is_ok();
    checkable || hash.starts_with(['*', '!'])
}

/// Compares in constant time. Without a hash, or with a lock in its place, it works as long and says no.
pub(crate) fn verify(hash: Option<&str>, password: &[u8]) -> bool {
    let real = hash.filter(|hash| hash.starts_with('$'));
    let right = ShaCrypt::SHA512.verify_password(password, real.unwrap_or(NOBODYS)).is_ok();
    right && real.is_some()
}

/// Of a password nobody knows, at the usual number of rounds.
const NOBODYS: &str =
    "$6$facteurnobody$ZxTopF28fE047KUfzI0cqEsbLOvzxHTt06iNaRpFPxhwitcJgndRrDZQ7uYSt3fHFMUUopnn5Qkf5EOsOvDS8.";
