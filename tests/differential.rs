//! The queues against liburing's own inline functions: the same random work on a ring of each, and
//! every answer compared.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use lio_uring::operation::{Nop, OpCode};
use lio_uring::{CompletionQueue, IoUring, IoUringParams, QueueFull, Sqe, SubmissionQueue, sys};

/// A ring that is used by way of liburing's functions alone.
struct CRing(Box<sys::io_uring>);

impl CRing {
    fn new(entries: u32, completions: u32, flags: u32) -> Self {
        // SAFETY: zero is a value of the structure.
        let mut ring: Box<sys::io_uring> = Box::new(unsafe { std::mem::zeroed() });
        // SAFETY: as above.
        let mut params: sys::io_uring_params = unsafe { std::mem::zeroed() };
        params.flags = flags | sys::IORING_SETUP_CQSIZE;
        params.cq_entries = completions;
        // SAFETY: both structures are valid for writes.
        let made =
            unsafe { sys::io_uring_queue_init_params(entries, &raw mut *ring, &raw mut params) };
        assert_eq!(made, 0, "liburing made no ring");
        Self(ring)
    }

    fn push(&mut self, user_data: u64, refused: bool) -> Option<[u8; 64]> {
        // SAFETY: the ring is set up.
        let sqe = unsafe { sys::io_uring_get_sqe(&raw mut *self.0) };
        if sqe.is_null() {
            return None;
        }
        // SAFETY: liburing gave the entry to be written.
        unsafe { sys::io_uring_prep_nop(sqe) };
        // SAFETY: as above.
        unsafe { sys::io_uring_sqe_set_data64(sqe, user_data) };
        if refused {
            // SAFETY: as above.
            unsafe { (*sqe).opcode = 255 };
        }
        // SAFETY: an entry is 64 bytes.
        Some(unsafe { sqe.cast::<[u8; 64]>().read() })
    }

    fn submit(&mut self) -> i32 {
        // SAFETY: the ring is set up, and its entries point to nothing.
        unsafe { sys::io_uring_submit(&raw mut *self.0) }
    }

    fn fetch(&mut self) {
        // SAFETY: the ring is set up.
        let result = unsafe { sys::io_uring_get_events(&raw mut *self.0) };
        assert_eq!(result, 0, "liburing could not fetch");
    }

    fn space_left(&self) -> u32 {
        // SAFETY: the ring is set up.
        unsafe { sys::io_uring_sq_space_left(&raw const *self.0) }
    }

    fn ready(&self) -> u32 {
        // SAFETY: the ring is set up.
        unsafe { sys::io_uring_cq_ready(&raw const *self.0) }
    }

    fn overflowed(&self) -> bool {
        // SAFETY: the ring is set up.
        unsafe { sys::io_uring_cq_has_overflow(&raw const *self.0) }
    }

    fn take(&mut self) -> Option<(u64, i32, u32)> {
        let mut cqe = std::ptr::null_mut();
        // SAFETY: the ring is set up, and the pointer is to a value of the right type.
        let result = unsafe { sys::io_uring_peek_cqe(&raw mut *self.0, &raw mut cqe) };
        if result != 0 {
            return None;
        }
        // SAFETY: liburing gave a completion, which stays until it is marked as seen.
        let completion = unsafe { &*cqe };
        let taken = (completion.user_data, completion.res, completion.flags);
        // SAFETY: as above.
        unsafe { sys::io_uring_cqe_seen(&raw mut *self.0, cqe) };
        Some(taken)
    }
}

impl Drop for CRing {
    fn drop(&mut self) {
        // SAFETY: the ring is set up.
        unsafe { sys::io_uring_queue_exit(&raw mut *self.0) };
    }
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn push(sq: &mut SubmissionQueue, user_data: u64, refused: bool) -> Option<[u8; 64]> {
    let mut sqe = Sqe::of(&Nop);
    if refused {
        sqe.set_opcode(OpCode(255));
    }
    // SAFETY: the entry points to nothing.
    let pushed = unsafe { sq.push_raw(&sqe, user_data) };
    sqe.set_user_data(user_data);
    (pushed != Err(QueueFull)).then(|| *sqe.as_bytes())
}

fn take(cq: &mut CompletionQueue) -> Option<(u64, i32, u32)> {
    let completion = cq.try_next().expect("a look at the queue")?;
    Some((
        completion.user_data(),
        completion.raw_result(),
        completion.flags().bits(),
    ))
}

fn compare(entries: u32, completions: u32, params: IoUringParams, flags: u32, seed: u64) {
    let params = params.entries(entries).cqsize(completions);
    let since = if flags & sys::IORING_SETUP_COOP_TASKRUN == 0 {
        18
    } else {
        19
    };
    let Some((mut cq, mut sq)) = kernel::since(5, since, IoUring::with_params(params)) else {
        return;
    };
    let mut c = CRing::new(entries, completions, flags);
    let mut random = Random(seed);
    for step in 0..20_000 {
        let at = format!("seed {seed}, step {step}, {entries} entries, {completions} completions");
        match random.below(8) {
            0..=3 => {
                let (user_data, refused) = (random.below(u64::MAX), random.below(16) == 0);
                let pushed = push(&mut sq, user_data, refused);
                assert_eq!(pushed, c.push(user_data, refused), "push at {at}");
            }
            4 => {
                let submitted = sq
                    .submit()
                    .map(u32::cast_signed)
                    .map_err(|error| -error.errno());
                assert_eq!(
                    submitted.unwrap_or_else(|errno| errno),
                    c.submit(),
                    "submit at {at}"
                );
            }
            5 => {
                for _ in 0..random.below(u64::from(2 * completions)) {
                    assert_eq!(take(&mut cq), c.take(), "take at {at}");
                }
            }
            6 => {
                for completion in cq.completions() {
                    let (user_data, flags) = (completion.user_data(), completion.flags().bits());
                    let taken = (user_data, completion.raw_result(), flags);
                    assert_eq!(Some(taken), c.take(), "iteration at {at}");
                }
            }
            _ => {
                // Both fetch what overflowed when they submit, and we when completions are taken, too.
                cq.wait(0).expect("a look at the queue");
                c.fetch();
                assert_eq!(sq.space_left(), c.space_left(), "room at {at}");
                assert_eq!(cq.ready(), c.ready(), "ready at {at}");
                assert_eq!(cq.has_overflowed(), c.overflowed(), "overflow at {at}");
            }
        }
    }
}

#[test]
fn random_work_has_the_same_outcome_on_both() {
    if kernel::lacks(5, 19, "the order of completions that overflow") {
        return;
    }
    for (seed, (entries, completions)) in [(1, 1), (1, 2), (2, 4), (4, 4), (8, 32), (64, 128)]
        .into_iter()
        .enumerate()
    {
        let seed = 0x9e37_79b9_7f4a_7c15 + seed as u64;
        compare(entries, completions, IoUringParams::default(), 0, seed);
    }
}

#[test]
fn random_work_has_the_same_outcome_with_submit_all() {
    let params = IoUringParams::default().submit_all();
    compare(
        8,
        16,
        params,
        sys::IORING_SETUP_SUBMIT_ALL,
        0x2545_f491_4f6c_dd1d,
    );
}

#[test]
fn random_work_has_the_same_outcome_with_cooperative_task_running() {
    let params = IoUringParams::default().coop_taskrun();
    let flags = sys::IORING_SETUP_COOP_TASKRUN | sys::IORING_SETUP_TASKRUN_FLAG;
    compare(8, 16, params, flags, 0x1234_5678_9abc_def1);
}
