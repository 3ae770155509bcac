//! The real disk: descriptors, `openat2` beneath a directory, no symlinks.
