//! Every operation that io_uring can carry out, as plain structs.
//!
//! An operation is a value: its fields are the arguments of the system call that it stands for, in
//! the order and under the names of liburing's `io_uring_prep_*` functions. Pushing it writes a
//! submission queue entry; the value itself may then be dropped. What it *points to* may not: each
//! operation's page says under *Safety* what must stay valid, and for how long.
//!
//! | family | operations |
//! | --- | --- |
//! | nothing | [`Nop`], [`NopWith`], [`Nop128`] |
//! | reading | [`Read`], [`Readv`], [`Readv2`], [`ReadFixed`], [`ReadvFixed`], [`ReadMulti`] |
//! | writing | [`Write`], [`Writev`], [`Writev2`], [`WriteFixed`], [`WritevFixed`] |
//! | opening | [`Openat`], [`OpenatDirect`], [`Openat2`], [`Openat2Direct`], [`Close`] |
//! | files | [`Fsync`], [`SyncFileRange`], [`Fallocate`], [`Ftruncate`], [`Statx`], [`Fadvise`], [`Fadvise64`] |
//! | registered files | [`FilesUpdate`], [`FixedFdInstall`], [`CloseFixed`] |
//! | paths | [`Unlinkat`], [`Mkdirat`], [`Renameat`], [`Linkat`], [`Symlinkat`] |
//! | extended attributes | [`Getxattr`], [`Setxattr`], [`Fgetxattr`], [`Fsetxattr`] |
//! | pipes | [`Pipe`], [`PipeDirect`], [`Splice`], [`Tee`] |
//! | sockets | [`Socket`], [`SocketDirect`], [`Bind`], [`Listen`], [`CmdSock`], [`CmdGetsockname`] |
//! | accepting | [`Accept`], [`AcceptDirect`], [`AcceptMulti`], [`AcceptMultiDirect`] |
//! | connecting | [`Connect`], [`Shutdown`] |
//! | sending | [`Send`], [`Sendto`], [`SendBundle`], [`SendZc`], [`SendZcFixed`] |
//! | sending messages | [`Sendmsg`], [`SendmsgZc`], [`SendmsgZcFixed`] |
//! | receiving | [`Recv`], [`RecvMulti`], [`RecvZc`] |
//! | receiving messages | [`Recvmsg`], [`RecvmsgMulti`] |
//! | buffers to pick from | [`ProvideBuffers`], [`RemoveBuffers`] |
//! | readiness | [`PollAdd`], [`PollMulti`], [`PollUpdate`], [`PollRemove`], [`EpollCtl`], [`EpollWait`] |
//! | time | [`Timeout`], [`TimeoutUpdate`], [`TimeoutRemove`], [`LinkTimeout`] |
//! | threads and processes | [`FutexWait`], [`FutexWaitv`], [`FutexWake`], [`Waitid`] |
//! | memory | [`Madvise`], [`Madvise64`] |
//! | control | [`Cancel`], [`CancelFd`], [`MsgRing`], [`MsgRingCqeFlags`], [`MsgRingFd`] |
//! | commands of drivers | [`UringCmd`], [`UringCmdLarge`], [`UringCmd128`], [`CmdDiscard`] |
//!
//! # What all operations share
//!
//! * The *result* is what [`Completion::result`](crate::Completion::result) holds.
//! * Any operation can complete with `EINVAL` on a kernel that is older than the version its page
//!   names, and with `ECANCELED` when it was cancelled, an earlier part of its chain failed, or the
//!   thread that submitted it ended.
//!   [`Probe`](crate::Probe) tells beforehand what the kernel knows.
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

    /// Writes the operation into an entry whose code is set and whose other fields are 0.
    fn prepare(&self, sqe: &mut LargeSqe);
}

impl<O: Operation> Operation for &O {
    const OPCODE: OpCode = O::OPCODE;

    #[inline]
    fn prepare(&self, sqe: &mut Sqe) {
        (**self).prepare(sqe);
    }
}
