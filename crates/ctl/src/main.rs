//! The `facteur` command. See the library `ctl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctl::main()
}
