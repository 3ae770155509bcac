//! Starts and keeps the mail transport. See `mta::master`.

fn main() -> std::process::ExitCode {
    mta::master::main()
}
