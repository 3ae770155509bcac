//! What build this is, for `--version` and `facteur status`.

use std::sync::LazyLock;

/// `0.1.0`, with the commit where the source came from a repository: `0.1.0 (a509d74b)`.
pub(crate) fn short() -> &'static str {
    static SHORT: LazyLock<String> = LazyLock::new(|| match build::SHORT_COMMIT {
        "" => build::PKG_VERSION.into(),
        commit => format!("{} ({commit})", build::PKG_VERSION),
    });
    &SHORT
}

#[allow(missing_docs, unreachable_pub, dead_code, clippy::all)] // generated
mod build {
    shadow_rs::shadow!(generated);
    pub(crate) use generated::*;
}
