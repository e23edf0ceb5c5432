//! Reading, writing, files, paths.

use std::ffi::{c_char, c_int, c_void};

use lio_uring::operation::{
    Close, Fallocate, Fsync, FsyncFlags, Ftruncate, Mkdirat, Openat, Read, ReadFixed, Readv,
    Renameat, Statx, Unlinkat, Write, WriteFixed, Writev,
};
use lio_uring::sys;

use crate::with_arguments;

#[test]
fn reading() {
    with_arguments(|any| {
        let (fd, offset, buf_index) = (any.int(), any.long(), any.half());
        let (ptr, len) = (any.pointer::<c_void>(), any.word());
        let (iovecs, nr_vecs) = (any.pointer::<libc::iovec>().cast_const(), any.word());
        let rw_flags = any.int();
        same!(
            Read {
                fd,
                ptr,
                len,
                offset
            },
            io_uring_prep_read(fd, ptr, len, offset)
        );
        same!(
            Readv {
                fd,
                iovecs,
                nr_vecs,
                offset
            },
            io_uring_prep_readv(fd, iovecs, nr_vecs, offset)
        );
        same!(
            Readv { fd, iovecs, nr_vecs, offset }
                => |sqe| sqe.insert_op_flags(rw_flags.cast_unsigned()),
            io_uring_prep_readv2(fd, iovecs, nr_vecs, offset, rw_flags)
        );
        same!(
            ReadFixed {
                fd,
                buf: ptr,
                nbytes: len,
                offset,
                buf_index
            },
            io_uring_prep_read_fixed(fd, ptr, len, offset, c_int::from(buf_index))
        );
    });
}

#[test]
fn writing() {
    with_arguments(|any| {
        let (fd, offset, buf_index) = (any.int(), any.long(), any.half());
        let (ptr, len) = (any.pointer::<c_void>().cast_const(), any.word());
        let (iovecs, nr_vecs) = (any.pointer::<libc::iovec>().cast_const(), any.word());
        let rw_flags = any.int();
        same!(
            Write {
                fd,
                ptr,
                len,
                offset
            },
            io_uring_prep_write(fd, ptr, len, offset)
        );
        same!(
            Writev {
                fd,
                iovecs,
                nr_vecs,
                offset
            },
            io_uring_prep_writev(fd, iovecs, nr_vecs, offset)
        );
        same!(
            Writev { fd, iovecs, nr_vecs, offset }
                => |sqe| sqe.insert_op_flags(rw_flags.cast_unsigned()),
            io_uring_prep_writev2(fd, iovecs, nr_vecs, offset, rw_flags)
        );
        same!(
            WriteFixed {
                fd,
                buf: ptr,
                nbytes: len,
                offset,
                buf_index
            },
            io_uring_prep_write_fixed(fd, ptr, len, offset, c_int::from(buf_index))
        );
    });
}

#[test]
fn files() {
    with_arguments(|any| {
        let (fd, mode, flags) = (any.int(), any.int(), any.int());
        let (offset, len, length) = (any.long(), any.long(), any.long().cast_signed());
        let (path, mask) = (any.pointer::<c_char>().cast_const(), any.word());
        let (permissions, statxbuf) = (any.word(), any.pointer::<libc::statx>());
        let fsync_flags = FsyncFlags::from_bits_retain(any.word());
        same!(
            Openat {
                dfd: fd,
                path,
                flags,
                mode: permissions
            },
            io_uring_prep_openat(fd, path, flags, permissions)
        );
        same!(Close { fd }, io_uring_prep_close(fd));
        same!(
            Fsync { fd, fsync_flags },
            io_uring_prep_fsync(fd, fsync_flags.bits())
        );
        same!(
            Fallocate {
                fd,
                mode,
                offset,
                len
            },
            io_uring_prep_fallocate(fd, mode, offset, len)
        );
        same!(
            Ftruncate { fd, len: length },
            io_uring_prep_ftruncate(fd, length)
        );
        same!(
            Statx {
                dfd: fd,
                path,
                flags,
                mask,
                statxbuf
            },
            io_uring_prep_statx(fd, path, flags, mask, statxbuf)
        );
    });
}

#[test]
fn paths() {
    with_arguments(|any| {
        let (dfd, newdfd, flags, word) = (any.int(), any.int(), any.int(), any.word());
        let path = any.pointer::<c_char>().cast_const();
        let newpath = any.pointer::<c_char>().cast_const();
        same!(
            Unlinkat { dfd, path, flags },
            io_uring_prep_unlinkat(dfd, path, flags)
        );
        same!(
            Mkdirat {
                dfd,
                path,
                mode: word
            },
            io_uring_prep_mkdirat(dfd, path, word)
        );
        same!(
            Renameat {
                olddfd: dfd,
                oldpath: path,
                newdfd,
                newpath,
                flags: word
            },
            io_uring_prep_renameat(dfd, path, newdfd, newpath, word)
        );
    });
}
