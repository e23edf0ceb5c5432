//! Messages as `sendmsg(2)` and `recvmsg(2)` know them: parts, addresses, control data.

#![allow(dead_code, reason = "no test needs all of it")]

use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use lio_uring::Completion;

/// A part of a message to be sent.
pub(crate) fn part(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

/// Room for a part of a message to be received.
pub(crate) fn room(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

/// A message of these parts, without an address and without control data.
pub(crate) fn message(parts: &[libc::iovec]) -> libc::msghdr {
    // SAFETY: its fields are integers and pointers, for which 0 is a value.
    let mut msg: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    msg.msg_iov = parts.as_ptr().cast_mut();
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "some C libraries count the parts in 32 bits"
    )]
    let n = parts.len().try_into().expect("few parts");
    msg.msg_iovlen = n;
    msg
}

/// Says how many bytes a message has for control data.
pub(crate) fn set_control_len(msg: &mut libc::msghdr, len: usize) {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "some C libraries count the control data in 32 bits"
    )]
    let len = len.try_into().expect("little control data");
    msg.msg_controllen = len;
}

/// How many bytes of control data a message has.
pub(crate) fn control_len(msg: &libc::msghdr) -> usize {
    #[allow(
        clippy::useless_conversion,
        clippy::unnecessary_fallible_conversions,
        reason = "some C libraries count the control data in 32 bits"
    )]
    msg.msg_controllen.try_into().expect("a size")
}

/// The kernel's header of a control message: its length, a `size_t`, and two `int`.
const HEADER: usize = size_of::<usize>() + 8;

/// The room that a control message with `n` bytes takes.
pub(crate) const fn control_room(n: usize) -> usize {
    (HEADER + n).next_multiple_of(size_of::<usize>())
}

/// Control data of one message.
pub(crate) fn control(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut control = (HEADER + data.len()).to_ne_bytes().to_vec();
    control.extend(level.to_ne_bytes());
    control.extend(kind.to_ne_bytes());
    control.extend(data);
    control.resize(control_room(data.len()), 0);
    control
}

/// Control data that passes these descriptors on.
pub(crate) fn rights(fds: &[RawFd]) -> Vec<u8> {
    let data: Vec<_> = fds.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
    control(libc::SOL_SOCKET, libc::SCM_RIGHTS, &data)
}

/// What the first message of control data holds, which is of this kind.
#[track_caller]
pub(crate) fn data_of(control: &[u8], level: i32, kind: i32) -> &[u8] {
    let (len, rest) = control.split_first_chunk().expect("a length");
    assert_eq!(
        rest[..8],
        [level.to_ne_bytes(), kind.to_ne_bytes()].concat()
    );
    &control[HEADER..usize::from_ne_bytes(*len)]
}

/// The descriptors that `SCM_RIGHTS` has brought.
///
/// # Safety
///
/// They are new, and this is called once for them.
pub(crate) unsafe fn descriptors(data: &[u8]) -> Vec<OwnedFd> {
    data.chunks(size_of::<RawFd>())
        .map(|fd| RawFd::from_ne_bytes(fd.try_into().expect("whole descriptors")))
        // SAFETY: the caller's promise.
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        .collect()
}

/// Fails unless a message was refused because it has too many parts.
#[track_caller]
pub(crate) fn assert_too_many(done: Completion) {
    // Linux 6.1 and 6.12 have an error of their own for it.
    let errno = -done.raw_result();
    assert!([libc::EMSGSIZE, libc::EINVAL].contains(&errno), "{done:?}");
}
