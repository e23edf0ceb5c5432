//! Whether io_uring can be used here, and if not, why.

use std::fs;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use crate::error::{SetupCause, SetupError};
use crate::features::Features;
use crate::operation::Nop;
use crate::params::{IoUringParams, SetupFlags};
use crate::query::QueryOpcodes;
use crate::register::{Resource, limit};
use crate::ring::IoUring;
use crate::sys;
use crate::wait::Wait;

/// Whether io_uring can be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// A ring was made, and an operation went through it and came back.
    Available {
        /// What the kernel said of itself.
        features: Features,
    },
    /// It cannot, for this reason; printed, it says what to do.
    Unavailable(SetupError),
}

impl Availability {
    /// Whether io_uring can be used.
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Available { .. })
    }

    /// Why it cannot be used, if it cannot.
    pub fn unavailable(&self) -> Option<&SetupError> {
        match self {
            Self::Available { .. } => None,
            Self::Unavailable(error) => Some(error),
        }
    }
}

/// Finds out whether io_uring can be used here, by using it.
///
/// It makes a small ring, sends an operation through and takes it back: a filter may let one of
/// io_uring's system calls pass and not another. It takes some tens of microseconds and never
/// panics. The answer is not kept, since an administrator can change it at any time; a program asks
/// once, before it decides how to do its I/O.
///
/// ```
/// use lio_uring::{Availability, availability};
///
/// match availability() {
///     Availability::Available { features } => println!("using io_uring: {features:?}"),
///     Availability::Unavailable(error) => println!("using threads instead: {error}"),
/// }
/// ```
pub fn availability() -> Availability {
    match round_trip() {
        Ok(features) => Availability::Available { features },
        Err(error) => Availability::Unavailable(error),
    }
}

fn round_trip() -> Result<Features, SetupError> {
    const SENT: u64 = 0x006c_696f;
    let (mut cq, mut sq) = IoUring::with_params(IoUringParams::default().entries(2))?;
    let unusable = |errno| SetupError {
        errno,
        cause: SetupCause::Unusable,
    };
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, SENT) }.map_err(|_| unusable(libc::EAGAIN))?;
    // The limit is for a system call that something answers without carrying it out.
    let wait = Wait::for_completions(1).timeout(Duration::from_secs(1));
    sq.submit_and_wait_with(&wait)
        .map_err(|error| unusable(error.errno()))?;
    match cq.try_next() {
        Ok(Some(completion)) if completion.user_data() == SENT => Ok(cq.features()),
        Ok(_) => Err(unusable(libc::EIO)),
        Err(error) => Err(unusable(error.raw_os_error().unwrap_or(libc::EIO))),
    }
}

impl SetupError {
    /// Tells apart what an errno of `io_uring_setup` can mean, with what the system says of itself.
    pub(crate) fn diagnose(errno: i32, entries: u32, params: &sys::io_uring_params) -> Self {
        let flags = SetupFlags::from_bits_retain(params.flags);
        let cause = match errno {
            libc::ENOSYS | libc::EACCES if seccomp_filters() => SetupCause::Seccomp,
            libc::ENOSYS => SetupCause::NoKernelSupport,
            libc::EPERM => forbidden(),
            libc::EACCES => SetupCause::Forbidden,
            libc::ENOMEM => out_of_memory(entries, params),
            libc::EMFILE => SetupCause::DescriptorLimit {
                limit: limit(Resource::Descriptors),
            },
            libc::ENFILE => SetupCause::SystemDescriptorLimit,
            libc::ENXIO | libc::EBADF => SetupCause::NotARing {
                fd: params.wq_fd.cast_signed(),
            },
            libc::EINVAL if flags.contains(SetupFlags::ATTACH_WQ) && !is_ring(params.wq_fd) => {
                SetupCause::NotARing {
                    fd: params.wq_fd.cast_signed(),
                }
            }
            libc::EINVAL => refused(flags),
            libc::EAGAIN if flags.contains(SetupFlags::SQPOLL) => SetupCause::ThreadLimit,
            // The process locks all that it maps, with `mlockall(2)`.
            libc::EAGAIN => locked_memory(entries, params),
            libc::EBUSY if flags.contains(SetupFlags::REGISTERED_FD_ONLY) => {
                SetupCause::RegisteredRingLimit
            }
            _ => SetupCause::Other { errno },
        };
        Self { errno, cause }
    }
}

/// What `EPERM` means here.
fn forbidden() -> SetupCause {
    const CAP_SYS_ADMIN: u32 = 21;
    match number("/proc/sys/kernel/io_uring_disabled") {
        Some(2) => SetupCause::DisabledBySysctl,
        Some(1) if !has_capability(CAP_SYS_ADMIN) => SetupCause::NotInGroup {
            group: number("/proc/sys/kernel/io_uring_group").unwrap_or(-1),
        },
        _ if seccomp_filters() => SetupCause::Seccomp,
        _ => SetupCause::Forbidden,
    }
}

/// What `ENOMEM` means here.
fn out_of_memory(entries: u32, params: &sys::io_uring_params) -> SetupCause {
    // The flags that the sizes of the queues follow from.
    const SIZES: SetupFlags = SetupFlags::CQSIZE
        .union(SetupFlags::CLAMP)
        .union(SetupFlags::SQE128)
        .union(SetupFlags::SQE_MIXED)
        .union(SetupFlags::CQE32)
        .union(SetupFlags::CQE_MIXED);
    // SAFETY: the structure is made of integers, for which zero is a value.
    let mut sizes: sys::io_uring_params = unsafe { std::mem::zeroed() };
    sizes.flags = params.flags & SIZES.bits();
    sizes.cq_entries = params.cq_entries;
    match bare_ring(entries, sizes) {
        Err(libc::ENOMEM) if locked_memory_is_counted() => locked_memory(entries, &sizes),
        // The kernel has the memory, and what is missing is room to map it, or huge pages.
        _ => SetupCause::OutOfMemory,
    }
}

/// The limit that locking the queues' memory would exceed.
fn locked_memory(entries: u32, params: &sys::io_uring_params) -> SetupCause {
    let mut params = *params;
    // SAFETY: the pointer is to a value of the right type.
    let needed = unsafe { sys::io_uring_memory_size_params(entries, &raw mut params) };
    SetupCause::Memlock {
        needed: u64::try_from(needed).unwrap_or(0),
        limit: limit(Resource::LockedMemory),
    }
}

/// Whether the queues count as locked memory: before Linux 5.12, when the kernel's workers were not
/// threads of the process, and again since 6.14.
fn locked_memory_is_counted() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    // SAFETY: the structure is made of integers, for which zero is a value.
    let smallest = unsafe { std::mem::zeroed() };
    // A limit that forbids the smallest ring is one that counts.
    let counted = bare_ring(1, smallest).map_or(true, |features| {
        !features.contains(Features::NATIVE_WORKERS) || features.contains(Features::RW_ATTR)
    });
    counted && limit(Resource::LockedMemory) != u64::MAX && !has_capability(CAP_IPC_LOCK)
}

/// Makes a ring without mapping it, and returns what the kernel said of itself, or an errno.
fn bare_ring(entries: u32, mut params: sys::io_uring_params) -> Result<Features, i32> {
    // SAFETY: the pointer is to a value of the right type.
    let fd = unsafe { sys::io_uring_setup(entries, &raw mut params) };
    if fd < 0 {
        return Err(-fd);
    }
    // SAFETY: the descriptor is new, and nothing else has it.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(Features::from_bits_retain(params.features))
}

/// Whether a descriptor is that of a ring. Where the system does not tell, it is taken for one.
fn is_ring(fd: u32) -> bool {
    fs::read_link(format!("/proc/self/fd/{fd}"))
        .map_or(true, |target| target.as_os_str() == "anon_inode:[io_uring]")
}

/// What `EINVAL` means for parameters that do not contradict each other. A kernel since 6.18 tells
/// which flags it knows.
fn refused(flags: SetupFlags) -> SetupCause {
    let known = QueryOpcodes::ask().map_or(SetupFlags::all(), |known| known.setup_flags);
    let unknown = flags.difference(known);
    if unknown.is_empty() {
        SetupCause::Refused { flags }
    } else {
        SetupCause::UnknownFlags { flags: unknown }
    }
}

/// Whether a seccomp filter is in force for this thread.
fn seccomp_filters() -> bool {
    status("Seccomp:").is_some_and(|mode| mode == "2")
}

/// Whether the thread has a capability, and not just over a user namespace.
fn has_capability(number: u32) -> bool {
    let capable = status("CapEff:")
        .and_then(|capabilities| u64::from_str_radix(&capabilities, 16).ok())
        .is_some_and(|capabilities| capabilities & 1 << number != 0);
    capable && !in_user_namespace()
}

/// Whether the process is in a user namespace, as in a container: only outside of all do user ids
/// stand for themselves.
fn in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| !map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// The value of a line of the thread's status.
fn status(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().to_owned())
}

/// The number that a file holds.
fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
