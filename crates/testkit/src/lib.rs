//! Session-file runner, scripted worlds and temporary mailboxes for tests.
