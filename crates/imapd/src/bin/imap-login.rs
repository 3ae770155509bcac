//! `imap-login`: see `readers::front`.

fn main() -> std::process::ExitCode {
    imapd::front()
}
