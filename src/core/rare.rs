//! A part of a record that few records have.

use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

/// What stands for a part that is not there.
pub(crate) trait Absent: Default + 'static {
    /// An empty one, the same as [`Default`] makes.
    fn absent() -> &'static Self;
}

/// A `T` that takes a pointer until it is written to. To read it is free; to borrow it mutably makes
/// it, so look with [`Self::get_mut`] where there may be nothing to change.
#[derive(Debug)]
pub(crate) struct Rare<T>(Option<Box<T>>);

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Rare<T> {
    /// The part, if it is there.
    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Lets go of the part.
    pub(crate) fn give_back(&mut self) {
        self.0 = None;
    }
}

impl<T: Absent> Deref for Rare<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::absent())
    }
}

impl<T: Absent> DerefMut for Rare<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_with(Box::default)
    }
}
