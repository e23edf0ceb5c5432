//! Reading, writing, files, paths, attributes, pipes.

use std::ffi::{c_char, c_int, c_void};

use lio_uring::FileSlot;
use lio_uring::operation::{
    Close, CloseFixed, Fadvise, Fadvise64, Fallocate, Fgetxattr, FilesUpdate, FixedFdInstall,
    FixedFdInstallFlags, Fsetxattr, Fsync, FsyncFlags, Ftruncate, Getxattr, Linkat, Madvise,
    Madvise64, Mkdirat, OpenHow, Openat, Openat2, Pipe, Read, ReadFixed, ReadMulti, Readv, Readv2,
    ReadvFixed, Renameat, Setxattr, Splice, Statx, Symlinkat, SyncFileRange, Tee, Unlinkat, Write,
    WriteFixed, Writev, Writev2, WritevFixed,
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
            Readv2 {
                fd,
                iovecs,
                nr_vecs,
                offset,
                flags: rw_flags
            },
            io_uring_prep_readv2(fd, iovecs, nr_vecs, offset, rw_flags)
        );
        same!(
            ReadvFixed {
                fd,
                iovecs,
                nr_vecs,
                offset,
                flags: rw_flags,
                buf_index
            },
            io_uring_prep_readv_fixed(
                fd,
                iovecs,
                nr_vecs,
                offset,
                rw_flags,
                c_int::from(buf_index)
            )
        );
        same!(
            ReadMulti {
                fd,
                nbytes: len,
                offset,
                buf_group: buf_index
            },
            io_uring_prep_read_multishot(fd, len, offset, c_int::from(buf_index))
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
            Writev2 {
                fd,
                iovecs,
                nr_vecs,
                offset,
                flags: rw_flags
            },
            io_uring_prep_writev2(fd, iovecs, nr_vecs, offset, rw_flags)
        );
        same!(
            WritevFixed {
                fd,
                iovecs,
                nr_vecs,
                offset,
                flags: rw_flags,
                buf_index
            },
            io_uring_prep_writev_fixed(
                fd,
                iovecs,
                nr_vecs,
                offset,
                rw_flags,
                c_int::from(buf_index)
            )
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
        same!(
            Openat {
                dfd: libc::AT_FDCWD,
                path,
                flags,
                mode: permissions
            },
            io_uring_prep_open(path, flags, permissions)
        );
        let how = any.pointer::<OpenHow>().cast_const();
        same!(
            Openat2 { dfd: fd, path, how },
            io_uring_prep_openat2(fd, path, how.cast())
        );
        same!(Close { fd }, io_uring_prep_close(fd));
        same!(
            Fsync { fd, fsync_flags },
            io_uring_prep_fsync(fd, fsync_flags.bits())
        );
        same!(
            SyncFileRange {
                fd,
                len: mask,
                offset,
                flags: flags.cast_unsigned()
            },
            io_uring_prep_sync_file_range(fd, mask, offset, flags)
        );
        same!(
            Fadvise {
                fd,
                offset,
                len: mask,
                advice: mode
            },
            io_uring_prep_fadvise(fd, offset, mask, mode)
        );
        same!(
            Fadvise64 {
                fd,
                offset,
                len,
                advice: mode
            },
            io_uring_prep_fadvise64(fd, offset, len.cast_signed(), mode)
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
            Unlinkat {
                dfd: libc::AT_FDCWD,
                path,
                flags
            },
            io_uring_prep_unlink(path, flags)
        );
        same!(
            Mkdirat {
                dfd: libc::AT_FDCWD,
                path,
                mode: word
            },
            io_uring_prep_mkdir(path, word)
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
        same!(
            Renameat {
                olddfd: libc::AT_FDCWD,
                oldpath: path,
                newdfd: libc::AT_FDCWD,
                newpath,
                flags: 0
            },
            io_uring_prep_rename(path, newpath)
        );
        same!(
            Symlinkat {
                target: path,
                newdirfd: newdfd,
                linkpath: newpath
            },
            io_uring_prep_symlinkat(path, newdfd, newpath)
        );
        same!(
            Symlinkat {
                target: path,
                newdirfd: libc::AT_FDCWD,
                linkpath: newpath
            },
            io_uring_prep_symlink(path, newpath)
        );
        same!(
            Linkat {
                olddfd: dfd,
                oldpath: path,
                newdfd,
                newpath,
                flags
            },
            io_uring_prep_linkat(dfd, path, newdfd, newpath, flags)
        );
        same!(
            Linkat {
                olddfd: libc::AT_FDCWD,
                oldpath: path,
                newdfd: libc::AT_FDCWD,
                newpath,
                flags
            },
            io_uring_prep_link(path, newpath, flags)
        );
    });
}

#[test]
fn registered_files() {
    with_arguments(|any| {
        let (fds, nr_fds, fd, index) = (any.pointer::<c_int>(), any.word(), any.int(), any.int());
        let flags = FixedFdInstallFlags::from_bits_retain(any.word());
        let index = index & i32::MAX;
        let allocate = sys::IORING_FILE_INDEX_ALLOC;
        for (offset, index) in [
            (FileSlot::At(index.cast_unsigned()), index),
            (FileSlot::Allocate, allocate),
        ] {
            same!(
                FilesUpdate {
                    fds,
                    nr_fds,
                    offset
                },
                io_uring_prep_files_update(fds, nr_fds, index)
            );
        }
        same!(
            FixedFdInstall { fd, flags },
            io_uring_prep_fixed_fd_install(fd, flags.bits())
        );
        same!(
            CloseFixed {
                file_index: index.cast_unsigned()
            },
            io_uring_prep_close_direct(index.cast_unsigned())
        );
    });
}

#[test]
fn extended_attributes() {
    with_arguments(|any| {
        let (fd, flags, len) = (any.int(), any.int(), any.word());
        let (name, path) = (
            any.pointer::<c_char>().cast_const(),
            any.pointer::<c_char>().cast_const(),
        );
        let value = any.pointer::<c_void>();
        same!(
            Getxattr {
                name,
                value,
                path,
                len
            },
            io_uring_prep_getxattr(name, value.cast(), path, len)
        );
        same!(
            Setxattr {
                name,
                value,
                path,
                flags,
                len
            },
            io_uring_prep_setxattr(name, value.cast(), path, flags, len)
        );
        same!(
            Fgetxattr {
                fd,
                name,
                value,
                len
            },
            io_uring_prep_fgetxattr(fd, name, value.cast(), len)
        );
        same!(
            Fsetxattr {
                fd,
                name,
                value,
                flags,
                len
            },
            io_uring_prep_fsetxattr(fd, name, value.cast(), flags, len)
        );
    });
}

#[test]
fn pipes() {
    with_arguments(|any| {
        let (fds, pipe_flags) = (any.pointer::<c_int>(), any.int());
        let (fd_in, fd_out, nbytes, splice_flags) = (any.int(), any.int(), any.word(), any.word());
        let (off_in, off_out) = (any.long().cast_signed(), any.long().cast_signed());
        same!(
            Pipe { fds, pipe_flags },
            io_uring_prep_pipe(fds, pipe_flags)
        );
        same!(
            Splice {
                fd_in,
                off_in,
                fd_out,
                off_out,
                nbytes,
                splice_flags
            },
            io_uring_prep_splice(fd_in, off_in, fd_out, off_out, nbytes, splice_flags)
        );
        same!(
            Tee {
                fd_in,
                fd_out,
                nbytes,
                splice_flags
            },
            io_uring_prep_tee(fd_in, fd_out, nbytes, splice_flags)
        );
    });
}

#[test]
fn memory() {
    with_arguments(|any| {
        let (addr, length, long) = (any.pointer::<c_void>(), any.word(), any.long());
        let advice = any.int();
        same!(
            Madvise {
                addr,
                length,
                advice
            },
            io_uring_prep_madvise(addr, length, advice)
        );
        same!(
            Madvise64 {
                addr,
                length: long,
                advice
            },
            io_uring_prep_madvise64(addr, long.cast_signed(), advice)
        );
    });
}
