//! `pop3-login`: see `readers::front`.

fn main() -> std::process::ExitCode {
    popd::front()
}
