//! What can go wrong with a ring itself. How an *operation* ended, its completion says.

use std::io;

use crate::params::SetupFlags;

/// The submission queue has no room for what was to be pushed. Nothing was queued.
///
/// [`submit`](crate::SubmissionQueue::submit) makes room. On a ring with SQPOLL the kernel thread
/// does; [`wait_for_space`](crate::SubmissionQueue::wait_for_space) waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the submission queue is full: submit what is queued, then push again")]
pub struct QueueFull;

impl From<QueueFull> for io::Error {
    /// Becomes an error of the kind [`WouldBlock`](io::ErrorKind::WouldBlock).
    #[cold]
    fn from(error: QueueFull) -> Self {
        Self::new(io::ErrorKind::WouldBlock, error)
    }
}

/// Why entries could not be handed to the kernel.
///
/// Those that it had not taken are still queued, and a later submission runs each of them exactly
/// once. What they point to must stay valid until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "could not submit to the io_uring ({queued} entries are still queued): {cause} (errno {errno})"
)]
pub struct SubmitError {
    pub(crate) cause: SubmitCause,
    pub(crate) errno: i32,
    pub(crate) queued: u32,
}

impl SubmitError {
    #[cold]
    pub(crate) fn new(errno: i32, queued: u32) -> Self {
        Self {
            cause: SubmitCause::of(errno),
            errno,
            queued,
        }
    }

    /// What to do about it.
    pub fn cause(&self) -> SubmitCause {
        self.cause
    }

    /// The kernel's error number, as in `libc`.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// How many entries are still queued.
    pub fn queued(&self) -> u32 {
        self.queued
    }
}

impl From<SubmitError> for io::Error {
    /// Keeps the errno, and nothing else.
    #[cold]
    fn from(error: SubmitError) -> Self {
        Self::from_raw_os_error(error.errno)
    }
}

/// What a failed submission asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitCause {
    /// `EBUSY`: completions have piled up beyond the queue.
    #[error("the completion queue has overflowed; take completions, then submit again")]
    CompletionQueueBusy,
    /// `EAGAIN` or `ENOMEM`: the kernel is short of memory.
    #[error("the kernel is short of memory for it; take completions or wait, then submit again")]
    Resources,
    /// `EEXIST`: the ring was made for one thread, and this is another.
    #[error("the ring belongs to the thread that made or enabled it, and this is another")]
    WrongThread,
    /// `EBADFD`: the ring was made disabled and has not been enabled.
    #[error("the ring is disabled; enable it first")]
    Disabled,
    /// `EBADR`: a completion was lost, because the kernel had no memory to keep it.
    #[error("the kernel had no memory to keep a completion, and it is lost")]
    CompletionLost,
    /// Anything else: trying again will not help.
    #[error("the kernel refuses the ring itself")]
    Fatal,
}

impl SubmitCause {
    fn of(errno: i32) -> Self {
        match errno {
            libc::EBUSY => Self::CompletionQueueBusy,
            libc::EAGAIN | libc::ENOMEM => Self::Resources,
            libc::EEXIST => Self::WrongThread,
            libc::EBADFD => Self::Disabled,
            libc::EBADR => Self::CompletionLost,
            _ => Self::Fatal,
        }
    }
}

/// Why there can be no ring, as far as the system tells, and what to do about it.
///
/// As an [`io::Error`] it keeps its errno and loses the explanation, for such an error holds the one
/// or the other: print it before it is converted, or return it in a `Box<dyn Error>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not make an io_uring: {cause} (errno {errno})")]
pub struct SetupError {
    pub(crate) errno: i32,
    pub(crate) cause: SetupCause,
}

impl SetupError {
    /// Why, as far as the system tells.
    pub fn cause(&self) -> &SetupCause {
        &self.cause
    }

    /// The kernel's error number, as in `libc`.
    pub fn errno(&self) -> i32 {
        self.errno
    }
}

impl From<SetupError> for io::Error {
    /// Keeps the errno, and nothing else.
    fn from(error: SetupError) -> Self {
        Self::from_raw_os_error(error.errno)
    }
}

/// The causes that a ring's creation can fail for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupCause {
    /// This is not Linux. On Linux it does not occur.
    #[error("io_uring is a feature of Linux; use another way of doing I/O here")]
    UnsupportedOs,
    /// The kernel has no io_uring.
    #[error("the kernel has no io_uring; it came with Linux 5.1 and can be left out of a build")]
    NoKernelSupport,
    /// The administrator has switched io_uring off.
    #[error(
        "it is switched off for everybody (the sysctl kernel.io_uring_disabled is 2); an \
         administrator can set it to 0"
    )]
    DisabledBySysctl,
    /// The administrator has switched io_uring off for all but a group.
    #[error(
        "it is switched off for processes without CAP_SYS_ADMIN that are not in the group {group}, \
         where -1 is none (the sysctls kernel.io_uring_disabled and kernel.io_uring_group); join \
         the group, or have an administrator set kernel.io_uring_disabled to 0"
    )]
    NotInGroup {
        /// The group that may, or -1 for none.
        group: i64,
    },
    /// A seccomp filter stands before the system call.
    #[error(
        "a seccomp filter answers io_uring_setup, as those of container runtimes do; run with a \
         profile that allows io_uring_setup, io_uring_enter and io_uring_register, knowing that \
         such a filter does not see the operations of a ring"
    )]
    Seccomp,
    /// The kernel's security policy forbids it, and nothing tells which.
    #[error(
        "the kernel forbids it: a security module such as SELinux, or a privilege that the \
         parameters need"
    )]
    Forbidden,
    /// The queues count as locked memory, and the limit is too low.
    #[error(
        "the queues need {needed} bytes of locked memory, and RLIMIT_MEMLOCK allows {limit} for \
         all that the user has locked; raise it (ulimit -l), or use fewer entries or rings"
    )]
    Memlock {
        /// The bytes that the ring needs, in whole pages.
        needed: u64,
        /// The limit in force.
        limit: u64,
    },
    /// There is not enough memory.
    #[error(
        "there is not enough memory; use fewer entries. Queues in memory of the process \
         (`no_mmap`) that take more than a page need huge pages"
    )]
    OutOfMemory,
    /// The process has as many descriptors as it may.
    #[error("the process has all the {limit} descriptors that RLIMIT_NOFILE allows")]
    DescriptorLimit {
        /// The limit in force.
        limit: u64,
    },
    /// The thread that [`sqpoll`](crate::IoUringParams::sqpoll) asks for cannot be started.
    #[error(
        "the thread that `sqpoll` asks for cannot be started: there are as many as RLIMIT_NPROC \
         (ulimit -u) or the control group's pids.max allows; raise it, or do without `sqpoll`"
    )]
    ThreadLimit,
    /// The system has as many open files as it may.
    #[error("the system has as many open files as it may (the sysctl fs.file-max)")]
    SystemDescriptorLimit,
    /// The parameters contradict each other.
    #[error("the parameters cannot work: {reason}")]
    InvalidParams {
        /// The contradiction.
        reason: &'static str,
    },
    /// The kernel does not know some flags.
    #[error("the kernel does not know the flags {flags:?}; leave them out or use a newer kernel")]
    UnknownFlags {
        /// The flags that it does not know.
        flags: SetupFlags,
    },
    /// The kernel refuses the parameters without saying which.
    #[error(
        "the kernel refuses the flags {flags:?} with these sizes; a flag may be newer than the \
         kernel, or, with `attach_wq`, not agree with the other ring's, or the processor given to \
         `sq_aff` may not be there for this process"
    )]
    Refused {
        /// The flags that were asked for.
        flags: SetupFlags,
    },
    /// The descriptor to attach to is not that of a ring.
    #[error("the descriptor {fd} given to `attach_wq` is not an open io_uring")]
    NotARing {
        /// The descriptor.
        fd: i32,
    },
    /// The thread has as many registered rings as it may.
    #[error(
        "the thread has all the registered rings that it may; drop one, or make this one without \
         `registered_fd_only`"
    )]
    RegisteredRingLimit,
    /// The ring was made, but an operation did not come back from it as it should.
    #[error(
        "it can be made, but not used; a filter may allow io_uring_setup and not the two other \
         system calls"
    )]
    Unusable,
    /// The ring was made, but the kernel did not tell which operations it has.
    #[error(
        "it can be made, but not asked which operations the kernel has: Linux before 5.6 cannot \
         tell, and a filter may stand before io_uring_register"
    )]
    Unprobed,
    /// Nothing that this library knows.
    #[error("{}", describe(*.errno))]
    Other {
        /// The kernel's error number.
        errno: i32,
    },
}

/// Why something could not be registered with a ring, or taken back from it.
///
/// As an [`io::Error`] it keeps its errno and loses the explanation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not {action}: {cause} (errno {errno})")]
pub struct RegisterError {
    pub(crate) action: &'static str,
    pub(crate) errno: i32,
    pub(crate) cause: RegisterCause,
}

impl RegisterError {
    /// Why, as far as the system tells.
    pub fn cause(&self) -> &RegisterCause {
        &self.cause
    }

    /// The kernel's error number, as in `libc`.
    pub fn errno(&self) -> i32 {
        self.errno
    }
}

impl From<RegisterError> for io::Error {
    /// Keeps the errno, and nothing else.
    fn from(error: RegisterError) -> Self {
        Self::from_raw_os_error(error.errno)
    }
}

/// The causes that a registration can fail for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterCause {
    /// Registered memory counts as locked, and the limit is too low.
    #[error(
        "at least {needed} bytes would be locked, and RLIMIT_MEMLOCK allows {limit} for all that \
         the user has locked; raise it (ulimit -l), or register less"
    )]
    Memlock {
        /// The bytes that this registration needs, in whole pages. It can be more: a page counts
        /// whole at both ends of a buffer, and so does a huge page.
        needed: u64,
        /// The limit in force.
        limit: u64,
    },
    /// The table would have more places than the process may have descriptors.
    #[error(
        "the table would be larger than the {limit} descriptors that RLIMIT_NOFILE allows, or than \
         1048576"
    )]
    DescriptorLimit {
        /// The limit in force.
        limit: u64,
    },
    /// There is one already.
    #[error("there is one registered already; unregister it first")]
    AlreadyRegistered,
    /// The group of buffers had a ring of buffers before, which this kernel does not forget.
    #[error(
        "the group had a ring of buffers before, and this kernel would go on where it was in that; \
         use another group, or one from 64 on"
    )]
    GroupUsedBefore,
    /// There is none.
    #[error("nothing of the kind is registered")]
    NotRegistered,
    /// A descriptor is not open, or is that of a ring.
    #[error("a descriptor is not open, or is an io_uring's, which cannot be registered as a file")]
    BadDescriptor,
    /// Memory is not mapped for writing, or from a file on a disk, or a buffer is empty or larger
    /// than 1 GiB.
    #[error(
        "memory is not mapped for writing, or is a disk file's, or a buffer is empty or larger \
         than 1 GiB"
    )]
    BadMemory,
    /// The ring was made for one thread, and this is another.
    #[error("the ring belongs to the thread that made or enabled it, and this is another")]
    WrongThread,
    /// A restriction of the ring forbids it, or the ring is not in the right state.
    #[error("the ring is restricted, or already enabled")]
    NotAllowed,
    /// Something stands before the system call.
    #[error(
        "it is forbidden: a seccomp filter may answer io_uring_register, or a privilege is missing"
    )]
    NotPermitted,
    /// The kernel refuses the arguments, or does not know the registration.
    #[error("the kernel does not know this registration, or refuses its arguments: {needs}")]
    Refused {
        /// What the registration needs.
        needs: &'static str,
    },
    /// Nothing that this library knows.
    #[error("{}", describe(*.errno))]
    Other {
        /// The kernel's error number.
        errno: i32,
    },
}

/// The system's own words for an error number.
fn describe(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    // The number is said by the error around it.
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}
