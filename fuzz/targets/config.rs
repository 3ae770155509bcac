//! The configuration file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    if let Ok(text) = std::str::from_utf8(text) {
        match config::Config::parse(Path::new("/nonexistent"), text) {
            Ok(config) => drop(config.warnings()),
            Err(problems) => assert!(!problems.is_empty()),
        }
    }
});
