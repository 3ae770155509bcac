//! `imapd`: see `readers::keeper`.

fn main() -> std::process::ExitCode {
    imapd::keeper()
}
