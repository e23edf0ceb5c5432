//! Rings without `unsafe`: operations that own what the kernel uses.

mod access;
mod buffer;
mod core;
mod descriptor;
mod due;
mod file;
mod nop;
mod operation;
mod ring;
mod slot;
mod ticket;

pub use self::access::RingRef;
pub use self::buffer::{Buffer, BufferMut, View};
pub use self::core::StillInFlight;
pub use self::descriptor::{Descriptor, Target};
pub use self::file::{Fsync, Read, Write};
pub use self::nop::Nop;
pub use self::operation::Operation;
pub use self::ring::{Full, Ring};
pub use self::ticket::{Ticket, WaitError};
