//! What build this is, for `--version` and the line `daemon started`.

/// `0.1.0`, with the commit where the source came from a repository: `0.1.0 (a509d74b)`.
#[must_use]
pub fn short() -> String {
    match build::SHORT_COMMIT {
        "" => build::PKG_VERSION.into(),
        commit => format!("{} ({commit})", build::PKG_VERSION),
    }
}

/// The text of `PROGRAM --version`.
#[must_use]
pub fn text(program: &str) -> String {
    format!("facteur {program} {}\n{}, {}", short(), build::BUILD_TARGET, build::RUST_VERSION)
}

#[allow(missing_docs, unreachable_pub, dead_code, clippy::all)] // generated
mod build {
    shadow_rs::shadow!(generated);
    pub use generated::*;
}
