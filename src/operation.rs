//! Every operation that io_uring can carry out, as plain structs.
//!
//! An operation is a value: its fields are the arguments of the system call that it stands for, in
//! the order and under the names of liburing's `io_uring_prep_*` functions. Pushing it writes a
//! submission queue entry; the value itself may then be dropped. What it *points to* may not: each
//! operation's page says under *Safety* what must stay valid, and for how long.
//!
//! | family | operations, and the Linux release that each came with |
//! | --- | --- |
//! | nothing | [`Nop`] 5.1, [`NopWith`] 6.10, [`Nop128`] 6.19 |
//! | reading | [`Read`] 5.6, [`Readv`] 5.1, [`Readv2`] 5.1, [`ReadFixed`] 5.1, [`ReadvFixed`] 6.15, [`ReadMulti`] 6.7 |
//! | writing | [`Write`] 5.6, [`Writev`] 5.1, [`Writev2`] 5.1, [`WriteFixed`] 5.1, [`WritevFixed`] 6.15 |
//! | opening | [`Openat`] 5.6, [`OpenatDirect`] 5.15, [`Openat2`] 5.6, [`Openat2Direct`] 5.15, [`Close`] 5.6 |
//! | files | [`Fsync`] 5.1, [`SyncFileRange`] 5.2, [`Fallocate`] 5.6, [`Ftruncate`] 6.9, [`Statx`] 5.6, [`Fadvise`] 5.6, [`Fadvise64`] 6.11 |
//! | registered files | [`FilesUpdate`] 5.6, [`FixedFdInstall`] 6.8, [`CloseFixed`] 5.15 |
//! | paths | [`Unlinkat`] 5.11, [`Mkdirat`] 5.15, [`Renameat`] 5.11, [`Linkat`] 5.15, [`Symlinkat`] 5.15 |
//! | extended attributes | [`Getxattr`] 5.19, [`Setxattr`] 5.19, [`Fgetxattr`] 5.19, [`Fsetxattr`] 5.19 |
//! | pipes | [`Pipe`] 6.16, [`PipeDirect`] 6.16, [`Splice`] 5.7, [`Tee`] 5.8 |
//! | sockets | [`Socket`] 5.19, [`SocketDirect`] 5.19, [`Bind`] 6.11, [`Listen`] 6.11, [`CmdSock`] 6.5, [`CmdGetsockname`] 6.19 |
//! | accepting | [`Accept`] 5.5, [`AcceptDirect`] 5.15, [`AcceptMulti`] 5.19, [`AcceptMultiDirect`] 5.19 |
//! | connecting | [`Connect`] 5.5, [`Shutdown`] 5.11 |
//! | sending | [`Send`] 5.6, [`Sendto`] 6.2, [`SendBundle`] 6.10, [`SendZc`] 6.0, [`SendZcFixed`] 6.0 |
//! | sending messages | [`Sendmsg`] 5.3, [`SendmsgZc`] 6.1, [`SendmsgZcFixed`] 6.15 |
//! | receiving | [`Recv`] 5.6, [`RecvMulti`] 6.0, [`RecvZc`] 6.15 |
//! | receiving messages | [`Recvmsg`] 5.3, [`RecvmsgMulti`] 6.0 |
//! | buffers to pick from | [`ProvideBuffers`] 5.7, [`RemoveBuffers`] 5.7 |
//! | readiness | [`PollAdd`] 5.1, [`PollMulti`] 5.13, [`PollUpdate`] 5.13, [`PollRemove`] 5.1, [`EpollCtl`] 5.6, [`EpollWait`] 6.15 |
//! | time | [`Timeout`] 5.4, [`TimeoutUpdate`] 5.11, [`TimeoutRemove`] 5.5, [`LinkTimeout`] 5.5 |
//! | threads and processes | [`FutexWait`] 6.7, [`FutexWaitv`] 6.7, [`FutexWake`] 6.7, [`Waitid`] 6.7 |
//! | memory | [`Madvise`] 5.6, [`Madvise64`] 6.11 |
//! | control | [`Cancel`] 5.5, [`CancelFd`] 5.19, [`MsgRing`] 5.18, [`MsgRingCqeFlags`] 6.3, [`MsgRingFd`] 6.0 |
//! | commands of drivers | [`UringCmd`] 5.19, [`UringCmdLarge`] 5.19, [`UringCmd128`] 6.19, [`CmdDiscard`] 6.12 |
//!
//! # What all operations share
//!
//! * The *result* is what [`Completion::result`](crate::Completion::result) holds.
//! * Any operation can complete with `EINVAL` on a kernel that is older than the version its page
//!   names, and with `ECANCELED` when it was cancelled, an earlier part of its chain failed, or the
//!   thread that submitted it ended.
//!   [`Probe`](crate::Probe) tells beforehand what the kernel knows, and [`Operation::NEEDS`] what
//!   an operation needs.
//! * A ring with IOPOLL takes reads and writes of files and little else: other operations complete
//!   with `EINVAL` there.
//! * A descriptor field takes an index into the registered files instead, when the entry is pushed
//!   with [`SqeFlags::FIXED_FILE`]; all but those for directories, those of [`Close`] and
//!   [`EpollCtl`], and before Linux 6.13 those of [`Fgetxattr`] and [`Fsetxattr`]. Of the two of
//!   [`Splice`] and [`Tee`] it is `fd_out`; `fd_in` has a flag of its own,
//!   [`SPLICE_F_FD_IN_FIXED`].
//! * Operations run in no particular order, two on one file included, unless they are linked or
//!   drained.
//!
//! # Memory
//!
//! * *Argument memory* is what an operation reads its arguments from: a path, a time, an address,
//!   an array of `iovec`. It must stay valid and unchanged until the entry has been submitted, and
//!   on a kernel without [`Features::SUBMIT_STABLE`](crate::Features::SUBMIT_STABLE) or on a ring
//!   with SQPOLL until its completion.
//! * Memory that *data* moves from or to, and memory that *results* are written to, must stay valid
//!   until the last completion of the operation has been taken from the queue.
//! * A descriptor must stay open until the entry has been submitted; in a chain, when drained or
//!   on a ring with SQPOLL, until its completion. From its start an operation holds the file
//!   itself, and closing the descriptor does not end it.
//! * An [`IoUring`](crate::IoUring) can hold the file of an operation that a kernel worker has run
//!   beyond the completion, until it is entered again. Whoever waits at the other end of a pipe for
//!   the last writer to close it may wait for that.
//!
//! Neither dropping the queues nor asking for cancellation ends an operation; only its completion
//! does.
//!
//! # Writing an operation of one's own
//!
//! Implement [`Operation`] for a struct, or fill an [`Sqe`] by hand and pass it to
//! [`SubmissionQueue::push_raw`](crate::SubmissionQueue::push_raw).

#[cfg(doc)]
use crate::entry::SqeFlags;
use crate::entry::{LargeSqe, Sqe};

mod advise;
mod buffer;
mod cancel;
mod command;
mod connect;
mod epoll;
mod file;
mod file_table;
mod futex;
mod memory;
mod message;
mod needs;
mod nop;
mod opcode;
mod open;
mod path;
mod pipe;
mod poll;
mod process;
mod protection;
mod read;
mod recv;
mod recvmsg;
mod recvmsg_out;
mod send;
mod sendmsg;
mod socket;
mod socket_command;
mod timeout;
mod write;
mod xattr;

pub use advise::{Fadvise, Fadvise64};
pub use buffer::{ProvideBuffers, RemoveBuffers};
pub use cancel::{Cancel, CancelFd, CancelFlags};
pub use command::{CmdDiscard, UringCmd, UringCmd128, UringCmdFlags, UringCmdLarge};
pub use connect::{Connect, Shutdown};
pub use epoll::{EpollCtl, EpollWait};
pub use file::{Fallocate, Fsync, FsyncFlags, Ftruncate, Statx, SyncFileRange};
pub use file_table::{CloseFixed, FilesUpdate, FixedFdInstall, FixedFdInstallFlags};
pub use futex::{FUTEX2_PRIVATE, FUTEX2_SIZE_U32, FutexWait, FutexWaiter, FutexWaitv, FutexWake};
pub use memory::{Madvise, Madvise64};
pub use message::{MsgRing, MsgRingCqeFlags, MsgRingFd, MsgRingFlags};
pub use needs::Needs;
pub(crate) use needs::release;
pub use nop::{Nop, Nop128, NopFlags, NopWith};
pub use opcode::OpCode;
pub use open::{Close, OpenHow, Openat, Openat2, Openat2Direct, OpenatDirect};
pub use path::{Linkat, Mkdirat, Renameat, Symlinkat, Unlinkat};
pub use pipe::{Pipe, PipeDirect, SPLICE_F_FD_IN_FIXED, Splice, Tee};
pub use poll::{PollAdd, PollFlags, PollMulti, PollRemove, PollUpdate};
pub use process::Waitid;
pub use protection::ProtectionInformation;
pub use read::{Read, ReadFixed, ReadMulti, Readv, Readv2, ReadvFixed};
pub use recv::{Recv, RecvMulti, RecvZc};
pub use recvmsg::{Recvmsg, RecvmsgMulti};
pub use recvmsg_out::{ControlMessage, ControlMessages, RecvmsgOut};
pub use send::{Send, SendBundle, SendZc, SendZcFixed, Sendto};
pub use sendmsg::{Sendmsg, SendmsgZc, SendmsgZcFixed};
pub use socket::{
    Accept, AcceptDirect, AcceptMulti, AcceptMultiDirect, Bind, Listen, Socket, SocketDirect,
};
pub use socket_command::{CmdGetsockname, CmdSock, SocketOp, TxTimestamp};
pub use timeout::{LinkTimeout, Timeout, TimeoutFlags, TimeoutRemove, TimeoutUpdate, Timespec};
pub use write::{Write, WriteFixed, Writev, Writev2, WritevFixed};
pub use xattr::{Fgetxattr, Fsetxattr, Getxattr, Setxattr};

/// Something that becomes a submission queue entry.
///
/// Implementing it is safe, and so is preparing an entry: what an entry makes the kernel do is the
/// responsibility of whoever pushes it.
pub trait Operation {
    /// The code that the entry carries.
    const OPCODE: OpCode;

    /// What it needs of the kernel and of the ring; unless it says more, its code alone.
    ///
    /// [`Probe::check`](crate::Probe::check) answers by it; pushing does not look at it.
    const NEEDS: Needs = Needs::code(Self::OPCODE);

    /// Writes the operation into an entry whose code is set and whose other fields are 0.
    ///
    /// It leaves the code and the user data alone.
    fn prepare(&self, sqe: &mut Sqe);
}

/// An operation that needs an entry of 128 bytes.
///
/// It can only be pushed to a ring that has such entries: one made with
/// [`sqe128`](crate::IoUringParams::sqe128) or [`sqe_mixed`](crate::IoUringParams::sqe_mixed).
pub trait LargeOperation {
    /// The code that the entry carries.
    const OPCODE: OpCode;

    /// What it needs of the kernel and of the ring; unless it says more, its code alone.
    ///
    /// [`Probe::meets`](crate::Probe::meets) answers by it; pushing does not look at it.
    const NEEDS: Needs = Needs::code(Self::OPCODE);

    /// Writes the operation into an entry whose code is set and whose other fields are 0.
    fn prepare(&self, sqe: &mut LargeSqe);
}

impl<O: Operation> Operation for &O {
    const OPCODE: OpCode = O::OPCODE;
    const NEEDS: Needs = O::NEEDS;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        (**self).prepare(sqe);
    }
}
