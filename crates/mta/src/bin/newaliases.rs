//! The `newaliases` command. See `mta::sendmail`.

fn main() -> std::process::ExitCode {
    mta::sendmail::main("newaliases")
}
