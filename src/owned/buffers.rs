//! Several pieces of memory that are lent to the kernel at once.

use super::buffer::{Buffer, BufferMut};

/// Several buffers that the kernel can read from, one after the other.
///
/// # Safety
///
/// Implementors promise that, until the value is moved, dropped or used mutably, the buffers are the
/// same ones, at the same place, and used mutably by nobody, whatever else happens.
pub unsafe trait Buffers {
    /// What each of them is.
    type Buffer: Buffer;

    /// All of them, in their order.
    fn buffers(&self) -> &[Self::Buffer];
}

/// Several buffers that the kernel can write to, one after the other.
///
/// # Safety
///
/// Implementors promise that, until the value is moved, dropped or used otherwise, the buffers are
/// the same ones, at the same place, and used by nobody else.
pub unsafe trait BuffersMut {
    /// What each of them is.
    type Buffer: BufferMut;

    /// All of them, in their order.
    fn buffers_mut(&mut self) -> &mut [Self::Buffer];
}

// SAFETY: a vector's elements are its own, and it moves them only when it is used mutably.
unsafe impl<B: Buffer> Buffers for Vec<B> {
    type Buffer = B;

    fn buffers(&self) -> &[B] {
        self
    }
}

// SAFETY: as above.
unsafe impl<B: BufferMut> BuffersMut for Vec<B> {
    type Buffer = B;

    fn buffers_mut(&mut self) -> &mut [B] {
        self
    }
}

// SAFETY: the elements of an array are part of the value.
unsafe impl<B: Buffer, const N: usize> Buffers for [B; N] {
    type Buffer = B;

    fn buffers(&self) -> &[B] {
        self
    }
}

// SAFETY: as above.
unsafe impl<B: BufferMut, const N: usize> BuffersMut for [B; N] {
    type Buffer = B;

    fn buffers_mut(&mut self) -> &mut [B] {
        self
    }
}
