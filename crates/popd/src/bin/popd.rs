//! `popd`: see `readers::keeper`.

fn main() -> std::process::ExitCode {
    popd::keeper()
}
