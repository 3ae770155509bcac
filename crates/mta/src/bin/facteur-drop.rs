//! Puts a message into `maildrop`, with the group that may. See `mta::sendmail`.

fn main() -> std::process::ExitCode {
    mta::sendmail::drop_main()
}
