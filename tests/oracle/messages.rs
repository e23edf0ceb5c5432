//! Taking apart what a multishot receive of messages leaves in a buffer, beside liburing's functions
//! for it.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;

use lio_uring::operation::RecvmsgOut;
use lio_uring::sys;

use crate::{Arguments, with_arguments};

/// A buffer of at least a header, aligned as the kernel's are in practice.
#[repr(C, align(8))]
struct Buffer([u8; 512]);

/// A length that is often near the edges.
fn length(any: &mut Arguments, most: usize) -> usize {
    usize::from(any.half()) % (most + 1)
}

fn msghdr(name: usize, control: usize) -> libc::msghdr {
    // SAFETY: a message is made of integers and pointers, for which 0 is a value.
    let mut msg: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    msg.msg_namelen = name.try_into().expect("a small number");
    #[allow(
        clippy::unnecessary_fallible_conversions,
        clippy::useless_conversion,
        reason = "some C libraries count the control data in 32 bits"
    )]
    {
        msg.msg_controllen = control.try_into().expect("a small number");
    }
    msg
}

fn put(buffer: &mut [u8], at: usize, value: u32) {
    buffer[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// Where in the buffer a part lies that C points to.
fn offset(buffer: &Buffer, part: *mut c_void) -> usize {
    part as usize - buffer.0.as_ptr() as usize
}

#[test]
fn parts_are_where_c_finds_them() {
    with_arguments(|any| {
        let mut buffer = Buffer([0; 512]);
        for byte in &mut buffer.0 {
            *byte = any.half().to_le_bytes()[0];
        }
        let (room_name, room_control) = (length(any, 128), length(any, 128) & !7);
        let (name, control) = (length(any, 160), length(any, 128));
        put(&mut buffer.0, 0, name.try_into().expect("small"));
        put(&mut buffer.0, 4, control.try_into().expect("small"));
        let filled = length(any, 512);
        let mut msg = msghdr(room_name, room_control);

        let ours = RecvmsgOut::parse(&buffer.0[..filled], &msg);
        let mut in_c = Buffer(buffer.0);
        let start = in_c.0.as_mut_ptr().cast::<c_void>();
        let len = c_int::try_from(filled).expect("small");
        // SAFETY: the function looks at the two lengths of the message alone.
        let theirs = unsafe { sys::io_uring_recvmsg_validate(start, len, &raw mut msg) };
        assert_eq!(ours.is_none(), theirs.is_null(), "{filled} bytes");
        let Some(ours) = ours else {
            return;
        };

        // SAFETY: the buffer is C's own, and its parts were just found to lie within it.
        let c_name = unsafe { sys::io_uring_recvmsg_name(theirs) };
        assert_eq!(offset(&in_c, c_name), 16);
        assert_eq!(ours.name(), &buffer.0[16..16 + name.min(room_name)]);
        assert_eq!(ours.name_len() as usize, name);

        // SAFETY: as above.
        let c_payload = unsafe { sys::io_uring_recvmsg_payload(theirs, &raw mut msg) };
        // SAFETY: as above.
        let c_length =
            unsafe { sys::io_uring_recvmsg_payload_length(theirs, len, &raw mut msg) } as usize;
        let start = offset(&in_c, c_payload);
        assert_eq!(ours.payload(), &buffer.0[start..start + c_length]);
        assert_eq!(
            ours.control(),
            &buffer.0[16 + room_name..][..control.min(room_control)]
        );
        let field = |at: usize| u32::from_ne_bytes(buffer.0[at..at + 4].try_into().expect("four"));
        assert_eq!(ours.payload_len(), field(8));
        assert_eq!(ours.flags(), field(12).cast_signed());
    });
}

#[test]
fn control_messages_are_those_that_c_walks_through() {
    with_arguments(|any| {
        let mut buffer = Buffer([0; 512]);
        // An address with a length of a multiple of 8 keeps C's pointers aligned.
        let (room_name, room_control) = (16, 256);
        let mut at = 0;
        for _ in 0..length(any, 5) {
            let len = match length(any, 20) {
                0 => length(any, 15),
                1 => 400,
                _ => 16 + length(any, 40),
            };
            let start = 32 + at;
            buffer.0[start..start + 8].copy_from_slice(&len.to_ne_bytes());
            put(&mut buffer.0, start + 8, any.word());
            put(&mut buffer.0, start + 12, any.word());
            at += len.max(16).next_multiple_of(8);
            if at + 16 > room_control {
                break;
            }
        }
        let control = at.min(room_control);
        put(&mut buffer.0, 4, control.try_into().expect("small"));
        let mut msg = msghdr(room_name, room_control);
        let ours = RecvmsgOut::parse(&buffer.0, &msg).expect("there is room");

        let mut in_c = Buffer(buffer.0);
        let out = (&raw mut in_c).cast::<sys::io_uring_recvmsg_out>();
        let mut theirs = Vec::new();
        // SAFETY: the buffer has room for what the header and the message say.
        let mut header = unsafe { sys::io_uring_recvmsg_cmsg_firsthdr(out, &raw mut msg) };
        while !header.is_null() {
            // SAFETY: C has found the header to lie within the buffer.
            let found = unsafe { &*header };
            #[allow(clippy::unnecessary_cast, reason = "32 bits in some C libraries")]
            let len = found.cmsg_len as usize;
            let start = offset(&in_c, header.cast());
            if len < 16 || start + len > 32 + control {
                break;
            }
            let data = &buffer.0[start + 16..start + len];
            theirs.push((found.cmsg_level, found.cmsg_type, data));
            // SAFETY: as of the first header.
            header = unsafe { sys::io_uring_recvmsg_cmsg_nexthdr(out, &raw mut msg, header) };
        }
        let ours: Vec<_> = ours
            .control_messages()
            .map(|message| (message.level, message.r#type, message.data))
            .collect();
        // C leaves out a last message that is not padded to a whole number of words.
        assert!(ours.starts_with(&theirs), "{ours:?}, in C {theirs:?}");
        assert!(ours.len() <= theirs.len() + 1, "{ours:?}, in C {theirs:?}");
    });
}
