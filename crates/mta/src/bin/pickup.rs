//! Takes what `sendmail` dropped into the queue. See `mta::pickup`.

fn main() -> std::process::ExitCode {
    mta::pickup::main()
}
