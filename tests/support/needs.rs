//! Skips a test where the running kernel lacks an operation, and only there.

use lio_uring::operation::{Nop, OpCode};
use lio_uring::{Features, IoUring, IoUringParams, Probe, Sqe, SqeFlags};

#[allow(clippy::duplicate_mod, reason = "other helpers skip too")]
#[path = "skip.rs"]
mod skip;

/// Whether the running kernel has these operations. Says that the test is skipped if not.
///
/// A feature that came without an operation is stood for by one of the same kernel or a later one.
#[track_caller]
pub(crate) fn operations(codes: &[OpCode]) -> bool {
    let missing = codes.iter().find(|code| !knows(**code));
    if let Some(code) = missing {
        skip::skip(&skip::Lack::Operation(*code));
    }
    missing.is_none()
}

/// Whether the kernel knows an operation, as an entry of it shows. Fails if the probe disagrees.
#[track_caller]
pub(crate) fn knows(code: OpCode) -> bool {
    if [OpCode::NOP128, OpCode::URING_CMD128].contains(&code) {
        return knows_large(code);
    }
    let (mut cq, mut sq) = lio_uring::with_capacity(2).expect("a ring");
    // The kernel looks at the code first, and then refuses these flags with another error.
    let refused = if sq.features().contains(Features::CQE_SKIP) {
        SqeFlags::IO_DRAIN | SqeFlags::CQE_SKIP_SUCCESS
    } else {
        SqeFlags::BUFFER_SELECT
    };
    let mut sqe = Sqe::of(&Nop);
    sqe.set_opcode(code);
    sqe.read_write(-1, std::ptr::null::<u8>(), 1, 0);
    sqe.insert_flags(refused);
    // SAFETY: nothing of it is carried out: the flags contradict each other, or are a buffer group
    // for operations that take none or need a descriptor.
    unsafe { sq.push_raw(&sqe, 0) }.expect("room");
    sq.submit_and_wait(1).expect("a submission");
    let known = cq.next().expect("a completion").raw_result() != -libc::EINVAL;
    let probe = sq.probe().expect("kernels since 5.6 can be asked");
    assert_eq!(probe.supports(code), known, "what the probe says of {code}");
    known
}

/// The same for an operation that is refused on a ring without entries of 128 bytes.
#[track_caller]
fn knows_large(code: OpCode) -> bool {
    let params = IoUringParams::default().entries(4).sqe_mixed();
    let known = IoUring::with_params(params).is_ok();
    let probe = Probe::new().expect("kernels since 5.6 can be asked");
    assert_eq!(probe.supports(code), known, "what the probe says of {code}");
    known
}
