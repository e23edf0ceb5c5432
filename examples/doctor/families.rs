//! Every operation of the library, by family.

use lio_uring::operation::{self, LargeOperation, Needs, Operation};

/// What is shown of an operation.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
}

/// Operations that belong together.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) operations: &'static [Row],
}

/// Defines the list from the names alone.
macro_rules! families {
    ($($family:literal: $($operation:ident),+;)+) => {
        pub(crate) const FAMILIES: &[Family] = &[
            $(Family {
                name: $family,
                operations: &[
                    $(Row {
                        name: stringify!($operation),
                        needs: operation::$operation::NEEDS,
                    }),+
                ],
            }),+
        ];
    };
}

families! {
    "nothing": Nop, NopWith, Nop128;
    "reading": Read, Readv, Readv2, ReadFixed, ReadvFixed, ReadMulti;
    "writing": Write, Writev, Writev2, WriteFixed, WritevFixed;
    "opening": Openat, OpenatDirect, Openat2, Openat2Direct, Close;
    "files": Fsync, SyncFileRange, Fallocate, Ftruncate, Statx, Fadvise, Fadvise64;
    "registered files": FilesUpdate, FixedFdInstall, CloseFixed;
    "paths": Unlinkat, Mkdirat, Renameat, Linkat, Symlinkat;
    "extended attributes": Getxattr, Setxattr, Fgetxattr, Fsetxattr;
    "pipes": Pipe, PipeDirect, Splice, Tee;
    "sockets": Socket, SocketDirect, Bind, Listen, CmdSock, CmdGetsockname;
    "accepting": Accept, AcceptDirect, AcceptMulti, AcceptMultiDirect;
    "connecting": Connect, Shutdown;
    "sending": Send, Sendto, SendBundle, SendZc, SendZcFixed;
    "sending messages": Sendmsg, SendmsgZc, SendmsgZcFixed;
    "receiving": Recv, RecvMulti, RecvZc;
    "receiving messages": Recvmsg, RecvmsgMulti;
    "buffers to pick from": ProvideBuffers, RemoveBuffers;
    "readiness": PollAdd, PollMulti, PollUpdate, PollRemove, EpollCtl, EpollWait;
    "time": Timeout, TimeoutUpdate, TimeoutRemove, LinkTimeout;
    "threads and processes": FutexWait, FutexWaitv, FutexWake, Waitid;
    "memory": Madvise, Madvise64;
    "control": Cancel, CancelFd, MsgRing, MsgRingCqeFlags, MsgRingFd;
    "commands of drivers": UringCmd, UringCmdLarge, UringCmd128, CmdDiscard;
}
