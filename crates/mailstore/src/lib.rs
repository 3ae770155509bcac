//! A mailbox and what is in it: Maildir, mbox, uids, flags.
