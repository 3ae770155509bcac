//! `pop3`: see `readers::worker`.

fn main() -> std::process::ExitCode {
    popd::worker()
}
