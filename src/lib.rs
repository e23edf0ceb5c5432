//! All of Linux io_uring for Rust, on liburing compiled from source.
//!
//! io_uring is a pair of queues shared with the kernel. A program writes operations into the one,
//! hands them over many at a time, and takes their results from the other, in whatever order they
//! end. This crate gives a Rust program the queues as two values and every operation as a plain
//! struct, at the cost of C with everything inlined.
//!
//! ```
//! use std::fs::File;
//! use std::os::fd::AsRawFd;
//! use lio_uring::operation::Read;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut cq, mut sq) = lio_uring::with_capacity(8)?;
//! let file = File::open("/proc/self/comm")?;
//! let mut text = [0; 16];
//!
//! let read = Read {
//!     fd: file.as_raw_fd(),
//!     ptr: text.as_mut_ptr().cast(),
//!     len: text.len() as u32,
//!     offset: 0,
//! };
//! // SAFETY: `text` and `file` are used by nothing else until the completion has been taken.
//! unsafe { sq.push(&read, 42) }?;
//! sq.submit()?;
//!
//! let completion = cq.next()?;
//! assert_eq!(completion.user_data(), 42);
//! println!("read {} bytes", completion.result()?);
//! # Ok(())
//! # }
//! ```
//!
//! # Which ring to make
//!
//! | | [`with_capacity`], [`IoUring::with_params`] | [`IoUring::new`], [`IoUring::builder`] |
//! | --- | --- | --- |
//! | gives | two halves, [`SubmissionQueue`] and [`CompletionQueue`] | one value, [`IoUring`] |
//! | threads | each half can go to a thread of its own | stays on the thread that made it |
//! | flags | those that are asked for | the fastest that the kernel accepts |
//! | for | a program that submits here and completes there | an event loop, a runtime's worker |
//!
//! Both have the same methods. How a ring is made in detail, [`IoUringParams`] says; whether there
//! can be one at all, [`availability`].
//!
//! Which ring and which calls fit which load, with figures: [`performance`].
//!
//! # What is unsafe, and why
//!
//! [`push`](SubmissionQueue::push), and what hands memory to the kernel for longer than a call:
//! registering buffers, adding to a [`BufferRing`]. An operation names memory and descriptors that
//! the kernel uses *after* the call has returned, and nothing in a borrow can express until when:
//! until the completion has been taken. Each operation's page says exactly what must hold. All else
//! is safe, whatever the caller drops, forgets or moves: a ring lives until both its halves are
//! gone, each completion is handed out once, and what was not submitted stays queued.
//!
//! # When something is full
//!
//! * The submission queue: pushing says [`QueueFull`], and nothing was queued. Submit, push again.
//! * The completion queue: nothing is lost. The kernel keeps what does not fit, and taking
//!   completions fetches it. Should it refuse new submissions meanwhile, [`SubmitError`] says so,
//!   and they stay queued.
//!
//! # Threads and child processes
//!
//! When a thread ends, the kernel cancels what it had submitted and has not been carried out: those
//! operations complete with `ECANCELED`.
//!
//! A child process that was forked has copies of these values, but not the queues that they lead
//! to. In a child they may be dropped, which does nothing to the parent's ring; looking at them,
//! pushing or submitting faults, and what is registered through them reaches the parent's ring. That holds for
//! `fork(3)`. A system call that is made in its place leaves nothing where the queues were, so that the
//! child may come to have something else there.
//!
//! # Errors
//!
//! Errors of the ring itself have types that say what to do: [`SetupError`], [`SubmitError`],
//! [`RegisterError`], [`QueueFull`]. All become an [`io::Error`](std::io::Error) with `?` and keep
//! their errno. How an operation ended is [`Completion::result`].
//!
//! # Other systems
//!
//! The crate compiles on every system. On those that are not Linux it is `availability()` alone,
//! which says so.

#[cfg(target_os = "linux")]
mod availability;
#[cfg(target_os = "linux")]
mod buffer_pool;
#[cfg(target_os = "linux")]
mod completion;
#[cfg(target_os = "linux")]
mod disabled;
#[cfg(target_os = "linux")]
mod enter;
#[cfg(target_os = "linux")]
mod entry;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
mod features;
#[cfg(target_os = "linux")]
mod fork;
#[cfg(target_os = "linux")]
pub mod kind;
#[cfg(target_os = "linux")]
pub mod operation;
#[cfg(target_os = "linux")]
pub mod owned;
#[cfg(target_os = "linux")]
mod params;
#[cfg(target_os = "linux")]
#[doc = include_str!("performance.md")]
pub mod performance {}
#[cfg(target_os = "linux")]
mod probe;
#[cfg(target_os = "linux")]
mod query;
#[cfg(target_os = "linux")]
mod register;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
mod submission;
#[cfg(target_os = "linux")]
mod sync;
#[cfg(target_os = "linux")]
pub mod sys;
#[cfg(not(target_os = "linux"))]
mod unsupported;
#[cfg(target_os = "linux")]
mod version;
#[cfg(target_os = "linux")]
mod wait;

#[cfg(target_os = "linux")]
pub use crate::{
    availability::{Availability, availability},
    buffer_pool::{BufferPool, PoolBuffer},
    completion::{Completion, CompletionFlags, CompletionQueue, Completions},
    disabled::Disabled,
    entry::{AcceptFlags, FileSlot, LargeSqe, RecvSendFlags, Sqe, SqeFlags},
    error::{
        QueueFull, RegisterCause, RegisterError, SetupCause, SetupError, SubmitCause, SubmitError,
    },
    features::Features,
    kind::{AnyThread, Cqe16, Cqe32, CqeMixed, OneThread, Sqe64, Sqe128, SqeMixed},
    params::{IoUringParams, RingMemory, SetupFlags},
    probe::{Missing, MissingCause, Probe},
    query::{QueryOpcodes, QueryScq, QueryZcrx, ZcrxAreaFlags, ZcrxFeatures, ZcrxRegisterFlags},
    register::{
        BpfFilter, BufferCursor, BufferPiece, BufferRing, BufferRingParams, Clock, CloneBuffers,
        IoVector, Napi, ReceiveArea, Received, RegisterCode, Restrictions, SyncCancel,
        SyncCancelled, WaitLimits, WaitRegion, WorkerLimits, ZeroCopyReceive,
        ZeroCopyReceiveParams, register_sync_msg,
    },
    ring::{Halves, IoUring, with_capacity},
    submission::{Batch, SubmissionQueue},
    version::liburing_version,
    wait::{Wait, Waited},
};
#[cfg(not(target_os = "linux"))]
pub use unsupported::{Availability, SetupCause, SetupError, availability};

#[cfg(all(doctest, target_os = "linux"))]
#[doc = include_str!("../README.md")]
mod readme {}
