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
//! | what there is | |
//! | --- | --- |
//! | one result | [`Ring::push`] and a [`Ticket`]: waited for, asked, or awaited |
//! | one result after the other | [`Ring::push_stream`] and a [`Stream`]: connections, readiness, data, ticks |
//! | one after the other, whole or not at all | [`Ring::push_chain`] with tuples or vectors, [`Hard`] and [`Within`] |
//! | memory that is borrowed | [`Ring::scope`], with chains and streams: [`Scope::push_chain`] and [`Scope::push_stream`] |
//! | buffers that the kernel picks | [`Ring::register_group`]: [`RecvMulti`], [`RecvBundle`] and others, whose [`Lent`] pieces give them back |
//! | bytes that the kernel takes one after the other | [`Ring::register_send_queue`]: a [`SendQueue`] is written to, [`SendBundle`] sends it |
//! | buffers that the kernel has looked up before | [`Ring::register_pool`]: [`ReadFixed`], [`WriteFixed`], [`SendZcFixed`] and the same of several |
//! | files without descriptors | [`Ring::register_slots`]: [`OpenDirect`], [`AcceptDirect`], [`SocketDirect`], and every operation on a [`Slot`] |
//! | stopping | [`Ticket::cancel`], [`Stream::cancel`], [`Ring::push_within`]; dropping does it, too |
//! | other rings, other threads | [`Ring::mailbox`] and [`Ring::messages`] |
//! | an event loop of one's own | [`UniformRing`], the cheapest |
//! | a tokio program | `TokioRing`, with the feature `tokio` |
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
//! An operation that completes again and again lives the same life, with a [`Stream`] in place of the
//! ticket. Each completion before the last becomes an item in a list of the slot's, in the order of
//! the ring; the last one, an item too, is its end. After that the stream still has the slot, to give
//! the operation back or to arm it again. Abandoned, the slot keeps its items until the last has come,
//! and disposes of them then.
//!
//! | what is done to it | what becomes of the operation |
//! | --- | --- |
//! | its output is taken | buffer and descriptor come back, with an error too |
//! | its ticket is dropped while it is in flight | it is cancelled with the next submission, again and again if the kernel does not find it, and disposed of when it has ended; a descriptor that it made is closed |
//! | its ticket is dropped when it has ended | it is disposed of at once, in the same way |
//! | its ticket is forgotten, or is part of a cycle | it stays in its slot, which is not used again as long as the ring lives, and is leaked with it |
//! | a panic unwinds past its ticket | as if dropped |
//! | the ring is dropped before it was submitted | it never runs, and is disposed of |
//! | the ring is dropped while it is in flight | everything is cancelled, and waited for. What has not ended after ten seconds is leaked with the table, never freed |
//! | the process forks | the child leaks its copy; the parent's ring goes on. The child must not use it, and cannot register anything: it has none of the queues |
//! | a stream is dropped | as a ticket; descriptors that nobody has taken are closed, buffers go back to their group |
//! | a ticket or a stream is dropped, forgotten or kept beyond its [scope](Ring::scope) | the scope lets go of the operation, and does not end before it has ended and left its slot; of a stream that had ended, what nobody has taken is disposed of with it |
//!
//! What a [scope](Ring::scope)'s operations borrow outlives the scope, so it must not end before them:
//!
//! - The scope has a list of its operations. One is added before it is moved into a slot, and crossed out
//!   by what lies in the slot beside it, and goes after it. Nothing else crosses one out.
//! - The slots are noted as soon as entries were pushed, those of a chain all at once, before any code
//!   runs that is not the library's.
//! - When the closure has returned or panicked, tickets and streams that are still there stand for
//!   nothing. The scope takes their place: it lets go of what is in flight, disposes of what has ended,
//!   and waits until the list is empty. Panics of the operations' code are kept until then.
//!
//! What is registered with a ring outlives what uses it, in the same way:
//!
//! - A [`Slot`] keeps its place, an operation keeps the slot, and the place is emptied with the last of
//!   them. The table is unregistered when nobody has a place.
//! - A [`Lease`] keeps its pool registered, an operation keeps the lease.
//! - A group's buffer is the kernel's, or lent. A piece of it is lent once, to whom the completion says;
//!   in an incremental group the store finds out where it lies when the completion is taken, since
//!   streams may look at their items in another order. The buffer is added again when all that the
//!   kernel has put into it was lent and given back.
//! - A queue's buffer is written to when it is free, and free again when all its bytes were sent. The
//!   kernel does not say which buffers it had taken when a send fails; but only one operation sends at a
//!   time, so when that has ended none of them is used, and what is left of them is put back.
//! - Such things have numbers that mean something else to another ring. So each entry that names one
//!   says whose it is, and a ring carries out nothing that is meant for another: that ends with
//!   `EBADF`.
//!
//! Wakers, destructors and the code of operations may use the ring: none of them is called while it
//! is borrowed. A waker lies in the slot of what it waits for, and leaves it to be called or dropped. That of
//! one task at a time is kept beside the slots: what it waits for from then on only counts there, so that
//! the task is woken once for what ends together. Called while some of that goes on, it is counted, too,
//! and is not given up before the call returns.

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
mod door;
mod drain;
mod due;
mod file;
mod fixed;
mod futex;
mod groups;
mod mail;
mod mailbox;
mod members;
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
mod places;
mod process;
mod range;
mod recv_message;
mod recv_messages;
mod registered_pool;
mod registration;
mod ring;
mod ring_id;
mod scope;
mod scoped;
mod scoped_stream;
mod scoped_ticket;
mod send_bundle;
mod send_message;
mod send_queue;
mod send_to;
mod shared_waker;
mod slot;
mod slots;
mod socket;
mod socket_option;
mod socket_state;
mod space;
mod splice;
mod stopping;
mod store;
mod stream;
mod table;
mod taken;
mod ticket;
mod time;
#[cfg(feature = "tokio")]
mod tokio;
mod transfer;
mod uniform;
mod uses;
mod vectored;
mod vectored_fixed;
mod via;
mod waiting;
mod xattr;

pub use self::access::{RingRef, WaitableRef};
pub use self::address::Address;
pub use self::buffer::{Buffer, BufferMut, View};
pub use self::buffer_group::{BufferGroup, BufferGroupParams, Bundle, Lent};
pub use self::buffers::Buffers;
pub use self::cancel::{CancelRequest, Cancelled};
pub use self::chain::{Chain, ChainLink, Hard, Unlimited, Within};
pub use self::descriptor::{Descriptor, Target};
pub use self::direct::{
    AcceptDirect, AcceptMultiDirect, CloseDirect, Install, OpenDirect, SocketDirect,
};
pub use self::directory::{Cwd, Directory};
pub use self::drain::StillInFlight;
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
pub use self::scope::Scope;
pub use self::scoped_stream::ScopedStream;
pub use self::scoped_ticket::ScopedTicket;
pub use self::send_bundle::SendBundle;
pub use self::send_message::{SendHeader, SendMsg, SendMsgZc, SendMsgZcFixed};
pub use self::send_queue::SendQueue;
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
pub use self::vectored_fixed::{ReadvFixed, WritevFixed};
pub use self::xattr::{FGetXattr, FSetXattr, GetXattr, SetXattr};
