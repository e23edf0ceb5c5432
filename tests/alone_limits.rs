//! The limits of a process: descriptors, locked memory, address space, threads. Each test lowers
//! them in a process of its own, as an ordinary user.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::time::Duration;

use lio_uring::kind::{CqeSize, SqeSize, Threads};
use lio_uring::operation::Nop;
use lio_uring::{
    CompletionQueue, Features, IoUring, IoUringParams, Probe, RegisterCause, RegisterError,
    SetupCause, SetupError, SubmissionQueue, Wait, availability, with_capacity,
};

#[path = "support/child.rs"]
mod child;
#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/ordinary_user.rs"]
mod ordinary_user;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Calls `body` in a process of its own, as an ordinary user.
#[track_caller]
fn as_ordinary_user(name: &str, body: impl FnOnce()) {
    let root = || ordinary_user::is_root().then_some(());
    child::in_child(name, root, || {
        ordinary_user::become_ordinary_user(&[]);
        body();
    });
}

/// Sets both limits of a resource; the upper one cannot be raised again.
#[track_caller]
fn set_limit(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the pointer is to a value of the right type.
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// The limit of a resource that is in force.
fn soft_limit(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a value of the right type.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut limit) }, 0);
    limit.rlim_cur
}

/// Opens descriptors until there can be no more.
fn exhaust_descriptors() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return files;
            }
        }
    }
}

/// Sends a NOP through a ring and takes it back.
#[track_caller]
fn round_trip<T: Threads, S: SqeSize, C: CqeSize>(
    cq: &mut CompletionQueue<T, C>,
    sq: &mut SubmissionQueue<T, S>,
) {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 7) }.expect("room");
    let wait = Wait::for_completions(1).timeout(Duration::from_secs(10));
    assert!(
        !sq.submit_and_wait_with(&wait)
            .expect("a submission")
            .timed_out
    );
    assert_eq!(cq.next().expect("a completion").user_data(), 7);
}

#[test]
fn descriptors_exhausted_names_the_limit() {
    as_ordinary_user("descriptors_exhausted_names_the_limit", || {
        set_limit(libc::RLIMIT_NOFILE, 64, 64);
        let mut files = exhaust_descriptors();
        let errors = [
            availability().unavailable().unwrap().clone(),
            with_capacity(8).unwrap_err(),
            IoUring::new(8).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.errno(), libc::EMFILE);
            assert_eq!(*error.cause(), SetupCause::DescriptorLimit { limit: 64 });
            assert_eq!(
                error.to_string(),
                "could not make an io_uring: the process has all the 64 descriptors that \
                 RLIMIT_NOFILE allows (errno 24)",
            );
            assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EMFILE));
        }
        assert_eq!(Probe::new().unwrap_err().errno(), libc::EMFILE);

        // The failed attempts have not kept a descriptor, and one is enough.
        files.pop();
        assert!(availability().is_available());
        let (mut cq, mut sq) = with_capacity(8).unwrap();
        round_trip(&mut cq, &mut sq);
    });
}

#[test]
fn descriptors_exhausted_leaves_rings_without_one() {
    as_ordinary_user("descriptors_exhausted_leaves_rings_without_one", || {
        let params = || {
            IoUringParams::default()
                .entries(8)
                .no_mmap()
                .registered_fd_only()
        };
        if kernel::since(6, 5, IoUring::with_params(params())).is_none() {
            return;
        }
        set_limit(libc::RLIMIT_NOFILE, 64, 64);
        let _files = exhaust_descriptors();
        let (mut cq, mut sq) = IoUring::with_params(params()).unwrap();
        round_trip(&mut cq, &mut sq);
    });
}

#[track_caller]
fn names_descriptor_limit(result: Result<(), RegisterError>, what: &str, limit: u64) {
    let error = result.expect_err("the table is too large");
    assert_eq!(error.errno(), libc::EMFILE);
    assert_eq!(*error.cause(), RegisterCause::DescriptorLimit { limit });
    let message = error.to_string();
    let expected = format!("could not register {what}: the table would be larger than the {limit}");
    assert!(message.starts_with(&expected), "{message}");
    assert!(
        message.contains("descriptors that RLIMIT_NOFILE allows"),
        "{message}"
    );
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EMFILE));
}

/// Whether the kernel makes tables of files that are missing. Says so if not.
fn makes_tables() -> bool {
    let (_cq, mut sq) = with_capacity(8).expect("a ring");
    kernel::since(5, 19, sq.register_files_sparse(1)).is_some()
}

#[test]
fn file_table_beyond_the_hard_limit_names_the_limit() {
    if !makes_tables() {
        return;
    }
    as_ordinary_user("file_table_beyond_the_hard_limit_names_the_limit", || {
        set_limit(libc::RLIMIT_NOFILE, 64, 64);
        let (mut cq, mut sq) = with_capacity(8).unwrap();
        for n in [65, 1000, 1 << 21, u32::MAX] {
            names_descriptor_limit(sq.register_files_sparse(n), "a table of files", 64);
        }
        names_descriptor_limit(sq.register_files(&[-1; 65]), "files", 64);
        assert_eq!(soft_limit(libc::RLIMIT_NOFILE), 64);

        sq.register_files_sparse(64).unwrap();
        assert_eq!(sq.register_files_update(63, &[0]).unwrap(), 1);
        sq.unregister_files().unwrap();
        sq.register_files(&[-1; 64]).unwrap();
        round_trip(&mut cq, &mut sq);
    });
}

#[test]
fn file_table_beyond_the_soft_limit_raises_it() {
    if !makes_tables() {
        return;
    }
    as_ordinary_user("file_table_beyond_the_soft_limit_raises_it", || {
        set_limit(libc::RLIMIT_NOFILE, 64, 512);
        let (_cq, mut sq) = with_capacity(8).unwrap();
        // liburing tries again with the limit raised by as much as is asked for.
        sq.register_files_sparse(100).unwrap();
        assert_eq!(soft_limit(libc::RLIMIT_NOFILE), 164);
        sq.unregister_files().unwrap();

        let limit = soft_limit(libc::RLIMIT_NOFILE);
        names_descriptor_limit(sq.register_files_sparse(500), "a table of files", limit);
        assert_eq!(soft_limit(libc::RLIMIT_NOFILE), limit);
    });
}

/// The bytes that one buffer may pin at the least, and the limit, that a refusal names.
#[track_caller]
fn names_memlock(result: Result<u32, RegisterError>, needed: u64, limit: u64) {
    let error = result.expect_err("the buffer is too large for the limit");
    assert_eq!(error.errno(), libc::ENOMEM);
    assert_eq!(*error.cause(), RegisterCause::Memlock { needed, limit });
    let message = error.to_string();
    assert!(
        message.contains(&format!("at least {needed} bytes would be locked")),
        "{message}"
    );
    assert!(
        message.contains(&format!("RLIMIT_MEMLOCK allows {limit}")),
        "{message}"
    );
    assert!(
        message.contains("raise it (ulimit -l), or register less"),
        "{message}"
    );
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENOMEM));
}

#[test]
fn locked_memory_beyond_the_limit_names_need_and_limit() {
    as_ordinary_user(
        "locked_memory_beyond_the_limit_names_need_and_limit",
        || {
            set_limit(libc::RLIMIT_MEMLOCK, 64 * KIB, 64 * KIB);
            let (mut cq, mut sq) = with_capacity(8).unwrap();
            // 1 MiB from the middle of a page on, and a few bytes across the end of one.
            let memory = vec![1; (1 << 20) + 8192];
            let page = 4096 - memory.as_ptr().addr() % 4096;
            let (large, small) = (
                &memory[page + 2048..][..1 << 20],
                &memory[page + 4090..][..100],
            );
            let buffers = [IoSlice::new(large), IoSlice::new(small)];
            // SAFETY: the memory outlives the ring, and no operation uses it.
            let result = unsafe { sq.register_buffers(&buffers) };
            names_memlock(result.map(|()| 0), MIB + 12 * KIB, 64 * KIB);

            // Nothing stays registered, or locked.
            assert_eq!(
                *sq.unregister_buffers().unwrap_err().cause(),
                RegisterCause::NotRegistered
            );
            // SAFETY: as above.
            unsafe { sq.register_buffers(&buffers[1..]) }.unwrap();
            // SAFETY: as above.
            let result = unsafe { sq.register_buffers_update(0, &buffers[..1]) };
            names_memlock(result, MIB + 4 * KIB, 64 * KIB);
            sq.unregister_buffers().unwrap();
            round_trip(&mut cq, &mut sq);
        },
    );
}

#[test]
fn locked_memory_of_root_has_no_limit() {
    let root = || ordinary_user::is_root().then_some(());
    child::in_child("locked_memory_of_root_has_no_limit", root, || {
        set_limit(libc::RLIMIT_MEMLOCK, 64 * KIB, 64 * KIB);
        let (_cq, mut sq) = with_capacity(8).unwrap();
        let large = vec![1; 1 << 20];
        // SAFETY: the memory outlives the ring, and no operation uses it.
        unsafe { sq.register_buffers(&[IoSlice::new(&large)]) }.unwrap();
    });
}

/// Whether the queues of an ordinary user's rings count as locked memory.
fn queues_count_as_locked() -> bool {
    let features = with_capacity(1).expect("a ring").1.features();
    let since_6_14 = features.contains(Features::RW_ATTR) && kernel::older_than(7, 2);
    !features.contains(Features::NATIVE_WORKERS) || since_6_14
}

/// Checks that a ring cannot be made because of its locked memory, and returns what it needs.
#[track_caller]
fn queues_name_memlock(error: SetupError, limit: u64) -> u64 {
    assert_eq!(error.errno(), libc::ENOMEM);
    let SetupCause::Memlock {
        needed,
        limit: named,
    } = *error.cause()
    else {
        panic!("{error}")
    };
    assert_eq!(named, limit);
    assert_eq!(
        error.to_string(),
        format!(
            "could not make an io_uring: the queues need {needed} bytes of locked memory, and \
             RLIMIT_MEMLOCK allows {limit} for all that the user has locked; raise it (ulimit -l), \
             or use fewer entries or rings (errno 12)"
        ),
    );
    assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENOMEM));
    needed
}

#[test]
fn queues_beyond_the_limit_name_need_and_limit() {
    as_ordinary_user("queues_beyond_the_limit_name_need_and_limit", || {
        let counted = queues_count_as_locked();
        set_limit(libc::RLIMIT_MEMLOCK, 64 * KIB, 64 * KIB);
        let (mut cq, mut sq) = with_capacity(8).unwrap();
        round_trip(&mut cq, &mut sq);
        if !counted {
            let (mut cq, mut sq) = with_capacity(32_768).unwrap();
            return round_trip(&mut cq, &mut sq);
        }
        let entries = |n| IoUringParams::default().entries(n);
        for (params, bytes) in [
            (entries(32_768), 3 * MIB),
            (entries(1024), 96 * KIB),
            (entries(8).cqsize(65_536), MIB),
        ] {
            let error = IoUring::with_params(params).unwrap_err();
            let needed = queues_name_memlock(error, 64 * KIB);
            // Beside the entries there are the counters, and an index for each entry.
            assert!(
                (bytes..=bytes + bytes / 8 + 8 * KIB).contains(&needed),
                "{needed}"
            );
        }
        let error = IoUring::with_params(entries(1024).sqe128().cqe32()).unwrap_err();
        assert!(queues_name_memlock(error, 64 * KIB) > 192 * KIB);
        let error = IoUring::new(4096).unwrap_err();
        queues_name_memlock(error, 64 * KIB);
    });
}

#[test]
fn queues_of_many_rings_beyond_the_limit_name_it() {
    as_ordinary_user("queues_of_many_rings_beyond_the_limit_name_it", || {
        let counted = queues_count_as_locked();
        set_limit(libc::RLIMIT_MEMLOCK, 64 * KIB, 64 * KIB);
        let mut rings = Vec::new();
        if !counted {
            rings.extend((0..20).map(|_| with_capacity(8).unwrap()));
            return rings.iter_mut().for_each(|(cq, sq)| round_trip(cq, sq));
        }
        let (error, unavailable) = loop {
            match with_capacity(8) {
                Ok(ring) => rings.push(ring),
                Err(error) => {
                    // The kernel gives the memory of a ring back some time after it was closed: both
                    // have to be out of it.
                    if let Some(unavailable) = availability().unavailable() {
                        break (error, unavailable.clone());
                    }
                }
            }
            assert!(rings.len() <= 16, "one ring takes two pages at least");
        };
        assert!(!rings.is_empty());
        // Each of them is far below the limit by itself.
        assert!(queues_name_memlock(error, 64 * KIB) < 64 * KIB);
        queues_name_memlock(unavailable, 64 * KIB);
        for (cq, sq) in &mut rings {
            round_trip(cq, sq);
        }
    });
}

#[test]
fn queues_without_any_locked_memory_name_the_limit() {
    as_ordinary_user("queues_without_any_locked_memory_name_the_limit", || {
        let counted = queues_count_as_locked();
        set_limit(libc::RLIMIT_MEMLOCK, 0, 0);
        if !counted {
            return assert!(availability().is_available());
        }
        queues_name_memlock(availability().unavailable().unwrap().clone(), 0);
        queues_name_memlock(with_capacity(1).unwrap_err(), 0);
    });
}

#[test]
fn queues_of_a_process_that_locks_all_name_the_limit() {
    as_ordinary_user("queues_of_a_process_that_locks_all_name_the_limit", || {
        let limit = MIB.min(soft_limit(libc::RLIMIT_MEMLOCK));
        set_limit(libc::RLIMIT_MEMLOCK, limit, limit);
        // SAFETY: the call has no conditions.
        let locked = unsafe { libc::mlockall(libc::MCL_FUTURE) };
        assert_eq!(locked, 0, "{}", io::Error::last_os_error());
        // The kernel makes the ring, and mapping it is one thing too many.
        let _most_of_it = vec![1_u8; usize::try_from(limit - limit / 8).unwrap()];
        let error = with_capacity(2048).unwrap_err();
        assert_eq!(error.errno(), libc::EAGAIN);
        let SetupCause::Memlock {
            needed,
            limit: named,
        } = *error.cause()
        else {
            panic!("{error}")
        };
        assert_eq!(named, limit);
        assert!(needed >= 192 * KIB, "{needed}");
    });
}

#[test]
fn address_space_exhausted_is_out_of_memory() {
    as_ordinary_user("address_space_exhausted_is_out_of_memory", || {
        // 384 KiB of queues, which are below the usual limits of locked memory.
        drop(with_capacity(4096).unwrap());
        let pages: u64 = {
            let statm = fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').next().unwrap().parse().unwrap()
        };
        let limit = pages * 4 * KIB + 128 * KIB;
        set_limit(libc::RLIMIT_AS, limit, limit);
        for error in [
            with_capacity(4096).unwrap_err(),
            IoUring::new(4096).unwrap_err(),
        ] {
            assert_eq!(
                (error.errno(), error.cause()),
                (libc::ENOMEM, &SetupCause::OutOfMemory)
            );
            let message = error.to_string();
            assert!(
                message.contains("there is not enough memory; use fewer entries"),
                "{message}"
            );
            assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::ENOMEM));
        }
        let (mut cq, mut sq) = with_capacity(8).unwrap();
        round_trip(&mut cq, &mut sq);
    });
}

#[test]
fn threads_exhausted_is_told_to_who_asks_for_one() {
    as_ordinary_user("threads_exhausted_is_told_to_who_asks_for_one", || {
        drop(IoUring::with_params(IoUringParams::default().sqpoll(1)).unwrap());
        set_limit(libc::RLIMIT_NPROC, 1, 1);
        let error = IoUring::with_params(IoUringParams::default().sqpoll(1)).unwrap_err();
        assert_eq!(
            (error.errno(), error.cause()),
            (libc::EAGAIN, &SetupCause::ThreadLimit)
        );
        let message = error.to_string();
        assert!(
            message.contains("the thread that `sqpoll` asks for cannot be started"),
            "{message}"
        );
        assert!(message.contains("RLIMIT_NPROC (ulimit -u)"), "{message}");
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EAGAIN));
        let (mut cq, mut sq) = with_capacity(8).unwrap();
        round_trip(&mut cq, &mut sq);
    });
}
