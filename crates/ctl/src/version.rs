//! What build this is, for `--version` and `facteur status`.

use std::sync::LazyLock;

/// `0.1.0`, with the commit where the source came from a repository: `0.1.0 (a509d74b)`.
pub(crate) fn short() -> &'static str {
    static SHORT: LazyLock<String> = LazyLock::new(daemon::version::short);
    &SHORT
}
