//! The kernel's workers: the threads that carry out what would block.

use std::ffi::c_ulong;

use super::check;
#[cfg(doc)]
use crate::error::RegisterCause;
use crate::error::RegisterError;
use crate::kind::{SqeSize, Threads};
use crate::submission::SubmissionQueue;
use crate::sys;

/// How many workers there may be.
///
/// The limits are those of each NUMA node, and of each thread that submits to the ring. A limit of
/// 0 stands for the one in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the two kinds of workers that C's array has"
)]
pub struct WorkerLimits {
    /// Of those for work that ends by itself, such as that on files.
    ///
    /// By default four for each processor, or fewer.
    pub bounded: u32,
    /// Of those for work that may wait for ever, such as that on sockets and devices.
    ///
    /// By default as many as `RLIMIT_NPROC` allows.
    pub unbounded: u32,
}

/// As many processors as any kernel can be built for.
const MAX_CPUS: usize = 8192;
const BITS: usize = c_ulong::BITS as usize;

type CpuSet = [c_ulong; MAX_CPUS / BITS];

/// The length in bytes of the sets of processors that the kernel itself uses. What is beyond it in
/// a set of ours, it would pass over in silence.
fn kernel_set_bytes() -> usize {
    let mut set: CpuSet = [0; MAX_CPUS / BITS];
    // SAFETY: the pointer is to room of the length that is given. Not the C library's function,
    // which hides how much of it the kernel has filled.
    let bytes = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(&set),
            set.as_mut_ptr(),
        )
    };
    usize::try_from(bytes).unwrap_or(0)
}

/// A set of processors as the kernel takes it; `None` if it is empty, or a number is beyond the
/// kernel's own sets, which have so many bytes.
fn cpu_set(cpus: &[u32], bytes: usize) -> Option<CpuSet> {
    let mut set = [0; MAX_CPUS / BITS];
    for &cpu in cpus {
        let cpu = usize::try_from(cpu).ok().filter(|cpu| cpu / 8 < bytes)?;
        *set.get_mut(cpu / BITS)? |= 1 << (cpu % BITS);
    }
    (!cpus.is_empty()).then_some(set)
}

impl<T: Threads, S: SqeSize> SubmissionQueue<T, S> {
    /// Keeps the kernel's workers to these processors, named by their numbers.
    ///
    /// It concerns the workers of the calling thread, for all its rings, and on a ring with SQPOLL
    /// those of the kernel's thread.
    ///
    /// Since Linux 5.14. C: `io_uring_register_iowq_aff(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] if the list is empty, if the thread may not run on one of the
    /// processors, or if it has not made a ring or submitted to one.
    pub fn register_iowq_aff(&mut self, cpus: &[u32]) -> Result<(), RegisterError> {
        let bytes = kernel_set_bytes();
        let result = match cpu_set(cpus, bytes) {
            // SAFETY: the ring is set up, and the kernel copies so many bytes, which the set has.
            Some(set) => unsafe {
                sys::io_uring_register_iowq_aff(
                    self.ring().as_mut_ptr(),
                    bytes,
                    set.as_ptr().cast(),
                )
            },
            None => -libc::EINVAL,
        };
        check(
            result,
            "bind the workers",
            "Linux 5.14, processors that the thread may run on, and a thread that uses the ring",
        )
        .map(drop)
    }

    /// Lets the kernel's workers run on all processors again.
    ///
    /// Since Linux 5.14. C: `io_uring_unregister_iowq_aff(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] as for [`register_iowq_aff`](Self::register_iowq_aff).
    pub fn unregister_iowq_aff(&mut self) -> Result<(), RegisterError> {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_unregister_iowq_aff(self.ring().as_mut_ptr()) };
        check(
            result,
            "unbind the workers",
            "Linux 5.14, and a thread that uses the ring",
        )
        .map(drop)
    }

    /// Limits the number of the kernel's workers, and returns the limits that were in force.
    ///
    /// Workers that there are already stay until they have had nothing to do for a while.
    ///
    /// Since Linux 5.15. C: `io_uring_register_iowq_max_workers(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] if a limit is above `i32::MAX`.
    pub fn register_iowq_max_workers(
        &mut self,
        limits: WorkerLimits,
    ) -> Result<WorkerLimits, RegisterError> {
        let mut values = [limits.bounded, limits.unbounded];
        // SAFETY: the ring is set up, and the pointer is to the two values that C takes.
        let result = unsafe {
            sys::io_uring_register_iowq_max_workers(self.ring().as_mut_ptr(), values.as_mut_ptr())
        };
        check(
            result,
            "limit the workers",
            "Linux 5.15, and limits that are not above i32::MAX",
        )?;
        let [bounded, unbounded] = values;
        Ok(WorkerLimits { bounded, unbounded })
    }

    /// The limits of the number of the kernel's workers.
    ///
    /// Since Linux 5.15. C: `io_uring_register_iowq_max_workers(3)`.
    ///
    /// # Errors
    ///
    /// [`RegisterCause::Refused`] on an older kernel.
    pub fn iowq_max_workers(&mut self) -> Result<WorkerLimits, RegisterError> {
        self.register_iowq_max_workers(WorkerLimits::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_set_has_the_bits_that_are_named() {
        let set = cpu_set(&[0, 5, 64], 16).expect("numbers that there can be");
        let bits: Vec<usize> = (0..MAX_CPUS)
            .filter(|cpu| set[cpu / BITS] & 1 << (cpu % BITS) != 0)
            .collect();
        assert_eq!(bits, [0, 5, 64]);
    }

    #[test]
    fn cpu_set_has_no_number_beyond_the_kernels() {
        assert!(cpu_set(&[], 8).is_none());
        assert!(cpu_set(&[63], 8).is_some());
        assert!(cpu_set(&[0, 64], 8).is_none());
        assert!(cpu_set(&[8191], 1024).is_some());
        assert!(cpu_set(&[8192], 2048).is_none());
        assert!(cpu_set(&[u32::MAX], usize::MAX).is_none());
    }
}
