//! A value that prints in no build and is wiped when it goes.

use core::fmt;

use zeroize::Zeroize;

/// Holds a password or a token. `Debug` shows three stars; there is no `Display`. Wiped when dropped, as far as it has not
/// been moved or copied before.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a secret.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
    /// The secret itself; the name makes each use easy to find.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::format;
    use std::vec::Vec;

    /// Notes what is left of it.
    struct Noted<'a>(Vec<u8>, &'a RefCell<Option<Vec<u8>>>);

    impl Zeroize for Noted<'_> {
        fn zeroize(&mut self) {
            self.0.as_mut_slice().zeroize();
            *self.1.borrow_mut() = Some(self.0.clone());
        }
    }

    #[test]
    fn it_is_wiped_and_never_shown() {
        let left = RefCell::new(None);
        let secret = Secret::new(Noted(b"abc".to_vec(), &left));
        assert_eq!((format!("{secret:?}").as_str(), secret.expose().0.as_slice()), ("***", &b"abc"[..]));
        drop(secret);
        assert_eq!(left.into_inner(), Some([0; 3].to_vec()));
    }
}
