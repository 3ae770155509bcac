//! `imap`: see `readers::worker`.

fn main() -> std::process::ExitCode {
    imapd::worker()
}
