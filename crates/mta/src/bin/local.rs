//! Local delivery. See `mta::local`.

fn main() -> std::process::ExitCode {
    mta::local::main()
}
