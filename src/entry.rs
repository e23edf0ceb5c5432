//! The submission queue entry: what the kernel reads of an operation.

#![expect(
    clippy::cast_possible_truncation,
    reason = "the bits of flags that C declares wider than their fields"
)]

use std::ffi::c_void;
use std::fmt;
use std::os::fd::RawFd;

use bitflags::bitflags;

use crate::operation::{OpCode, Operation, ProtectionInformation, UringCmdFlags};
use crate::sys;

bitflags! {
    /// How the kernel treats one entry, whatever its operation.
    ///
    /// C: `IOSQE_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SqeFlags: u8 {
        /// The descriptor is an index into the registered files.
        ///
        /// Since Linux 5.1. C: `IOSQE_FIXED_FILE`.
        const FIXED_FILE = sys::IOSQE_FIXED_FILE as u8;
        /// Starts only when all earlier entries have completed, and holds back all later ones.
        /// Older kernels, Linux 6.1 among them, may start those together with it. Linux 7.1.13 and
        /// 7.2.13 were seen to leave such an entry waiting for ever, rarely.
        ///
        /// Since Linux 5.2. C: `IOSQE_IO_DRAIN`.
        const IO_DRAIN = sys::IOSQE_IO_DRAIN as u8;
        /// The next entry starts only when this one has succeeded.
        ///
        /// A failure, and for reads and writes a short transfer, ends the chain: what follows in
        /// it completes with `ECANCELED`. A chain does not reach past the end of a submission.
        ///
        /// Some operations, whose pages say so, do not end a chain when the call that they stand
        /// for fails: a chain that must stop there has to be looked at in between.
        ///
        /// Since Linux 5.3. C: `IOSQE_IO_LINK`.
        const IO_LINK = sys::IOSQE_IO_LINK as u8;
        /// The next entry starts when this one has completed, however it ended.
        ///
        /// Since Linux 5.5. C: `IOSQE_IO_HARDLINK`.
        const IO_HARDLINK = sys::IOSQE_IO_HARDLINK as u8;
        /// Starts on a kernel worker at once, without first being tried in place.
        ///
        /// Since Linux 5.6. C: `IOSQE_ASYNC`.
        const ASYNC = sys::IOSQE_ASYNC as u8;
        /// Takes its buffer from a buffer group; see [`Sqe::select_buffer`].
        ///
        /// Since Linux 5.7. C: `IOSQE_BUFFER_SELECT`.
        const BUFFER_SELECT = sys::IOSQE_BUFFER_SELECT as u8;
        /// Posts no completion if it succeeds.
        ///
        /// If it fails as part of a chain, what is cancelled behind it posts none either.
        ///
        /// Once a ring has seen such an entry, the kernel refuses [`IO_DRAIN`](Self::IO_DRAIN) on
        /// it, with `EOPNOTSUPP`.
        ///
        /// Since Linux 5.17. C: `IOSQE_CQE_SKIP_SUCCESS`.
        const CQE_SKIP_SUCCESS = sys::IOSQE_CQE_SKIP_SUCCESS as u8;
    }
}

bitflags! {
    /// Modes of sending and receiving that `send(2)` and `recv(2)` do not have.
    ///
    /// They travel in the entry's `ioprio`; [`Sqe::insert_recv_send_flags`] adds them to any
    /// operation of the two families. C: `IORING_RECVSEND_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RecvSendFlags: u16 {
        /// Waits for readiness first instead of trying at once.
        ///
        /// Saves the attempt when the socket is known to be empty or full. Since Linux 5.19.
        const POLL_FIRST = sys::IORING_RECVSEND_POLL_FIRST as u16;
        /// Receives again and again, one completion each.
        ///
        /// Since Linux 6.0. C: `IORING_RECV_MULTISHOT`.
        const RECV_MULTISHOT = sys::IORING_RECV_MULTISHOT as u16;
        /// The memory lies in the registered buffer that [`Sqe::set_buffer_index`] names.
        ///
        /// For the zero-copy sends alone; others answer `EINVAL`. Since Linux 6.0.
        const FIXED_BUF = sys::IORING_RECVSEND_FIXED_BUF as u16;
        /// The notification of a zero-copy send says whether data was copied after all.
        ///
        /// Since Linux 6.2. C: `IORING_SEND_ZC_REPORT_USAGE`.
        const SEND_ZC_REPORT_USAGE = sys::IORING_SEND_ZC_REPORT_USAGE as u16;
        /// Uses several buffers of the group in one go, as many as the kernel sees fit.
        ///
        /// A datagram gets as many as the receive's length fills, and the rest of it is cut off; without
        /// a length that can be all behind the first buffer.
        ///
        /// Since Linux 6.10.
        const BUNDLE = sys::IORING_RECVSEND_BUNDLE as u16;
        /// The buffer of a send is an array of `iovec`, its length their number.
        ///
        /// Since Linux 6.17. C: `IORING_SEND_VECTORIZED`.
        const SEND_VECTORIZED = sys::IORING_SEND_VECTORIZED as u16;
    }
}

bitflags! {
    /// Modes of accepting that `accept4(2)` does not have.
    ///
    /// They travel in the entry's `ioprio`; [`Sqe::insert_accept_flags`] adds them.
    /// C: `IORING_ACCEPT_*`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AcceptFlags: u16 {
        /// Accepts again and again, one completion each. Since Linux 5.19.
        const MULTISHOT = sys::IORING_ACCEPT_MULTISHOT as u16;
        /// Completes with `EAGAIN` if no connection is waiting. Since Linux 6.10.
        const DONTWAIT = sys::IORING_ACCEPT_DONTWAIT as u16;
        /// Waits for readiness first instead of trying at once. Since Linux 6.10.
        const POLL_FIRST = sys::IORING_ACCEPT_POLL_FIRST as u16;
    }
}

/// The place in the table of registered files that a new descriptor goes to.
///
/// For the operations that make descriptors: open, accept, socket. See [`Sqe::set_target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileSlot {
    /// This index. What is there is replaced.
    At(u32),
    /// One that the kernel picks; the result names it.
    ///
    /// Since Linux 5.19. C: `IORING_FILE_INDEX_ALLOC`.
    Allocate,
}

/// A submission queue entry of 64 bytes.
///
/// [`Operation::prepare`] writes it, and so does whoever passes further settings with
/// `push_with`. Nothing in it is checked before the kernel reads it: pushing is `unsafe`, writing
/// the entry is not.
///
/// The setters *add* to what the operation has written. None of them takes a flag away that the
/// operation needs.
///
/// C: `struct io_uring_sqe`.
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: RawFd,
    offset: u64,
    address: u64,
    len: u32,
    op_flags: u32,
    user_data: u64,
    buffer: u16,
    personality: u16,
    file_index: u32,
    address3: u64,
    pad: u64,
}

const _: () = assert!(size_of::<Sqe>() == size_of::<sys::io_uring_sqe>());
const _: () = assert!(align_of::<Sqe>() >= align_of::<sys::io_uring_sqe>());

impl Sqe {
    pub(crate) const EMPTY: Self = Self {
        opcode: 0,
        flags: 0,
        ioprio: 0,
        fd: 0,
        offset: 0,
        address: 0,
        len: 0,
        op_flags: 0,
        user_data: 0,
        buffer: 0,
        personality: 0,
        file_index: 0,
        address3: 0,
        pad: 0,
    };

    /// The entry of an operation, as a push writes it, with a `user_data` of 0.
    #[inline]
    pub fn of<O: Operation>(operation: &O) -> Self {
        let mut sqe = Self::EMPTY;
        sqe.opcode = O::OPCODE.0;
        operation.prepare(&mut sqe);
        debug_assert_eq!(
            sqe.opcode,
            O::OPCODE.0,
            "an operation changed its own opcode"
        );
        sqe
    }

    /// Takes an entry that C code has prepared.
    ///
    /// # Safety
    ///
    /// All 64 bytes are initialized. A union of which a narrow field was written may leave some
    /// that are not.
    pub unsafe fn from_raw(raw: sys::io_uring_sqe) -> Self {
        // SAFETY: the caller's promise. Both are 64 bytes of integers without padding, as asserted
        // above and in `sys`.
        unsafe { std::mem::transmute::<sys::io_uring_sqe, Self>(raw) }
    }

    /// The entry as C sees it.
    pub fn as_raw(&self) -> &sys::io_uring_sqe {
        // SAFETY: same size, at least the same alignment, and both are made of integers alone.
        unsafe { &*std::ptr::from_ref(self).cast::<sys::io_uring_sqe>() }
    }

    /// The 64 bytes of the entry.
    pub fn as_bytes(&self) -> &[u8; 64] {
        // SAFETY: the entry is 64 bytes of integers without padding.
        unsafe { &*std::ptr::from_ref(self).cast::<[u8; 64]>() }
    }

    /// The entry as the words that it is stored as. Narrower stores would be several per word.
    #[inline]
    pub(crate) fn words(&self) -> [u64; 8] {
        let [i0, i1] = self.ioprio.to_ne_bytes();
        let [f0, f1, f2, f3] = self.fd.to_ne_bytes();
        let [b0, b1] = self.buffer.to_ne_bytes();
        let [p0, p1] = self.personality.to_ne_bytes();
        let [s0, s1, s2, s3] = self.file_index.to_ne_bytes();
        let [l0, l1, l2, l3] = self.len.to_ne_bytes();
        let [o0, o1, o2, o3] = self.op_flags.to_ne_bytes();
        [
            u64::from_ne_bytes([self.opcode, self.flags, i0, i1, f0, f1, f2, f3]),
            self.offset,
            self.address,
            u64::from_ne_bytes([l0, l1, l2, l3, o0, o1, o2, o3]),
            self.user_data,
            u64::from_ne_bytes([b0, b1, p0, p1, s0, s1, s2, s3]),
            self.address3,
            self.pad,
        ]
    }

    /// Sets the four fields that nearly every operation has.
    ///
    /// C: `io_uring_prep_rw`.
    #[inline]
    pub fn read_write<T: ?Sized>(&mut self, fd: RawFd, address: *const T, len: u32, offset: u64) {
        self.fd = fd;
        self.address = address.cast::<c_void>() as u64;
        self.len = len;
        self.offset = offset;
    }

    /// The operation's code.
    #[inline]
    pub fn opcode(&self) -> OpCode {
        OpCode(self.opcode)
    }

    /// Sets the operation's code; what a push of an [`Operation`] does by itself.
    #[inline]
    pub fn set_opcode(&mut self, opcode: OpCode) {
        self.opcode = opcode.0;
    }

    /// The flags that are set.
    #[inline]
    pub fn flags(&self) -> SqeFlags {
        SqeFlags::from_bits_retain(self.flags)
    }

    /// Adds flags to those that are set.
    #[inline]
    pub fn insert_flags(&mut self, flags: SqeFlags) {
        self.flags |= flags.bits();
    }

    /// Takes the buffer from a buffer group when the operation needs one.
    ///
    /// Adds [`SqeFlags::BUFFER_SELECT`]. The completion names the buffer:
    /// [`Completion::buffer_id`](crate::Completion::buffer_id). The operation's own pointer should
    /// be null, and its length the most to be read, or 0 for the whole buffer.
    ///
    /// Since Linux 5.7. C: `io_uring_sqe_set_buf_group`.
    #[inline]
    pub fn select_buffer(&mut self, group: u16) {
        self.flags |= SqeFlags::BUFFER_SELECT.bits();
        self.buffer = group;
    }

    /// The group that the operation takes its buffer from, or 0.
    #[inline]
    pub(crate) fn buffer_group(&self) -> u16 {
        if self.flags & SqeFlags::BUFFER_SELECT.bits() == 0 {
            0
        } else {
            self.buffer
        }
    }

    /// Names the registered buffer that the operation's memory lies in, or, for providing
    /// buffers, the group.
    #[inline]
    pub fn set_buffer_index(&mut self, index: u16) {
        self.buffer = index;
    }

    /// Has the new descriptor of an open, accept or socket put into the registered files instead
    /// of the process's table.
    ///
    /// The result is 0, or the index with [`FileSlot::Allocate`].
    ///
    /// Errors of the operation: `ENXIO` without registered files, `EINVAL` outside the table or
    /// with `O_CLOEXEC`; with [`FileSlot::Allocate`], `ENFILE` if the table is full or missing.
    ///
    /// Since Linux 5.15.
    #[inline]
    pub fn set_target(&mut self, slot: FileSlot) {
        self.file_index = match slot {
            // An index so high that adding 1 gave one of the two special values becomes one that
            // no table has, so that the kernel refuses it.
            FileSlot::At(index) => index.min(u32::MAX - 2) + 1,
            FileSlot::Allocate => sys::IORING_FILE_INDEX_ALLOC.cast_unsigned(),
        };
    }

    /// Adds an I/O priority, as of `ioprio_set(2)`, to a read or write.
    #[inline]
    pub fn insert_io_priority(&mut self, priority: u16) {
        self.ioprio |= priority;
    }

    /// Adds protection information to a read or write of a block device that has it.
    ///
    /// The value is [argument memory](crate::operation#memory); what it points to stays valid until
    /// the completion.
    ///
    /// Error of the operation: `EINVAL` if the file has no such information. Older kernels ignore it,
    /// and read and write without any check.
    ///
    /// Since Linux 6.14. C: `IORING_RW_ATTR_FLAG_PI`.
    #[inline]
    pub fn set_protection_information(&mut self, information: *const ProtectionInformation) {
        self.address3 = information as u64;
        self.pad = u64::from(sys::IORING_RW_ATTR_FLAG_PI);
    }

    /// Adds modes to a send or receive.
    #[inline]
    pub fn insert_recv_send_flags(&mut self, flags: RecvSendFlags) {
        self.ioprio |= flags.bits();
    }

    /// Adds modes to an accept.
    #[inline]
    pub fn insert_accept_flags(&mut self, flags: AcceptFlags) {
        self.ioprio |= flags.bits();
    }

    /// Adds bits to the operation's own flag word: `RWF_*` for reads and writes, `MSG_*` for
    /// sends and receives, and so on.
    #[inline]
    pub fn insert_op_flags(&mut self, flags: u32) {
        self.op_flags |= flags;
    }

    /// Runs the operation with the credentials that were registered under this number.
    ///
    /// Since Linux 5.6.
    #[inline]
    pub fn set_personality(&mut self, personality: u16) {
        self.personality = personality;
    }

    /// Sets the field that direct descriptors, splices and socket commands share.
    #[inline]
    pub fn set_file_index(&mut self, value: u32) {
        self.file_index = value;
    }

    /// Sets the third address, or whatever the operation keeps there.
    #[inline]
    pub fn set_address3(&mut self, value: u64) {
        self.address3 = value;
    }

    /// Sets the last 16 bytes, which are a command's own data.
    ///
    /// C: `cmd` in `struct io_uring_sqe`.
    #[inline]
    pub fn set_command_data(&mut self, data: [u8; 16]) {
        let mut halves = [[0; 8]; 2];
        halves.as_flattened_mut().copy_from_slice(&data);
        self.address3 = u64::from_ne_bytes(halves[0]);
        self.pad = u64::from_ne_bytes(halves[1]);
    }

    /// Adds modes to a command.
    #[inline]
    pub fn insert_command_flags(&mut self, flags: UringCmdFlags) {
        self.op_flags |= flags.bits();
    }

    /// Says where a datagram goes: for a send without such a field, with or without a copy.
    ///
    /// The address is [argument memory](crate::operation#memory).
    ///
    /// Since Linux 6.0 for zero-copy sends, 6.2 for others. C: `io_uring_prep_send_set_addr`.
    #[inline]
    pub fn set_destination(&mut self, address: *const libc::sockaddr, size: u16) {
        let [low, high] = size.to_ne_bytes();
        self.offset = address as u64;
        self.file_index = u32::from_ne_bytes([low, high, 0, 0]);
    }

    /// Sets the length, or whatever the operation keeps there.
    #[inline]
    pub fn set_len(&mut self, value: u32) {
        self.len = value;
    }

    /// Sets the second address, which shares its place with the offset.
    #[inline]
    pub fn set_offset(&mut self, value: u64) {
        self.offset = value;
    }

    /// Sets the address by value, for the operations that keep a number there.
    #[inline]
    pub fn set_address(&mut self, value: u64) {
        self.address = value;
    }

    /// The number that the completion will carry.
    #[inline]
    pub fn user_data(&self) -> u64 {
        self.user_data
    }

    /// Sets the number that the completion will carry; what a push does by itself.
    #[inline]
    pub fn set_user_data(&mut self, user_data: u64) {
        self.user_data = user_data;
    }
}

impl fmt::Debug for Sqe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqe")
            .field("opcode", &self.opcode())
            .field("flags", &self.flags())
            .field("ioprio", &self.ioprio)
            .field("fd", &self.fd)
            .field("offset", &self.offset)
            .field("address", &self.address)
            .field("len", &self.len)
            .field("op_flags", &self.op_flags)
            .field("user_data", &self.user_data)
            .field("buffer", &self.buffer)
            .field("personality", &self.personality)
            .field("file_index", &self.file_index)
            .field("address3", &self.address3)
            .finish_non_exhaustive()
    }
}

/// A submission queue entry of 128 bytes: an ordinary one with 64 bytes of command data behind it.
///
/// With the last 16 bytes of the ordinary part it gives a command 80 bytes.
///
/// Since Linux 5.19. C: `struct io_uring_sqe` on a ring with `IORING_SETUP_SQE128`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeSqe {
    /// The ordinary part.
    pub entry: Sqe,
    /// The data behind it.
    pub data: [u8; 64],
}

const _: () = assert!(size_of::<LargeSqe>() == 128);

impl From<Sqe> for LargeSqe {
    /// Leaves the data empty.
    #[inline]
    fn from(entry: Sqe) -> Self {
        Self {
            entry,
            data: [0; 64],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_bytes_of_the_entry() {
        let mut bytes = [0; 64];
        for (byte, n) in bytes.iter_mut().zip(1..) {
            *byte = n;
        }
        // SAFETY: both are 64 bytes, and any bytes make integers.
        let sqe = unsafe { std::mem::transmute::<[u8; 64], Sqe>(bytes) };
        let words = sqe.words().map(u64::to_ne_bytes);
        assert_eq!(words.as_flattened(), bytes);
        assert_eq!(sqe.as_bytes(), &bytes);
    }
}
