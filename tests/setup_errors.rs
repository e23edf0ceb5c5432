//! What can go wrong when a ring is made, and that each way of making one makes a ring that works.

#![cfg(target_os = "linux")]

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use lio_uring::kind::{CqeSize, SqeSize, Threads};
use lio_uring::operation::Nop;
use lio_uring::{
    CompletionQueue, Features, IoUring, IoUringParams, RegisterCause, SetupCause, SetupError,
    SetupFlags, SubmissionQueue, SubmitCause, SubmitError, Wait, sys, with_capacity,
};

#[path = "support/closed_fd.rs"]
mod closed_fd;
use closed_fd::closed_fd;
#[path = "support/kernel.rs"]
mod kernel;

const MAX_ENTRIES: u32 = 32_768;

/// Makes a ring. `None`, said aloud, where the kernel is older than the flags and refuses them.
#[track_caller]
fn make<T: Threads, S: SqeSize, C: CqeSize>(
    (major, minor): (u32, u32),
    params: IoUringParams<T, S, C>,
) -> Option<(CompletionQueue<T, C>, SubmissionQueue<T, S>)> {
    kernel::since(major, minor, IoUring::with_params(params))
}

/// Sends NOPs through a ring and takes them back, twice around its queue.
#[track_caller]
fn round_trips<T: Threads, S: SqeSize, C: CqeSize>(
    cq: &mut CompletionQueue<T, C>,
    sq: &mut SubmissionQueue<T, S>,
) {
    let wait = Wait::for_completions(1).timeout(Duration::from_secs(10));
    for user_data in 0..u64::from(2 * sq.capacity()).min(64) {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, user_data) }.expect("room");
        let waited = sq.submit_and_wait_with(&wait).expect("a submission");
        assert!(!waited.timed_out, "{:?}", sq.setup_flags());
        let completion = cq.try_next().expect("a completion").expect("a completion");
        assert_eq!(completion.user_data(), user_data);
        // Before Linux 6.0 a ring with IOPOLL does not even take a NOP.
        if !kernel::older_than(6, 0) || !sq.setup_flags().contains(SetupFlags::IOPOLL) {
            assert_eq!(completion.raw_result(), 0, "{:?}", sq.setup_flags());
        }
        assert_eq!(cq.ready(), 0);
    }
    assert_all_taken(sq);
}

/// Checks that the kernel has taken all entries. Its thread says so only after it has completed them.
#[track_caller]
fn assert_all_taken<T: Threads, S: SqeSize>(sq: &SubmissionQueue<T, S>) {
    let end = Instant::now() + Duration::from_secs(10);
    while sq.setup_flags().contains(SetupFlags::SQPOLL)
        && sq.unsubmitted() > 0
        && Instant::now() < end
    {
        thread::yield_now();
    }
    assert_eq!(sq.unsubmitted(), 0);
}

/// Makes a ring and uses it.
#[track_caller]
fn works<T: Threads, S: SqeSize, C: CqeSize>(since: (u32, u32), params: IoUringParams<T, S, C>) {
    let flags = params.flags();
    if let Some((mut cq, mut sq)) = make(since, params) {
        assert!(sq.setup_flags().contains(flags), "{:?}", sq.setup_flags());
        assert_eq!(sq.setup_flags(), cq.setup_flags());
        round_trips(&mut cq, &mut sq);
    }
}

/// The error that parameters end in, with the errno that it must have and keep.
#[track_caller]
fn failure<T: Threads, S: SqeSize, C: CqeSize>(
    params: IoUringParams<T, S, C>,
    errno: i32,
) -> SetupError {
    let error = IoUring::with_params(params).expect_err("no ring can be made of this");
    assert_eq!(error.errno(), errno, "{error}");
    let message = error.to_string();
    assert!(
        message.starts_with("could not make an io_uring: "),
        "{message}"
    );
    assert!(message.ends_with(&format!(" (errno {errno})")), "{message}");
    assert_eq!(io::Error::from(error.clone()).raw_os_error(), Some(errno));
    error
}

/// Checks that parameters are refused before the kernel sees them, with a reason.
#[track_caller]
fn invalid<T: Threads, S: SqeSize, C: CqeSize>(params: IoUringParams<T, S, C>, expected: &str) {
    let error = failure(params, libc::EINVAL);
    let SetupCause::InvalidParams { reason } = *error.cause() else {
        panic!("{error:?}")
    };
    assert!(reason.contains(expected), "{reason}");
    assert!(
        error
            .to_string()
            .contains(&format!("the parameters cannot work: {reason}"))
    );
}

/// What the kernel and liburing say to the same parameters, if nothing stands before them.
fn kernel_answers(entries: u32, flags: SetupFlags, cq_entries: u32) -> [i32; 2] {
    // SAFETY: the structure is made of integers, for which zero is a value.
    let mut params: sys::io_uring_params = unsafe { mem::zeroed() };
    params.flags = flags.bits();
    params.cq_entries = cq_entries;
    params.sq_thread_idle = 1;
    let mut again = params;

    // SAFETY: the pointer is to a value of the right type.
    let fd = unsafe { sys::io_uring_setup(entries, &raw mut params) };
    if fd >= 0 {
        // SAFETY: the descriptor is new, and nothing else has it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    // SAFETY: the structure is made of integers and pointers, for which zero is a value.
    let mut ring: sys::io_uring = unsafe { mem::zeroed() };
    // SAFETY: both pointers are to values of the right type.
    let result = unsafe { sys::io_uring_queue_init_params(entries, &raw mut ring, &raw mut again) };
    if result == 0 {
        // SAFETY: the ring was just made.
        unsafe { sys::io_uring_queue_exit(&raw mut ring) };
    }
    [fd.min(0), result]
}

/// Checks that parameters are refused, with a reason, and that the kernel refuses them too.
#[track_caller]
fn impossible<T: Threads, S: SqeSize, C: CqeSize>(params: IoUringParams<T, S, C>, expected: &str) {
    let flags = params.flags();
    invalid(params, expected);
    assert_eq!(kernel_answers(8, flags, 0), [-libc::EINVAL; 2], "{flags:?}");
}

#[test]
fn entries_of_zero_are_refused() {
    invalid(IoUringParams::default().entries(0), "at least 1 entry");
    invalid(
        IoUringParams::default().entries(0).clamp(),
        "at least 1 entry",
    );
    assert_eq!(with_capacity(0).unwrap_err().errno(), libc::EINVAL);
    assert_eq!(IoUring::new(0).unwrap_err().errno(), libc::EINVAL);
    assert_eq!(
        kernel_answers(0, SetupFlags::empty(), 0),
        [-libc::EINVAL; 2]
    );
    assert_eq!(kernel_answers(0, SetupFlags::CLAMP, 0), [-libc::EINVAL; 2]);
}

#[test]
fn entries_beyond_the_limit_are_refused() {
    for entries in [MAX_ENTRIES + 1, 1 << 31, u32::MAX] {
        invalid(
            IoUringParams::default().entries(entries),
            "at most 32768 entries; `clamp`",
        );
        assert_eq!(
            kernel_answers(entries, SetupFlags::empty(), 0),
            [-libc::EINVAL; 2]
        );
    }
}

#[test]
fn entries_at_the_limit_work() {
    let (mut cq, mut sq) = with_capacity(MAX_ENTRIES).unwrap();
    assert_eq!(
        (sq.capacity(), cq.capacity()),
        (MAX_ENTRIES, 2 * MAX_ENTRIES)
    );
    round_trips(&mut cq, &mut sq);
}

#[test]
fn entries_between_powers_of_two_are_rounded_up() {
    for (asked, made) in [(1, 1), (2, 2), (3, 4), (33, 64), (1000, 1024)] {
        let (mut cq, mut sq) = with_capacity(asked).unwrap();
        assert_eq!((sq.capacity(), cq.capacity()), (made, 2 * made));
        round_trips(&mut cq, &mut sq);
    }
}

#[test]
fn clamp_beyond_the_limits_makes_the_largest_ring() {
    for entries in [MAX_ENTRIES + 1, u32::MAX] {
        let params = IoUringParams::default().entries(entries).clamp();
        let Some((mut cq, mut sq)) = make((5, 6), params) else {
            return;
        };
        assert_eq!(
            (sq.capacity(), cq.capacity()),
            (MAX_ENTRIES, 2 * MAX_ENTRIES)
        );
        round_trips(&mut cq, &mut sq);
    }
    let params = IoUringParams::default().entries(8).cqsize(u32::MAX).clamp();
    let (cq, sq) = IoUring::with_params(params).unwrap();
    assert_eq!((sq.capacity(), cq.capacity()), (8, 2 * MAX_ENTRIES));
}

#[test]
fn cqsize_smaller_than_entries_is_refused() {
    for (entries, cqsize) in [(8, 0), (8, 4), (9, 8), (MAX_ENTRIES, MAX_ENTRIES / 2)] {
        let params = || IoUringParams::default().entries(entries).cqsize(cqsize);
        invalid(params(), "cannot be smaller than its submission queue");
        invalid(
            params().clamp(),
            "cannot be smaller than its submission queue",
        );
        assert_eq!(
            kernel_answers(entries, SetupFlags::CQSIZE, cqsize),
            [-libc::EINVAL; 2]
        );
    }
}

#[test]
fn cqsize_beyond_the_limit_is_refused() {
    for cqsize in [2 * MAX_ENTRIES + 1, u32::MAX] {
        let params = IoUringParams::default().entries(8).cqsize(cqsize);
        invalid(params, "at most 65536 entries; `clamp`");
        assert_eq!(
            kernel_answers(8, SetupFlags::CQSIZE, cqsize),
            [-libc::EINVAL; 2]
        );
    }
}

#[test]
fn cqsize_within_the_limits_is_rounded_up() {
    for (entries, cqsize, made) in [
        (1, 1, 1),
        (8, 8, 8),
        (9, 9, 16),
        (8, 1000, 1024),
        (8, 65_536, 65_536),
    ] {
        let params = IoUringParams::default().entries(entries).cqsize(cqsize);
        let Some((mut cq, mut sq)) = make((5, 5), params) else {
            return;
        };
        assert_eq!(
            (sq.capacity(), cq.capacity()),
            (entries.next_power_of_two(), made)
        );
        round_trips(&mut cq, &mut sq);
    }
}

#[test]
fn sq_aff_without_sqpoll_is_refused() {
    impossible(IoUringParams::default().sq_aff(0), "there is no `sqpoll`");
}

#[test]
fn hybrid_iopoll_without_iopoll_is_refused() {
    impossible(IoUringParams::default().hybrid_iopoll(), "needs `iopoll`");
}

#[test]
fn coop_taskrun_with_sqpoll_is_refused() {
    impossible(
        IoUringParams::default().sqpoll(1).coop_taskrun(),
        "`coop_taskrun` is about",
    );
    // The method sets TASKRUN_FLAG as well, which the kernel refuses on its own account.
    let pair = SetupFlags::SQPOLL | SetupFlags::COOP_TASKRUN;
    assert_eq!(kernel_answers(8, pair, 0), [-libc::EINVAL; 2]);
}

#[test]
fn defer_taskrun_with_sqpoll_is_refused() {
    impossible(
        IoUringParams::default().sqpoll(1).defer_taskrun(),
        "`defer_taskrun` is about",
    );
    let pair = SetupFlags::SQPOLL | SetupFlags::DEFER_TASKRUN | SetupFlags::SINGLE_ISSUER;
    assert_eq!(kernel_answers(8, pair, 0), [-libc::EINVAL; 2]);
}

#[test]
fn taskrun_flag_without_put_off_work_is_refused() {
    let expected = "`taskrun_flag` shows the work";
    impossible(IoUringParams::default().taskrun_flag(), expected);
    impossible(IoUringParams::default().taskrun_flag().sqpoll(1), expected);
    impossible(
        IoUringParams::default().taskrun_flag().single_issuer(),
        expected,
    );
}

#[test]
fn registered_fd_only_without_no_mmap_is_refused() {
    impossible(
        IoUringParams::default().registered_fd_only(),
        "needs `no_mmap`",
    );
}

#[test]
fn sq_rewind_with_sqpoll_is_refused() {
    impossible(
        IoUringParams::default().sq_rewind().sqpoll(1),
        "`sqpoll` follows",
    );
}

#[test]
fn builder_with_impossible_params_is_refused() {
    for (error, expected) in [
        (IoUring::builder().sq_aff(0).build(), "there is no `sqpoll`"),
        (
            IoUring::builder().registered_fd_only().build(),
            "needs `no_mmap`",
        ),
        (IoUring::builder().entries(0).build(), "at least 1 entry"),
        (
            IoUring::builder().entries(u32::MAX).build(),
            "at most 32768",
        ),
    ] {
        let error = error.expect_err("no ring can be made of this");
        assert!(
            matches!(error.cause(), SetupCause::InvalidParams { reason } if reason.contains(expected))
        );
    }
}

#[test]
fn attach_wq_to_what_is_no_ring_names_the_descriptor() {
    let null = File::open("/dev/null").unwrap();
    for fd in [-1, closed_fd(), null.as_raw_fd()] {
        let attached = || IoUringParams::default().entries(8).attach_wq(fd);
        let errno = if fd == null.as_raw_fd() {
            libc::EINVAL
        } else {
            libc::ENXIO
        };
        for params in [attached(), attached().sqpoll(1)] {
            let error = failure(params, errno);
            assert_eq!(*error.cause(), SetupCause::NotARing { fd });
            let expected =
                format!("the descriptor {fd} given to `attach_wq` is not an open io_uring");
            assert!(error.to_string().contains(&expected), "{error}");
        }
        let error = IoUring::builder().attach_wq(fd).build().unwrap_err();
        assert_eq!(
            (error.errno(), error.cause()),
            (errno, &SetupCause::NotARing { fd })
        );
    }
}

#[test]
fn attach_wq_to_a_ring_works() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    works(
        (5, 6),
        IoUringParams::default()
            .entries(8)
            .attach_wq(sq.as_raw_fd()),
    );
    round_trips(&mut cq, &mut sq);

    let params = || IoUringParams::default().entries(8).sqpoll(1);
    let (mut cq, mut sq) = IoUring::with_params(params()).unwrap();
    works((5, 6), params().attach_wq(sq.as_raw_fd()));
    round_trips(&mut cq, &mut sq);
}

#[test]
fn attach_wq_with_sqpoll_to_a_ring_without_is_refused() {
    let (_cq, sq) = with_capacity(8).unwrap();
    let params = IoUringParams::default()
        .entries(8)
        .sqpoll(1)
        .attach_wq(sq.as_raw_fd());
    let error = failure(params, libc::EINVAL);
    let flags = SetupFlags::SQPOLL | SetupFlags::ATTACH_WQ;
    assert_eq!(*error.cause(), SetupCause::Refused { flags });
    let message = error.to_string();
    assert!(message.contains("SQPOLL | ATTACH_WQ"), "{message}");
    assert!(
        message.contains("with `attach_wq`, not agree with the other ring's"),
        "{message}"
    );
}

#[test]
fn sq_aff_to_a_processor_that_is_not_there_is_refused() {
    for cpu in [u32::MAX, 1 << 20] {
        let params = IoUringParams::default().entries(8).sqpoll(1).sq_aff(cpu);
        let error = failure(params, libc::EINVAL);
        let flags = SetupFlags::SQPOLL | SetupFlags::SQ_AFF;
        assert_eq!(*error.cause(), SetupCause::Refused { flags });
        let message = error.to_string();
        assert!(message.contains("`sq_aff`"), "{message}");
    }
}

/// Checks flags that are newer than many kernels: they work or are named as unknown, and which of
/// the two the kernel's version must agree with.
#[track_caller]
fn works_or_is_unknown<T: Threads, S: SqeSize, C: CqeSize>(
    since: (u32, u32),
    params: impl Fn() -> IoUringParams<T, S, C>,
    unknown: SetupFlags,
) {
    let (major, minor) = since;
    let made = IoUring::with_params(params());
    if kernel::since_or(major, minor, made, |_| ()).is_some() {
        return works(since, params());
    }
    let error = failure(params(), libc::EINVAL);
    if kernel::older_than(6, 18) {
        // Older kernels cannot be asked which flags they know.
        assert_eq!(
            *error.cause(),
            SetupCause::Refused {
                flags: params().flags()
            }
        );
        assert!(
            error
                .to_string()
                .contains("a flag may be newer than the kernel")
        );
    } else {
        assert_eq!(*error.cause(), SetupCause::UnknownFlags { flags: unknown });
        let message = error.to_string();
        assert!(
            message.contains(&format!("does not know the flags {unknown:?};")),
            "{message}"
        );
        assert!(
            message.contains("leave them out or use a newer kernel"),
            "{message}"
        );
    }
}

#[test]
fn sqe_mixed_on_a_kernel_without_is_named_as_unknown() {
    let params = || IoUringParams::default().entries(8).sqe_mixed();
    works_or_is_unknown((6, 19), params, SetupFlags::SQE_MIXED);
}

#[test]
fn sq_rewind_on_a_kernel_without_is_named_as_unknown() {
    let params = || IoUringParams::default().entries(8).sq_rewind();
    works_or_is_unknown((7, 0), params, SetupFlags::SQ_REWIND);
}

#[test]
fn both_newest_flags_on_a_kernel_without_are_both_named() {
    let params = || IoUringParams::default().entries(8).sq_rewind().sqe_mixed();
    let unknown = if kernel::older_than(6, 19) {
        SetupFlags::SQ_REWIND | SetupFlags::SQE_MIXED
    } else {
        SetupFlags::SQ_REWIND
    };
    works_or_is_unknown((7, 0), params, unknown);
}

#[test]
fn ring_by_default_works() {
    works((5, 1), IoUringParams::default());
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    assert!(sq.features().contains(Features::SINGLE_MMAP));
    assert_eq!(sq.features(), cq.features());
    round_trips(&mut cq, &mut sq);
}

#[test]
fn ring_for_one_thread_works() {
    for entries in [1, 8, 1024] {
        let mut ring = IoUring::new(entries).unwrap();
        let (cq, sq) = ring.queues();
        round_trips(cq, sq);
    }
    let mut ring = IoUring::builder().exact().build().unwrap();
    let (cq, sq) = ring.queues();
    assert_eq!(
        sq.setup_flags() - SetupFlags::NO_SQARRAY,
        SetupFlags::empty()
    );
    round_trips(cq, sq);
}

#[test]
fn ring_for_one_thread_takes_the_fastest_flags() {
    let ring = IoUring::new(8).unwrap();
    if !kernel::older_than(6, 1) {
        let fastest = SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN;
        let mut ring = ring;
        assert!(ring.submission().setup_flags().contains(fastest));
    }
    let mut ring = IoUring::builder().sqpoll(1).build().unwrap();
    let flags = ring.submission().setup_flags();
    assert!(
        !flags.intersects(SetupFlags::DEFER_TASKRUN | SetupFlags::COOP_TASKRUN),
        "{flags:?}"
    );
    let (cq, sq) = ring.queues();
    round_trips(cq, sq);
}

#[test]
fn cqsize_works() {
    works((5, 5), IoUringParams::default().cqsize(1024));
}

#[test]
fn clamp_works() {
    works((5, 6), IoUringParams::default().clamp());
}

#[test]
fn submit_all_works() {
    works((5, 18), IoUringParams::default().submit_all());
}

#[test]
fn coop_taskrun_works() {
    works((5, 19), IoUringParams::default().coop_taskrun());
    works(
        (5, 19),
        IoUringParams::default().coop_taskrun().taskrun_flag(),
    );
}

#[test]
fn single_issuer_works() {
    works((6, 0), IoUringParams::default().single_issuer());
    works((6, 0), IoUringParams::default().sqpoll(1).single_issuer());
}

#[test]
fn defer_taskrun_works() {
    works((6, 1), IoUringParams::default().defer_taskrun());
    works(
        (6, 1),
        IoUringParams::default().defer_taskrun().coop_taskrun(),
    );
}

#[test]
fn no_sqarray_works() {
    works((6, 6), IoUringParams::default().no_sqarray());
}

#[test]
fn no_mmap_within_a_page_works() {
    works((6, 5), IoUringParams::default().entries(8).no_mmap());
    works(
        (6, 5),
        IoUringParams::default()
            .entries(8)
            .no_mmap()
            .defer_taskrun(),
    );
}

#[test]
fn no_mmap_without_huge_pages_is_out_of_memory() {
    let params = IoUringParams::default().entries(1024).no_mmap();
    let huge = |name: &str| {
        let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}");
        fs::read_to_string(path).is_ok_and(|number| number.trim() != "0")
    };
    if huge("nr_hugepages") || huge("nr_overcommit_hugepages") {
        return works((6, 5), params);
    }
    let error = failure(params, libc::ENOMEM);
    assert_eq!(*error.cause(), SetupCause::OutOfMemory);
    let message = error.to_string();
    assert!(message.contains("use fewer entries"), "{message}");
    assert!(
        message.contains("(`no_mmap`) that take more than a page need huge pages"),
        "{message}"
    );
}

#[test]
fn registered_fd_only_works_and_has_no_descriptor() {
    let params = IoUringParams::default()
        .entries(8)
        .no_mmap()
        .registered_fd_only();
    if let Some((mut cq, mut sq)) = make((6, 5), params) {
        assert!(sq.fd().is_none());
        round_trips(&mut cq, &mut sq);
    }
}

#[test]
fn registered_fd_only_beyond_the_places_of_a_thread_is_told() {
    // The places are a thread's, so a new one has them all.
    thread::spawn(|| {
        let params = || {
            IoUringParams::default()
                .entries(1)
                .no_mmap()
                .registered_fd_only()
        };
        let Some(first) = make((6, 5), params()) else {
            return;
        };
        let mut rings = vec![first];
        let error = loop {
            match IoUring::with_params(params()) {
                Ok(queues) => rings.push(queues),
                Err(error) => break error,
            }
        };
        assert_eq!(rings.len(), 16);
        assert_eq!(
            (error.errno(), error.cause()),
            (libc::EBUSY, &SetupCause::RegisteredRingLimit)
        );
        assert!(
            error.to_string().contains("`registered_fd_only`"),
            "{error}"
        );

        // Rings that merely register their descriptor do without.
        let mut ring = IoUring::new(8).unwrap();
        let (cq, sq) = ring.queues();
        round_trips(cq, sq);
        rings.pop();
        rings.push(IoUring::with_params(params()).unwrap());
        for (cq, sq) in &mut rings {
            round_trips(cq, sq);
        }
    })
    .join()
    .unwrap();
}

#[test]
fn sqe128_works() {
    works((5, 19), IoUringParams::default().sqe128());
}

#[test]
fn cqe32_works() {
    works((5, 19), IoUringParams::default().cqe32());
    works((5, 19), IoUringParams::default().sqe128().cqe32());
}

#[test]
fn cqe_mixed_works() {
    works((6, 18), IoUringParams::default().cqe_mixed());
}

#[test]
fn sqpoll_works() {
    for idle_ms in [0, 1, 10] {
        works((5, 1), IoUringParams::default().sqpoll(idle_ms));
    }
}

#[test]
fn sq_aff_works() {
    works((5, 1), IoUringParams::default().sqpoll(1).sq_aff(0));
}

#[test]
fn iopoll_works() {
    works((5, 1), IoUringParams::default().iopoll());
    works((5, 1), IoUringParams::default().iopoll().sqpoll(1));
    works((6, 1), IoUringParams::default().iopoll().defer_taskrun());
}

#[test]
fn hybrid_iopoll_works() {
    works((6, 13), IoUringParams::default().iopoll().hybrid_iopoll());
}

/// Checks that nothing can be submitted to or taken from a disabled ring, and that what was pushed
/// meanwhile runs exactly once when it is enabled.
#[track_caller]
fn keeps_entries_until_enabled<T: Threads, S: SqeSize, C: CqeSize>(
    cq: &mut CompletionQueue<T, C>,
    sq: &mut SubmissionQueue<T, S>,
) {
    #[track_caller]
    fn disabled<R: Debug>(result: Result<R, SubmitError>, queued: u32) {
        let error = result.expect_err("the ring is disabled");
        assert_eq!(error.cause(), SubmitCause::Disabled);
        assert_eq!((error.errno(), error.queued()), (libc::EBADFD, queued));
        let message = error.to_string();
        assert!(
            message.contains(&format!("({queued} entries are still queued)")),
            "{message}"
        );
        assert!(
            message.ends_with("the ring is disabled; enable it first (errno 77)"),
            "{message}"
        );
        assert_eq!(io::Error::from(error).raw_os_error(), Some(libc::EBADFD));
    }
    for user_data in 1..=2 {
        // SAFETY: a NOP points to nothing.
        unsafe { sq.push(&Nop, user_data) }.expect("room");
    }
    disabled(sq.submit(), 2);
    disabled(sq.submit(), 2);
    disabled(sq.submit_and_wait(1), 2);
    disabled(sq.submit_and_wait_with(&Wait::for_completions(1)), 2);
    let mut batch = sq.batch();
    // SAFETY: a NOP points to nothing.
    unsafe { batch.push(&Nop, 3) }.expect("room");
    disabled(batch.submit(), 3);
    assert_eq!(sq.unsubmitted(), 3);
    assert!(cq.try_next().is_ok_and(|completion| completion.is_none()));
    assert_eq!(
        cq.next().expect_err("it cannot be done").raw_os_error(),
        Some(libc::EBADFD)
    );

    sq.enable().expect("it was disabled");
    assert_eq!(cq.ready(), 0);
    assert_eq!(sq.submit_and_wait(3).expect("a submission"), 3);
    let taken: Vec<u64> = cq
        .completions()
        .map(|completion| completion.user_data())
        .collect();
    assert_eq!(taken, [1, 2, 3]);
    assert_eq!((sq.submit().expect("a submission"), cq.ready()), (0, 0));
    round_trips(cq, sq);

    let error = sq.enable().expect_err("it cannot be done");
    assert_eq!(
        (error.errno(), error.cause()),
        (libc::EBADFD, &RegisterCause::NotAllowed)
    );
    assert_eq!(
        error.to_string(),
        "could not enable the ring: the ring is restricted, or already enabled (errno 77)",
    );
}

#[test]
fn r_disabled_keeps_entries_until_enabled() {
    let disabled = || IoUringParams::default().entries(8).r_disabled();
    if let Some((mut cq, mut sq)) = make((5, 10), disabled()) {
        keeps_entries_until_enabled(&mut cq, &mut sq);
    }
    if let Some((mut cq, mut sq)) = make((6, 1), disabled().defer_taskrun()) {
        keeps_entries_until_enabled(&mut cq, &mut sq);
    }
    let mut ring = IoUring::builder().entries(8).r_disabled().build().unwrap();
    let (cq, sq) = ring.queues();
    keeps_entries_until_enabled(cq, sq);
}

#[test]
fn r_disabled_with_sqpoll_keeps_entries_until_enabled() {
    let params = IoUringParams::default().entries(8).r_disabled().sqpoll(1);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, 7) }.unwrap();
    // The entry is shown to the thread, and only if that sleeps already a system call is refused.
    match sq.submit() {
        Ok(shown) => assert_eq!(shown, 1),
        Err(error) => assert_eq!((error.cause(), error.queued()), (SubmitCause::Disabled, 1)),
    }
    let wait = Wait::for_completions(1).timeout(Duration::from_secs(10));
    let refused = sq.submit_and_wait_with(&wait).unwrap_err();
    assert_eq!(
        (refused.cause(), refused.queued()),
        (SubmitCause::Disabled, 1)
    );
    assert_eq!((sq.unsubmitted(), cq.ready()), (1, 0));

    sq.enable().unwrap();
    assert!(!cq.wait_with(&wait).unwrap().timed_out);
    assert_eq!(cq.next().unwrap().user_data(), 7);
    assert_all_taken(&sq);
    assert_eq!(cq.ready(), 0);
    round_trips(&mut cq, &mut sq);
}

#[test]
fn enable_of_an_enabled_ring_is_not_allowed() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    let error = sq.enable().unwrap_err();
    assert_eq!(
        (error.errno(), error.cause()),
        (libc::EBADFD, &RegisterCause::NotAllowed)
    );
    round_trips(&mut cq, &mut sq);
}
