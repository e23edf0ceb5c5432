//! The system call of the hot path, `io_uring_enter(2)`.
//!
//! On the three architectures that matter most the instruction is part of the caller's own loop:
//! the first *return* after a system call can cost as much as the call, because the processor has
//! lost its predictions of where returns lead. Elsewhere liburing's function makes the call.

#![expect(clippy::inline_always, reason = "the module's purpose")]

use std::ffi::c_void;
use std::io;
use std::os::fd::RawFd;
use std::ptr;

use crate::features::Features;
use crate::sys;

/// Where and how to enter: the ring's descriptor, or its index among the registered rings of the
/// thread, and the flags that go with every call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    fd: RawFd,
    /// With `GETEVENTS`, so that those who wait have nothing to add.
    flags: u32,
}

impl Gate {
    /// The gate of a ring that liburing has set up.
    pub(crate) fn of(ring: &sys::io_uring) -> Self {
        // liburing keeps in `int_flags` what it adds to the flags of every call.
        let added = sys::IORING_ENTER_REGISTERED_RING | sys::IORING_ENTER_NO_IOWAIT;
        Self {
            fd: ring.enter_ring_fd,
            flags: u32::from(ring.int_flags) & added | sys::IORING_ENTER_GETEVENTS,
        }
    }

    /// The gate of the same ring after its descriptors have changed.
    pub(crate) fn refreshed(self, ring: &sys::io_uring) -> Self {
        let mut gate = Self::of(ring);
        gate.flags |= self.flags & sys::IORING_ENTER_NO_IOWAIT;
        gate
    }

    /// Whether waits through this gate count as waits for I/O.
    pub(crate) fn set_iowait(&mut self, counted: bool, features: Features) -> io::Result<()> {
        if !features.contains(Features::NO_IOWAIT) {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        if counted {
            self.flags &= !sys::IORING_ENTER_NO_IOWAIT;
        } else {
            self.flags |= sys::IORING_ENTER_NO_IOWAIT;
        }
        Ok(())
    }

    /// Submits up to `to_submit` entries, with further flags, and returns at once.
    ///
    /// Returns how many entries were taken, or a negative errno.
    #[inline(always)]
    pub(crate) fn submit(self, to_submit: u32, flags: u32) -> i32 {
        let flags = self.flags & !sys::IORING_ENTER_GETEVENTS | flags;
        self.enter(to_submit, 0, flags)
    }

    /// Submits up to `to_submit` entries and waits for `min_complete` completions; with 0 it
    /// fetches those that the kernel has put off.
    ///
    /// Returns how many entries were taken, or a negative errno.
    #[inline(always)]
    pub(crate) fn wait(self, to_submit: u32, min_complete: u32) -> i32 {
        self.enter(to_submit, min_complete, self.flags)
    }

    /// The same with further flags.
    #[inline(always)]
    pub(crate) fn wait_with(self, to_submit: u32, min_complete: u32, flags: u32) -> i32 {
        self.enter(to_submit, min_complete, self.flags | flags)
    }

    #[inline(always)]
    fn enter(self, to_submit: u32, min_complete: u32, flags: u32) -> i32 {
        // SAFETY: without an argument the call touches no memory of ours but the rings. That what
        // the entries name is valid, whoever pushed them has promised.
        unsafe { enter(self.fd, to_submit, min_complete, flags, ptr::null(), 0) }
    }

    /// Submits and waits with an argument: a signal mask, or the structure of `EXT_ARG`.
    ///
    /// # Safety
    ///
    /// `argument` points to what `flags` says it is, `size` bytes of it, and so do the pointers in
    /// it.
    pub(crate) unsafe fn wait_with_argument(
        self,
        to_submit: u32,
        min_complete: u32,
        flags: u32,
        argument: *const c_void,
        size: usize,
    ) -> i32 {
        // SAFETY: the caller's promise, and as above.
        unsafe {
            enter(
                self.fd,
                to_submit,
                min_complete,
                self.flags | flags,
                argument,
                size,
            )
        }
    }
}

/// The kernel's result is a count of entries or a negative errno, both of 32 bits.
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
))]
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "see above")]
fn narrow(result: i64) -> i32 {
    result as i32
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn enter(
    fd: RawFd,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    argument: *const c_void,
    size: usize,
) -> i32 {
    let result: i64;
    // SAFETY: the registers are those of the x86_64 system call convention, the two that the
    // instruction destroys are given up, and memory is taken as changed. The arguments are the
    // caller's promise.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_io_uring_enter => result,
            in("rdi") i64::from(fd),
            in("rsi") u64::from(to_submit),
            in("rdx") u64::from(min_complete),
            in("r10") u64::from(flags),
            in("r8") argument,
            in("r9") size,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    narrow(result)
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
unsafe fn enter(
    fd: RawFd,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    argument: *const c_void,
    size: usize,
) -> i32 {
    let result: i64;
    // SAFETY: the registers are those of the aarch64 system call convention, which destroys none
    // but the result's, and memory is taken as changed. The arguments are the caller's promise.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") libc::SYS_io_uring_enter,
            inlateout("x0") i64::from(fd) => result,
            in("x1") u64::from(to_submit),
            in("x2") u64::from(min_complete),
            in("x3") u64::from(flags),
            in("x4") argument,
            in("x5") size,
            options(nostack),
        );
    }
    narrow(result)
}

#[cfg(target_arch = "riscv64")]
#[inline(always)]
unsafe fn enter(
    fd: RawFd,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    argument: *const c_void,
    size: usize,
) -> i32 {
    let result: i64;
    // SAFETY: the registers are those of the riscv64 system call convention, which destroys none
    // but the result's, and memory is taken as changed. The arguments are the caller's promise.
    unsafe {
        std::arch::asm!(
            "ecall",
            in("a7") libc::SYS_io_uring_enter,
            inlateout("a0") i64::from(fd) => result,
            in("a1") u64::from(to_submit),
            in("a2") u64::from(min_complete),
            in("a3") u64::from(flags),
            in("a4") argument,
            in("a5") size,
            options(nostack),
        );
    }
    narrow(result)
}

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
#[inline]
unsafe fn enter(
    fd: RawFd,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    argument: *const c_void,
    size: usize,
) -> i32 {
    // SAFETY: the caller's promise; liburing only passes the arguments on.
    unsafe {
        sys::io_uring_enter2(
            fd as u32,
            to_submit,
            min_complete,
            flags,
            argument.cast_mut(),
            size,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IoUring;

    #[test]
    fn iowait_is_left_out_where_the_kernel_can() {
        let mut ring = IoUring::new(4).expect("a ring");
        let before = ring.completion().gate().flags;
        assert_eq!(before & sys::IORING_ENTER_NO_IOWAIT, 0);
        let features = ring.submission().features();
        let set = ring.set_iowait(false);
        if !features.contains(Features::NO_IOWAIT) {
            let error = set.expect_err("the kernel cannot");
            assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP));
            return;
        }
        set.expect("the kernel can");
        let (cq, sq) = ring.queues();
        let wanted = before | sys::IORING_ENTER_NO_IOWAIT;
        assert_eq!((cq.gate().flags, sq.gate().flags), (wanted, wanted));
        cq.set_iowait(true).expect("the kernel can");
        assert_eq!((cq.gate().flags, sq.gate().flags), (before, wanted));
    }
}
