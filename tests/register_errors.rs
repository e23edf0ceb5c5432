//! What can go wrong when something is registered with a ring, or taken back from it.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use lio_uring::operation::Nop;
use lio_uring::{
    CompletionQueue, IoUring, IoUringParams, RegisterCause, RegisterError, SubmissionQueue,
    with_capacity,
};

#[path = "support/closed_fd.rs"]
mod closed_fd;
#[path = "support/kernel.rs"]
mod kernel;
use closed_fd::closed_fd;

const PAGE: usize = 4096;
const GIB: usize = 1 << 30;

/// Memory that is mapped and takes up nothing until it is touched.
#[derive(Debug)]
struct Region {
    address: *mut libc::c_void,
    len: usize,
}

impl Region {
    #[track_caller]
    fn new(len: usize, protection: i32) -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        Self::map(len, protection, flags, -1)
    }

    /// The first page of a file.
    #[track_caller]
    fn of(file: &File) -> Self {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        Self::map(PAGE, protection, libc::MAP_SHARED, file.as_raw_fd())
    }

    #[track_caller]
    fn map(len: usize, protection: i32, flags: i32, fd: RawFd) -> Self {
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let address = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, fd, 0) };
        assert_ne!(address, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Self { address, len }
    }

    fn vector(&self, len: usize) -> libc::iovec {
        libc::iovec {
            iov_base: self.address,
            iov_len: len,
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing refers to it any more.
        unsafe { libc::munmap(self.address, self.len) };
    }
}

fn eventfd() -> OwnedFd {
    // SAFETY: the call has no conditions.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the descriptor is new, and nothing else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Checks a failure: the errno, the cause, the message made of both, and the conversion.
#[track_caller]
fn fails<R: std::fmt::Debug>(
    result: Result<R, RegisterError>,
    action: &str,
    errno: i32,
    cause: &RegisterCause,
) {
    let error = result.expect_err("it cannot be done");
    assert_eq!((error.errno(), error.cause()), (errno, cause), "{error}");
    assert_eq!(
        error.to_string(),
        format!("could not {action}: {cause} (errno {errno})")
    );
    assert_eq!(io::Error::from(error).raw_os_error(), Some(errno));
}

/// Checks that the kernel refused the arguments, and that the message says what it needs.
#[track_caller]
fn is_refused<R: std::fmt::Debug>(result: Result<R, RegisterError>, needs: &str) {
    let error = result.expect_err("it cannot be done");
    assert_eq!(error.errno(), libc::EINVAL, "{error}");
    let RegisterCause::Refused { needs: told } = *error.cause() else {
        panic!("{error:?}")
    };
    assert!(told.contains(needs), "{told}");
    let message = error.to_string();
    let expected = format!(
        "the kernel does not know this registration, or refuses its arguments: {told} (errno 22)"
    );
    assert!(
        message.starts_with("could not ") && message.ends_with(&expected),
        "{message}"
    );
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EINVAL));
}

/// Checks that the ring still works, whatever was refused.
#[track_caller]
fn works((cq, sq): &mut (CompletionQueue, SubmissionQueue)) {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 7) }.expect("room");
    assert_eq!(sq.submit_and_wait(1).expect("a submission"), 1);
    assert_eq!(cq.next().expect("a completion").user_data(), 7);
}

/// Whether the kernel does not know what it was asked to register.
fn refused_as_unknown(result: &Result<(), RegisterError>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.errno() == libc::EINVAL)
}

/// Registers a table of missing files, before Linux 5.19 by a list of them.
#[track_caller]
fn files_table(sq: &mut SubmissionQueue, n: u32) {
    if kernel::since(5, 19, sq.register_files_sparse(n)).is_none() {
        let none = vec![-1; n.try_into().expect("a small table")];
        sq.register_files(&none).expect("a list since Linux 5.5");
    }
}

/// Registers a table of missing buffers, before Linux 5.19 by a list of them.
#[track_caller]
fn buffers_table(sq: &mut SubmissionQueue, n: u32) {
    if kernel::since(5, 19, sq.register_buffers_sparse(n)).is_none() {
        let none = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        let none = vec![none; n.try_into().expect("a small table")];
        // SAFETY: empty places name no memory.
        unsafe { sq.register_buffers(&none) }.expect("a list since Linux 5.13");
    }
}

#[test]
fn buffers_registered_twice_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let memory = [0; 64];
    let buffers = [IoSlice::new(&memory)];
    // SAFETY: the memory outlives the ring, and no operation uses it.
    unsafe { ring.1.register_buffers(&buffers) }.unwrap();
    // SAFETY: as above.
    let again = unsafe { ring.1.register_buffers(&buffers) };
    fails(
        again,
        "register buffers",
        libc::EBUSY,
        &RegisterCause::AlreadyRegistered,
    );
    let again = ring.1.register_buffers_sparse(1);
    if !kernel::older_than(5, 19) || !refused_as_unknown(&again) {
        fails(
            again,
            "register a table of buffers",
            libc::EBUSY,
            &RegisterCause::AlreadyRegistered,
        );
    }
    assert!(
        RegisterCause::AlreadyRegistered
            .to_string()
            .contains("unregister it first")
    );

    ring.1.unregister_buffers().unwrap();
    // SAFETY: as above.
    unsafe { ring.1.register_buffers(&buffers) }.unwrap();
    works(&mut ring);
}

#[test]
fn buffers_unregistered_without_any_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let none = RegisterCause::NotRegistered;
    fails(
        ring.1.unregister_buffers(),
        "unregister buffers",
        libc::ENXIO,
        &none,
    );
    let memory = [0; 64];
    // SAFETY: nothing is registered that could use the memory.
    let updated = unsafe { ring.1.register_buffers_update(0, &[IoSlice::new(&memory)]) };
    fails(updated, "update registered buffers", libc::ENXIO, &none);

    buffers_table(&mut ring.1, 1);
    ring.1.unregister_buffers().unwrap();
    fails(
        ring.1.unregister_buffers(),
        "unregister buffers",
        libc::ENXIO,
        &none,
    );
    works(&mut ring);
}

#[test]
fn buffers_in_an_empty_list_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    // SAFETY: there is no memory that could be used.
    is_refused(
        unsafe { ring.1.register_buffers::<IoSlice<'_>>(&[]) },
        "1 to 16384 buffers",
    );
    is_refused(ring.1.register_buffers_sparse(0), "1 to 16384 buffers");
    buffers_table(&mut ring.1, 1);
    // SAFETY: as above.
    let updated = unsafe { ring.1.register_buffers_update::<IoSlice<'_>>(0, &[]) };
    is_refused(updated, "places within the table");
    works(&mut ring);
}

#[test]
fn buffers_beyond_16384_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let mut memory = [0; 64];
    let vector = libc::iovec {
        iov_base: memory.as_mut_ptr().cast(),
        iov_len: 64,
    };
    // SAFETY: the memory outlives the ring, and no operation uses it.
    is_refused(
        unsafe { ring.1.register_buffers(&vec![vector; 16_385]) },
        "1 to 16384 buffers",
    );
    for n in [16_385, u32::MAX] {
        is_refused(ring.1.register_buffers_sparse(n), "1 to 16384 buffers");
    }
    // SAFETY: as above.
    unsafe { ring.1.register_buffers(&vec![vector; 16_384]) }.unwrap();
    works(&mut ring);
}

#[test]
fn buffers_of_1_gib_are_the_largest() {
    let mut ring = with_capacity(8).unwrap();
    let region = Region::new(GIB + PAGE, libc::PROT_NONE);
    for len in [GIB + 1, GIB + PAGE, isize::MAX as usize] {
        // SAFETY: no operation uses the memory.
        let registered = unsafe { ring.1.register_buffers(&[region.vector(len)]) };
        if !kernel::older_than(7, 2) && len == isize::MAX as usize {
            is_refused(registered, "lengths that there can be");
            continue;
        }
        fails(
            registered,
            "register buffers",
            libc::EFAULT,
            &RegisterCause::BadMemory,
        );
    }
    assert!(
        RegisterCause::BadMemory
            .to_string()
            .ends_with("a buffer is empty or larger than 1 GiB")
    );
    // SAFETY: as above.
    let registered = unsafe { ring.1.register_buffers(&[region.vector(usize::MAX)]) };
    let errno = registered.unwrap_err().errno();
    // Older kernels look at the size of each buffer and not at that of the list.
    let older = kernel::older_than(6, 12) && errno == libc::EFAULT;
    assert!(older || errno == libc::EINVAL, "{errno}");
    works(&mut ring);
}

#[test]
fn buffers_in_memory_that_cannot_be_written_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let bad = RegisterCause::BadMemory;
    let good = [0; 64];
    for protection in [libc::PROT_NONE, libc::PROT_READ] {
        let region = Region::new(PAGE, protection);
        let buffers = [
            libc::iovec {
                iov_base: good.as_ptr().cast_mut().cast(),
                iov_len: 64,
            },
            region.vector(PAGE),
        ];
        // SAFETY: no operation uses the memory.
        let registered = unsafe { ring.1.register_buffers(&buffers) };
        fails(registered, "register buffers", libc::EFAULT, &bad);
    }
    // All or nothing: none of them is registered, the good one neither.
    fails(
        ring.1.unregister_buffers(),
        "unregister buffers",
        libc::ENXIO,
        &RegisterCause::NotRegistered,
    );
    assert!(bad.to_string().contains("not mapped for writing"));
    works(&mut ring);
}

#[test]
fn buffers_that_are_unmapped_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    // The kernel's half of the address space, and what wraps around its end.
    for (address, len) in [(usize::MAX / 2 + 1, 64), (usize::MAX, 2)] {
        let buffer = libc::iovec {
            iov_base: address as *mut _,
            iov_len: len,
        };
        // SAFETY: no operation uses the memory.
        let registered = unsafe { ring.1.register_buffers(&[buffer]) };
        let errno = registered.as_ref().unwrap_err().errno();
        assert!([libc::EFAULT, libc::EOVERFLOW].contains(&errno), "{errno}");
        fails(
            registered,
            "register buffers",
            errno,
            &RegisterCause::BadMemory,
        );
    }
    works(&mut ring);
}

#[test]
fn buffers_of_no_bytes_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    // SAFETY: there is no memory that could be used.
    let registered = unsafe { ring.1.register_buffers(&[IoSliceMut::new(&mut [])]) };
    fails(
        registered,
        "register buffers",
        libc::EFAULT,
        &RegisterCause::BadMemory,
    );
    assert!(
        RegisterCause::BadMemory
            .to_string()
            .contains("a buffer is empty")
    );
    works(&mut ring);
}

#[test]
fn buffers_updated_outside_the_table_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    buffers_table(&mut ring.1, 2);
    let memory = [0; 64];
    let buffers = [IoSlice::new(&memory), IoSlice::new(&memory)];
    for offset in [1, 2, 1000, u32::MAX - 2] {
        // SAFETY: the memory outlives the ring, and no operation uses it.
        let updated = unsafe { ring.1.register_buffers_update(offset, &buffers) };
        is_refused(updated, "places within the table");
    }
    // SAFETY: as above.
    let updated = unsafe { ring.1.register_buffers_update(u32::MAX, &buffers) };
    assert!(
        matches!(
            updated.as_ref().map_err(RegisterError::cause),
            Err(RegisterCause::Refused { .. })
        ),
        "{updated:?}"
    );
    // SAFETY: as above.
    let updated = unsafe { ring.1.register_buffers_update(0, &buffers) };
    assert_eq!(updated, Ok(2));
    works(&mut ring);
}

#[test]
fn buffers_updated_with_bad_memory_keep_those_before() {
    let mut ring = with_capacity(8).unwrap();
    buffers_table(&mut ring.1, 2);
    let region = Region::new(PAGE, libc::PROT_NONE);
    let mut memory = [0; 64];
    let good = libc::iovec {
        iov_base: memory.as_mut_ptr().cast(),
        iov_len: 64,
    };
    let bad = region.vector(PAGE);
    // SAFETY: the memory outlives the ring, and no operation uses it.
    let updated = unsafe { ring.1.register_buffers_update(0, &[bad, good]) };
    fails(
        updated,
        "update registered buffers",
        libc::EFAULT,
        &RegisterCause::BadMemory,
    );
    // SAFETY: as above.
    let updated = unsafe { ring.1.register_buffers_update(0, &[good, bad]) };
    assert_eq!(updated, Ok(1));
    works(&mut ring);
}

#[test]
fn files_registered_twice_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let busy = RegisterCause::AlreadyRegistered;
    ring.1.register_files(&[0, -1]).unwrap();
    fails(
        ring.1.register_files(&[0]),
        "register files",
        libc::EBUSY,
        &busy,
    );
    let again = ring.1.register_files_sparse(1);
    if !kernel::older_than(5, 19) || !refused_as_unknown(&again) {
        fails(again, "register a table of files", libc::EBUSY, &busy);
    }
    ring.1.unregister_files().unwrap();
    files_table(&mut ring.1, 1);
    works(&mut ring);
}

#[test]
fn files_unregistered_without_any_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let none = RegisterCause::NotRegistered;
    fails(
        ring.1.unregister_files(),
        "unregister files",
        libc::ENXIO,
        &none,
    );
    let updated = ring.1.register_files_update(0, &[0]);
    fails(updated, "update registered files", libc::ENXIO, &none);
    files_table(&mut ring.1, 1);
    ring.1.unregister_files().unwrap();
    fails(
        ring.1.unregister_files(),
        "unregister files",
        libc::ENXIO,
        &none,
    );
    assert_eq!(none.to_string(), "nothing of the kind is registered");
    works(&mut ring);
}

#[test]
fn files_that_are_not_open_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let bad = RegisterCause::BadDescriptor;
    for fd in [closed_fd(), i32::MAX, -3, i32::MIN] {
        fails(
            ring.1.register_files(&[0, fd]),
            "register files",
            libc::EBADF,
            &bad,
        );
    }
    // All or nothing.
    fails(
        ring.1.unregister_files(),
        "unregister files",
        libc::ENXIO,
        &RegisterCause::NotRegistered,
    );
    assert!(bad.to_string().starts_with("a descriptor is not open"));
    works(&mut ring);
}

#[test]
fn files_that_are_rings_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let (_cq, other) = with_capacity(8).unwrap();
    let bad = RegisterCause::BadDescriptor;
    for fd in [ring.1.as_raw_fd(), other.as_raw_fd()] {
        fails(
            ring.1.register_files(&[fd]),
            "register files",
            libc::EBADF,
            &bad,
        );
    }
    files_table(&mut ring.1, 1);
    let updated = ring.1.register_files_update(0, &[other.as_raw_fd()]);
    fails(updated, "update registered files", libc::EBADF, &bad);
    assert!(
        bad.to_string()
            .contains("is an io_uring's, which cannot be registered")
    );
    works(&mut ring);
}

#[test]
fn files_in_an_empty_list_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    is_refused(ring.1.register_files(&[]), "at least one place");
    is_refused(ring.1.register_files_sparse(0), "at least one place");
    files_table(&mut ring.1, 1);
    is_refused(
        ring.1.register_files_update(0, &[]),
        "places within the table",
    );
    works(&mut ring);
}

#[test]
fn files_updated_outside_the_table_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    files_table(&mut ring.1, 2);
    for offset in [1, 2, 1000, u32::MAX - 2] {
        is_refused(
            ring.1.register_files_update(offset, &[0, 0]),
            "places within the table",
        );
    }
    let updated = ring.1.register_files_update(u32::MAX, &[0, 0]);
    assert!(
        matches!(
            updated.as_ref().map_err(RegisterError::cause),
            Err(RegisterCause::Refused { .. })
        ),
        "{updated:?}"
    );
    assert_eq!(ring.1.register_files_update(0, &[0, 0]).unwrap(), 2);
    works(&mut ring);
}

#[test]
fn files_updated_with_one_not_open_keep_those_before() {
    let mut ring = with_capacity(8).unwrap();
    files_table(&mut ring.1, 3);
    let closed = closed_fd();
    let updated = ring.1.register_files_update(0, &[closed, 0]);
    let bad = RegisterCause::BadDescriptor;
    fails(updated, "update registered files", libc::EBADF, &bad);
    assert_eq!(ring.1.register_files_update(0, &[0, closed, 0]).unwrap(), 1);
    works(&mut ring);
}

#[test]
fn eventfd_registered_twice_is_refused() {
    let mut ring = with_capacity(8).unwrap();
    let (first, second) = (eventfd(), eventfd());
    ring.1.register_eventfd(first.as_fd()).unwrap();
    for fd in [&first, &second] {
        let busy = RegisterCause::AlreadyRegistered;
        let action = "register an eventfd";
        fails(
            ring.1.register_eventfd(fd.as_fd()),
            action,
            libc::EBUSY,
            &busy,
        );
        fails(
            ring.1.register_eventfd_async(fd.as_fd()),
            action,
            libc::EBUSY,
            &busy,
        );
    }
    ring.1.unregister_eventfd().unwrap();
    ring.1.register_eventfd_async(second.as_fd()).unwrap();
    works(&mut ring);
}

#[test]
fn eventfd_unregistered_without_one_is_refused() {
    let mut ring = with_capacity(8).unwrap();
    let none = RegisterCause::NotRegistered;
    fails(
        ring.1.unregister_eventfd(),
        "unregister the eventfd",
        libc::ENXIO,
        &none,
    );
    works(&mut ring);
}

#[test]
fn eventfd_that_is_another_file_is_refused() {
    let mut ring = with_capacity(8).unwrap();
    let null = File::open("/dev/null").unwrap();
    is_refused(ring.1.register_eventfd(null.as_fd()), "an eventfd");
    is_refused(ring.1.register_eventfd_async(null.as_fd()), "an eventfd");
    works(&mut ring);
}

#[test]
fn buffer_ring_of_no_power_of_two_is_refused() {
    let mut ring = with_capacity(8).unwrap();
    for entries in [0, 3, 6, 32_767, 32_769, u16::MAX] {
        is_refused(
            ring.1.register_buffer_ring(entries, 0),
            "a power of two from 1 to 32768",
        );
    }
    for entries in [1, 2, 32_768] {
        let made = ring.1.register_buffer_ring(entries, 0);
        if let Some(made) = kernel::since(5, 19, made) {
            assert_eq!(made.capacity(), entries);
        }
    }
    works(&mut ring);
}

#[test]
fn buffer_ring_of_a_group_that_has_one_is_refused() {
    let mut ring = with_capacity(8).unwrap();
    let group = ring.1.register_buffer_ring(8, 1);
    let Some(group) = kernel::since(5, 19, group) else {
        return;
    };
    let busy = RegisterCause::AlreadyRegistered;
    for entries in [8, 16] {
        let again = ring.1.register_buffer_ring(entries, 1);
        fails(again, "register a buffer ring", libc::EEXIST, &busy);
    }
    let other = ring.1.register_buffer_ring(8, u16::MAX).unwrap();
    assert_eq!((group.group(), other.group()), (1, u16::MAX));

    // What was refused has not taken the group away from who has it.
    if let Some(available) = kernel::since(6, 8, group.available()) {
        assert_eq!(available, 0);
    }
    drop(group);
    drop(ring.1.register_buffer_ring(16, 1).unwrap());
    works(&mut ring);
}

#[test]
fn anything_on_a_ring_for_one_thread_is_refused_alike() {
    // Such a ring registers by way of its own registered descriptor.
    let mut ring = IoUring::new(8).unwrap();
    let sq = ring.submission();
    let none = RegisterCause::NotRegistered;
    fails(
        sq.unregister_files(),
        "unregister files",
        libc::ENXIO,
        &none,
    );
    fails(
        sq.unregister_buffers(),
        "unregister buffers",
        libc::ENXIO,
        &none,
    );
    fails(
        sq.unregister_eventfd(),
        "unregister the eventfd",
        libc::ENXIO,
        &none,
    );
    let bad = RegisterCause::BadDescriptor;
    fails(
        sq.register_files(&[closed_fd()]),
        "register files",
        libc::EBADF,
        &bad,
    );
    is_refused(sq.register_buffer_ring(3, 0), "a power of two");
}

#[test]
fn anything_on_a_disabled_ring_is_registered() {
    let params = IoUringParams::default().entries(8).r_disabled();
    let mut ring = IoUring::with_params(params).unwrap();
    ring.1.register_files(&[0]).unwrap();
    buffers_table(&mut ring.1, 1);
    ring.1.register_eventfd(eventfd().as_fd()).unwrap();
    let group = kernel::since(5, 19, ring.1.register_buffer_ring(8, 0));
    ring.1.enable().unwrap();
    works(&mut ring);
    drop(group);
}

#[test]
fn file_table_larger_than_any_can_be_names_the_limit() {
    let mut ring = with_capacity(8).unwrap();
    let registered = ring.1.register_files_sparse(u32::MAX);
    if kernel::older_than(5, 19) && refused_as_unknown(&registered) {
        return;
    }
    let error = registered.unwrap_err();
    assert_eq!(error.errno(), libc::EMFILE);
    assert!(
        matches!(error.cause(), RegisterCause::DescriptorLimit { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("or than 1048576"), "{error}");
    works(&mut ring);
}

/// Whether a file is on a file system that has no disk.
fn is_in_memory(file: &File) -> bool {
    // SAFETY: the structure is made of integers, for which zero is a value.
    let mut said: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a value of the right type.
    assert_eq!(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut said) }, 0);
    said.f_type == libc::TMPFS_MAGIC
}

#[test]
fn buffers_in_a_disk_file_are_refused() {
    let mut ring = with_capacity(8).unwrap();
    let file = tempfile::tempfile().unwrap();
    file.set_len(PAGE as u64).unwrap();
    let region = Region::of(&file);
    // SAFETY: no operation uses the memory.
    match unsafe { ring.1.register_buffers(&[region.vector(PAGE)]) } {
        Ok(()) => assert!(is_in_memory(&file)),
        Err(error) if kernel::older_than(6, 5) => assert_eq!(error.errno(), libc::EOPNOTSUPP),
        refused => {
            fails(
                refused,
                "register buffers",
                libc::EFAULT,
                &RegisterCause::BadMemory,
            );
            assert!(
                RegisterCause::BadMemory
                    .to_string()
                    .contains("is a disk file's")
            );
        }
    }
    works(&mut ring);
}
