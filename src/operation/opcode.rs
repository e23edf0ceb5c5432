//! The codes of all operations.

use std::fmt;

use crate::sys;

/// The code of an operation.
///
/// All that liburing 2.15 knows are constants of this type; a later kernel's are reachable as
/// `OpCode(number)`.
///
/// C: `enum io_uring_op`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpCode(pub u8);

/// Defines the constants, their names and the list of them all from one table.
macro_rules! opcodes {
    ($($name:ident = $c:ident, $since:literal, $does:literal;)+) => {
        #[expect(clippy::cast_possible_truncation, reason = "an entry has 8 bits for the code")]
        impl OpCode {
            $(
                #[doc = concat!($does, ".\n\nSince Linux ", $since, ". C: `", stringify!($c), "`.")]
                pub const $name: Self = Self(sys::$c as u8);
            )+

            /// Every code that liburing 2.15 knows, in numerical order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The C name without its prefix, or `None` for a code that liburing 2.15 does not
            /// know.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)+
                    _ => None,
                }
            }

            /// The first kernel that has the operation, as text: `"5.1"`.
            ///
            /// For people to read. Whether the running kernel has it, [`Probe`](crate::Probe)
            /// knows.
            pub const fn since(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some($since),)+
                    _ => None,
                }
            }
        }
    };
}

opcodes! {
    NOP = IORING_OP_NOP, "5.1", "Does nothing";
    READV = IORING_OP_READV, "5.1", "Reads into several buffers";
    WRITEV = IORING_OP_WRITEV, "5.1", "Writes from several buffers";
    FSYNC = IORING_OP_FSYNC, "5.1", "Flushes a file to storage";
    READ_FIXED = IORING_OP_READ_FIXED, "5.1", "Reads into a registered buffer";
    WRITE_FIXED = IORING_OP_WRITE_FIXED, "5.1", "Writes from a registered buffer";
    POLL_ADD = IORING_OP_POLL_ADD, "5.1", "Waits until a file is ready";
    POLL_REMOVE = IORING_OP_POLL_REMOVE, "5.1", "Ends or changes a wait for readiness";
    SYNC_FILE_RANGE = IORING_OP_SYNC_FILE_RANGE, "5.2", "Writes a range of a file back to storage";
    SENDMSG = IORING_OP_SENDMSG, "5.3", "Sends a message on a socket";
    RECVMSG = IORING_OP_RECVMSG, "5.3", "Receives a message from a socket";
    TIMEOUT = IORING_OP_TIMEOUT, "5.4", "Completes after a time or a number of completions";
    TIMEOUT_REMOVE = IORING_OP_TIMEOUT_REMOVE, "5.5", "Removes or changes a timer";
    ACCEPT = IORING_OP_ACCEPT, "5.5", "Accepts connections";
    ASYNC_CANCEL = IORING_OP_ASYNC_CANCEL, "5.5", "Asks for operations to end";
    LINK_TIMEOUT = IORING_OP_LINK_TIMEOUT, "5.5", "Limits the time of the operation before it";
    CONNECT = IORING_OP_CONNECT, "5.5", "Connects a socket";
    FALLOCATE = IORING_OP_FALLOCATE, "5.6", "Allocates, zeroes or removes space of a file";
    OPENAT = IORING_OP_OPENAT, "5.6", "Opens a file";
    CLOSE = IORING_OP_CLOSE, "5.6", "Closes a descriptor";
    FILES_UPDATE = IORING_OP_FILES_UPDATE, "5.6", "Replaces registered files";
    STATX = IORING_OP_STATX, "5.6", "Tells the properties of a file";
    READ = IORING_OP_READ, "5.6", "Reads";
    WRITE = IORING_OP_WRITE, "5.6", "Writes";
    FADVISE = IORING_OP_FADVISE, "5.6", "Announces how a file will be used";
    MADVISE = IORING_OP_MADVISE, "5.6", "Announces how memory will be used";
    SEND = IORING_OP_SEND, "5.6", "Sends on a socket";
    RECV = IORING_OP_RECV, "5.6", "Receives from a socket";
    OPENAT2 = IORING_OP_OPENAT2, "5.6", "Opens a file, limiting where its path may lead";
    EPOLL_CTL = IORING_OP_EPOLL_CTL, "5.6", "Changes an epoll set";
    SPLICE = IORING_OP_SPLICE, "5.7", "Moves data between a pipe and a file";
    PROVIDE_BUFFERS = IORING_OP_PROVIDE_BUFFERS, "5.7", "Adds buffers to a group";
    REMOVE_BUFFERS = IORING_OP_REMOVE_BUFFERS, "5.7", "Takes buffers out of a group";
    TEE = IORING_OP_TEE, "5.8", "Copies data from one pipe to another";
    SHUTDOWN = IORING_OP_SHUTDOWN, "5.11", "Ends directions of a connection";
    RENAMEAT = IORING_OP_RENAMEAT, "5.11", "Renames a file";
    UNLINKAT = IORING_OP_UNLINKAT, "5.11", "Removes a name or an empty directory";
    MKDIRAT = IORING_OP_MKDIRAT, "5.15", "Makes a directory";
    SYMLINKAT = IORING_OP_SYMLINKAT, "5.15", "Makes a symbolic link";
    LINKAT = IORING_OP_LINKAT, "5.15", "Makes a hard link";
    MSG_RING = IORING_OP_MSG_RING, "5.18", "Posts a completion or passes a file to a ring";
    FSETXATTR = IORING_OP_FSETXATTR, "5.19", "Sets an extended attribute of an open file";
    SETXATTR = IORING_OP_SETXATTR, "5.19", "Sets an extended attribute of a path";
    FGETXATTR = IORING_OP_FGETXATTR, "5.19", "Reads an extended attribute of an open file";
    GETXATTR = IORING_OP_GETXATTR, "5.19", "Reads an extended attribute of a path";
    SOCKET = IORING_OP_SOCKET, "5.19", "Makes a socket";
    URING_CMD = IORING_OP_URING_CMD, "5.19", "Runs a command of a driver or socket";
    SEND_ZC = IORING_OP_SEND_ZC, "6.0", "Sends on a socket without copying";
    SENDMSG_ZC = IORING_OP_SENDMSG_ZC, "6.1", "Sends a message on a socket without copying";
    READ_MULTISHOT = IORING_OP_READ_MULTISHOT, "6.7", "Reads into buffers of a group repeatedly";
    WAITID = IORING_OP_WAITID, "6.7", "Waits for a child process";
    FUTEX_WAIT = IORING_OP_FUTEX_WAIT, "6.7", "Waits on a futex";
    FUTEX_WAKE = IORING_OP_FUTEX_WAKE, "6.7", "Wakes waiters of a futex";
    FUTEX_WAITV = IORING_OP_FUTEX_WAITV, "6.7", "Waits on several futexes";
    FIXED_FD_INSTALL = IORING_OP_FIXED_FD_INSTALL, "6.8", "Makes a descriptor of a registered file";
    FTRUNCATE = IORING_OP_FTRUNCATE, "6.9", "Sets the length of a file";
    BIND = IORING_OP_BIND, "6.11", "Gives a socket its local address";
    LISTEN = IORING_OP_LISTEN, "6.11", "Has a socket take connections";
    RECV_ZC = IORING_OP_RECV_ZC, "6.15", "Receives from a network device without copying";
    EPOLL_WAIT = IORING_OP_EPOLL_WAIT, "6.15", "Waits on an epoll set";
    READV_FIXED = IORING_OP_READV_FIXED, "6.15", "Reads into parts of a registered buffer";
    WRITEV_FIXED = IORING_OP_WRITEV_FIXED, "6.15", "Writes from parts of a registered buffer";
    PIPE = IORING_OP_PIPE, "6.16", "Makes a pipe";
    NOP128 = IORING_OP_NOP128, "6.19", "Does nothing, from an entry of 128 bytes";
    URING_CMD128 = IORING_OP_URING_CMD128, "6.19", "Runs a command from an entry of 128 bytes";
}

impl OpCode {
    /// Whether the entry is known to have 64 bytes wherever there is a choice.
    pub(crate) const fn has_small_entry(self) -> bool {
        self.0 < Self::NOP128.0
    }
}

const _: () = assert!(
    OpCode::ALL.len() == sys::IORING_OP_LAST as usize,
    "liburing has other operations than this crate: add each new one to the table in \
     src/operation/opcode.rs, its struct to a file of src/operation, its comparison with C to \
     tests/oracle"
);

impl fmt::Debug for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "OpCode({})", self.0),
        }
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
