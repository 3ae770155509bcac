//! Passwords of system users, by PAM (service `facteur`): `pam_authenticate`, then `pam_acct_mgmt`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nonstick::items::ItemsMut;
use nonstick::{
    AuthnFlags, ConversationAdapter, ErrorCode, PamShared, Result as PamResult, Transaction, TransactionBuilder,
};
use wire::Secret;

use crate::{Error, Verdict};

/// Asks PAM. The account's own limits (expired, closed) count as a wrong password.
pub(crate) fn verify(name: &str, password: &Secret<Vec<u8>>, peer: &str) -> Result<Verdict, Error> {
    if !SERVICE_FILES.iter().any(|path| Path::new(path).exists()) {
        return Err(Error::NoPamService);
    }
    match attempt(name, password, peer) {
        Ok(()) => Ok(Verdict::Right),
        Err(code) if is_refusal(code) => Ok(Verdict::Wrong),
        Err(code) => Err(Error::Pam(code.to_string())),
    }
}

fn attempt(name: &str, password: &Secret<Vec<u8>>, peer: &str) -> PamResult<()> {
    let conversation = Answers { name, password }.into_conversation();
    let mut transaction = TransactionBuilder::new_with_service(SERVICE).username(name).build(conversation)?;
    if !peer.contains('\0') {
        transaction.items_mut().set_remote_host(Some(OsStr::new(peer)))?;
    }
    transaction.authenticate(AuthnFlags::SILENT | AuthnFlags::DISALLOW_NULL_AUTHTOK)?;
    transaction.account_management(AuthnFlags::SILENT)
}

/// The peer's or the account's fault, as against ours.
fn is_refusal(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::AuthenticationError
            | ErrorCode::UserUnknown
            | ErrorCode::MaxTries
            | ErrorCode::PermissionDenied
            | ErrorCode::AccountExpired
            | ErrorCode::NewAuthTokRequired
            | ErrorCode::CredentialsExpired
            | ErrorCode::AuthTokExpired
    )
}

/// Gives the name and the password to whatever module asks.
struct Answers<'a> {
    name: &'a str,
    password: &'a Secret<Vec<u8>>,
}

impl ConversationAdapter for Answers<'_> {
    fn prompt(&self, _: impl AsRef<OsStr>) -> PamResult<OsString> {
        Ok(self.name.into())
    }
    fn masked_prompt(&self, _: impl AsRef<OsStr>) -> PamResult<OsString> {
        // The library ends the process on an inner NUL, which no real password has.
        let password = self.password.expose().split(|octet| *octet == 0).next().unwrap_or_default();
        Ok(OsStr::from_bytes(password).to_owned())
    }
    fn error_msg(&self, _: impl AsRef<OsStr>) {}
    fn info_msg(&self, _: impl AsRef<OsStr>) {}
}

const SERVICE: &str = "facteur";
const SERVICE_FILES: [&str; 2] = ["/etc/pam.d/facteur", "/usr/lib/pam.d/facteur"];
