//! Delivery to other hosts. See `mta::smtp`.

fn main() -> std::process::ExitCode {
    mta::smtp::main()
}
