//! The queue manager. See `mta::qmgr`.

fn main() -> std::process::ExitCode {
    mta::qmgr::main()
}
