//! The SMTP server. See `mta::smtpd`.

fn main() -> std::process::ExitCode {
    mta::smtpd::main()
}
