//! Rings without `unsafe`: operations that own what the kernel uses.
//!
//! An operation is a plain struct that holds its buffer, its descriptor, its address by value. Pushed
//! to a [`Ring`], it moves into a slot of the ring's, stays there until the kernel is done with it,
//! and comes back as its output: the result, and the buffer. What stands for it meanwhile is a
//! [`Ticket`], which can be waited for, asked, or awaited.
//!
//! ```
//! #![forbid(unsafe_code)]
//! use std::fs::File;
//! use std::sync::Arc;
//! use lio_uring::owned::{Read, Ring};
//!
//! # fn main() -> std::io::Result<()> {
//! let ring = Ring::new(8)?;
//! let file = Arc::new(File::open("/proc/self/comm")?);
//! let read = Read { file, buffer: Vec::with_capacity(64), offset: 0 };
//! let (count, text) = ring.push(read)?.wait()?;
//! assert_eq!(count?, text.len());
//! # Ok(())
//! # }
//! ```
//!
//! # Why this is sound
//!
//! The kernel reads and writes an operation's memory until its last completion, whatever has become
//! of the ring or of whoever waits: closing a ring ends nothing that is being carried out. So what
//! the kernel may use is owned by neither the ticket nor the caller, but by the ring's table of
//! slots, and it leaves the table in one place only: where the last completion is taken.
//!
//! A slot's life:
//!
//! 1. *Free.*
//! 2. The operation is moved in, to an address that stays the same, and makes its entry there: the
//!    entry can point to the buffer, and into the operation itself.
//! 3. *In flight*: the entry is pushed. The kernel has the slot, and a ticket.
//! 4. *Ended*: the last completion was taken, of a zero-copy send the notification. The kernel no
//!    longer has the slot. The ticket takes the operation out, and the slot is free.
//! 5. Or *abandoned*: the ticket was dropped first. When the last completion is taken, what came of
//!    the operation is disposed of, and the slot is free.
//!
//! | what is done to it | what becomes of the operation |
//! | --- | --- |
//! | its output is taken | buffer and descriptor come back, with an error too |
//! | its ticket is dropped while it is in flight | it is cancelled with the next submission, and disposed of when it has ended; a descriptor that it made is closed |
//! | its ticket is dropped when it has ended | it is disposed of at once, in the same way |
//! | its ticket is forgotten, or is part of a cycle | it stays in its slot, which is not used again as long as the ring lives, and is leaked with it |
//! | a panic unwinds past its ticket | as if dropped |
//! | the ring is dropped before it was submitted | it never runs, and is disposed of |
//! | the ring is dropped while it is in flight | everything is cancelled, and waited for. What has not ended after ten seconds is leaked with the table, never freed |
//! | the process forks | the child leaks its copy; the parent's ring goes on |
//!
//! Wakers, destructors and the code of operations may use the ring: none of them is called while it
//! is borrowed.

mod access;
mod address;
mod backlog;
mod block_on;
mod buffer;
mod buffer_group;
mod buffers;
mod cancel;
mod chain;
mod core;
mod descriptor;
mod direct;
mod directory;
mod drain;
mod due;
mod file;
mod fixed;
mod futex;
mod mail;
mod mailbox;
mod message;
mod metadata;
mod multishot;
mod nop;
mod open;
mod operation;
mod passed;
mod path;
mod picked;
mod pipe;
mod process;
mod range;
mod recv_message;
mod recv_messages;
mod registered_pool;
mod ring;
mod ring_id;
mod scope;
mod send_message;
mod send_to;
mod slot;
mod slots;
mod socket;
mod socket_option;
mod socket_state;
mod space;
mod splice;
mod store;
mod stream;
mod ticket;
mod time;
#[cfg(feature = "tokio")]
mod tokio;
mod transfer;
mod uniform;
mod vectored;
mod xattr;

pub use self::access::{RingRef, WaitableRef};
pub use self::address::Address;
pub use self::buffer::{Buffer, BufferMut, View};
pub use self::buffer_group::{BufferGroup, BufferGroupParams, Bundle, Lent};
pub use self::buffers::Buffers;
pub use self::cancel::{CancelRequest, Cancelled};
pub use self::chain::{Chain, ChainLink, Hard, Unlimited, Within};
pub use self::core::StillInFlight;
pub use self::descriptor::{Descriptor, Target};
pub use self::direct::{
    AcceptDirect, AcceptMultiDirect, CloseDirect, Install, OpenDirect, SocketDirect,
};
pub use self::directory::{Cwd, Directory};
pub use self::file::{Fsync, Read, Write};
pub use self::fixed::{ReadFixed, SendZcFixed, WriteFixed};
pub use self::futex::{Futex, FutexWait, FutexWaitV, FutexWake};
pub use self::mailbox::{Mailbox, Message, Messages};
pub use self::metadata::{Metadata, Statx};
pub use self::multishot::{AcceptMulti, PollMulti, Ticks};
pub use self::nop::Nop;
pub use self::open::{Close, Open, OpenAt, OpenAt2, ResolveFlags};
pub use self::operation::Operation;
pub use self::path::{Link, MakeDirectory, Remove, Rename, Symlink};
pub use self::picked::{ReadMulti, ReadPicked, RecvBundle, RecvMulti, RecvMultiBundle, RecvPicked};
pub use self::pipe::Pipe;
pub use self::process::{Children, Fate, Told, WaitId};
pub use self::range::{Advise, SyncRange};
pub use self::recv_message::{RecvHeader, RecvMsg};
pub use self::recv_messages::{MessageRoom, ReceivedMessage, RecvMsgMulti};
pub use self::registered_pool::{Lease, Registered, RegisteredPool};
pub use self::ring::{Full, Ring};
pub use self::ring_id::RingId;
pub use self::scope::{Scope, Scoped, ScopedTicket};
pub use self::send_message::{SendHeader, SendMsg, SendMsgZc};
pub use self::send_to::{SendTo, SendToZc};
pub use self::slots::{Slot, Slots};
pub use self::socket::{Accept, AcceptFrom, Bind, Connect, Listen, Shutdown, Socket};
pub use self::socket_option::{GetSocketOption, OptionValue, SetSocketOption, SocketOption};
pub use self::socket_state::{AddressOf, BytesReadable, BytesUnsent};
pub use self::space::{Allocate, Truncate};
pub use self::splice::{Splice, Tee};
pub use self::stream::{End, Multishot, Stream};
pub use self::ticket::{Ticket, WaitError};
pub use self::time::{Poll, Sleep};
#[cfg(feature = "tokio")]
pub use self::tokio::{TokioRef, TokioRing};
pub use self::transfer::{Recv, Send, SendZc};
pub use self::uniform::{Token, UniformRing};
pub use self::vectored::{Readv, Writev};
pub use self::xattr::{FGetXattr, FSetXattr, GetXattr, SetXattr};
