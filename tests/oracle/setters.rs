//! The entry's setters.

use std::ffi::c_int;
use std::ptr;

use lio_uring::operation::{
    AcceptMulti, Nop, ProtectionInformation, Read, RecvMulti, UringCmdFlags,
};
use lio_uring::{AcceptFlags, FileSlot, RecvSendFlags, Sqe, SqeFlags, sys};

use crate::{assert_same, empty, entry_with, with_arguments};

/// The entry that a C program makes by a prep function and setters.
macro_rules! c_entry {
    ($($function:ident($($argument:expr),*)),+) => {{
        let mut entry = empty();
        $(
            // SAFETY: the function writes to the entry and follows no other pointer.
            unsafe { sys::$function(&raw mut entry, $($argument),*) };
        )+
        entry
    }};
}

#[test]
fn setters() {
    with_arguments(|any| {
        let (bits, group) = (any.half().to_le_bytes()[0], any.half());
        let (user_data, personality) = (any.long(), any.half());
        let flags = SqeFlags::from_bits_retain(bits);
        let theirs = c_entry!(io_uring_prep_nop(), io_uring_sqe_set_flags(u32::from(bits)));
        let ours = entry_with(&Nop, |sqe| sqe.insert_flags(flags));
        assert_same(&ours, theirs, "io_uring_sqe_set_flags", &flags);
        assert_eq!(ours.flags(), flags);

        let select = sys::IOSQE_BUFFER_SELECT;
        let theirs = c_entry!(
            io_uring_prep_nop(),
            io_uring_sqe_set_flags(select),
            io_uring_sqe_set_buf_group(c_int::from(group))
        );
        let ours = entry_with(&Nop, |sqe| sqe.select_buffer(group));
        assert_same(&ours, theirs, "io_uring_sqe_set_buf_group", &group);

        let theirs = c_entry!(io_uring_prep_nop(), io_uring_sqe_set_data64(user_data));
        let ours = entry_with(&Nop, |sqe| sqe.set_user_data(user_data));
        assert_same(&ours, theirs, "io_uring_sqe_set_data64", &user_data);
        assert_eq!(ours.user_data(), user_data);

        let (address, size) = (any.pointer::<libc::sockaddr>().cast_const(), any.half());
        let theirs = c_entry!(
            io_uring_prep_nop(),
            io_uring_prep_send_set_addr(address, size)
        );
        let ours = entry_with(&Nop, |sqe| sqe.set_destination(address, size));
        assert_same(&ours, theirs, "io_uring_prep_send_set_addr", &address);

        let information = any.pointer::<ProtectionInformation>().cast_const();
        let mut theirs = c_entry!(io_uring_prep_nop());
        let attribute = sys::io_uring_sqe__bindgen_ty_6__bindgen_ty_2 {
            attr_ptr: information as u64,
            attr_type_mask: u64::from(sys::IORING_RW_ATTR_FLAG_PI),
        };
        // SAFETY: the field is made of integers, for which every bit pattern is a value.
        let field = unsafe { theirs.__bindgen_anon_6.__bindgen_anon_2.as_mut() };
        *field = attribute;
        let ours = entry_with(&Nop, |sqe| sqe.set_protection_information(information));
        assert_same(&ours, theirs, "sqe->attr_ptr", &information);

        let mut theirs = c_entry!(io_uring_prep_nop());
        let (len, flags) = (any.word(), UringCmdFlags::from_bits_retain(any.word()));
        theirs.len = len;
        theirs.__bindgen_anon_3.uring_cmd_flags = flags.bits();
        let ours = entry_with(&Nop, |sqe| {
            sqe.set_len(len);
            sqe.insert_command_flags(flags);
        });
        assert_same(&ours, theirs, "sqe->len, sqe->uring_cmd_flags", &len);

        let mut theirs = c_entry!(io_uring_prep_nop());
        theirs.personality = personality;
        let ours = entry_with(&Nop, |sqe| sqe.set_personality(personality));
        assert_same(&ours, theirs, "sqe->personality", &personality);
    });
}

#[test]
fn setters_add_to_what_is_there() {
    let ours = entry_with(&Nop, |sqe| {
        sqe.insert_flags(SqeFlags::IO_LINK);
        sqe.select_buffer(3);
        sqe.insert_flags(SqeFlags::ASYNC);
    });
    assert_eq!(
        ours.flags(),
        SqeFlags::IO_LINK | SqeFlags::BUFFER_SELECT | SqeFlags::ASYNC
    );

    let mut theirs = c_entry!(
        io_uring_prep_recv_multishot(4, ptr::null_mut(), 0, libc::MSG_TRUNC),
        io_uring_sqe_set_flags(sys::IOSQE_BUFFER_SELECT | sys::IOSQE_IO_LINK),
        io_uring_sqe_set_buf_group(7)
    );
    theirs.ioprio |= RecvSendFlags::POLL_FIRST.bits();
    let operation = RecvMulti {
        sockfd: 4,
        buf: ptr::null_mut(),
        len: 0,
        flags: 0,
    };
    let ours = entry_with(&operation, |sqe| {
        sqe.insert_recv_send_flags(RecvSendFlags::POLL_FIRST);
        sqe.insert_op_flags(libc::MSG_TRUNC.cast_unsigned());
        sqe.select_buffer(7);
        sqe.insert_flags(SqeFlags::IO_LINK);
    });
    assert_same(&ours, theirs, "io_uring_prep_recv_multishot", &operation);

    let mut theirs = c_entry!(io_uring_prep_multishot_accept_direct(
        5,
        ptr::null_mut(),
        ptr::null_mut(),
        libc::SOCK_NONBLOCK
    ));
    theirs.ioprio |= AcceptFlags::POLL_FIRST.bits();
    let operation = AcceptMulti {
        fd: 5,
        addr: ptr::null_mut(),
        addrlen: ptr::null_mut(),
        flags: 0,
    };
    let ours = entry_with(&operation, |sqe| {
        sqe.insert_accept_flags(AcceptFlags::POLL_FIRST);
        sqe.insert_op_flags(libc::SOCK_NONBLOCK.cast_unsigned());
        sqe.set_target(FileSlot::Allocate);
    });
    assert_same(
        &ours,
        theirs,
        "io_uring_prep_multishot_accept_direct",
        &operation,
    );
}

#[test]
fn c_entries_and_ours_are_the_same_thing() {
    with_arguments(|any| {
        let (fd, ptr, len, offset) = (any.int(), any.pointer(), any.word(), any.long());
        let ours = Sqe::of(&Read {
            fd,
            ptr,
            len,
            offset,
        });
        let theirs = c_entry!(io_uring_prep_read(fd, ptr, len, offset));
        // SAFETY: the entry was zeroed as a whole before it was prepared.
        assert_eq!(unsafe { Sqe::from_raw(theirs) }, ours);
        let raw = ours.as_raw();
        assert_eq!((raw.opcode, raw.fd, raw.len), (ours.opcode().0, fd, len));
    });
}
