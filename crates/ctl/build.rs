//! Writes down what build this is. What names the builder's machine or differs between identical builds is left out.

use std::collections::BTreeSet;

use shadow_rs::{
    CARGO_MANIFEST_DIR, CARGO_METADATA, CARGO_TREE, COMMIT_AUTHOR, COMMIT_EMAIL, GIT_STATUS_FILE, ShadowBuilder,
};

fn main() {
    let denied = [CARGO_MANIFEST_DIR, CARGO_METADATA, CARGO_TREE, COMMIT_AUTHOR, COMMIT_EMAIL, GIT_STATUS_FILE];
    if let Err(e) = ShadowBuilder::builder().deny_const(BTreeSet::from(denied)).build() {
        println!("cargo:warning=no build information: {e}");
    }
}
