//! What the kernel says of itself without a ring.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use lio_uring::operation::OpCode;
use lio_uring::{Features, Probe, QueryOpcodes, QueryScq, QueryZcrx, SetupFlags, SqeFlags};

#[test]
fn opcodes_agree_with_what_a_ring_says() {
    let Some(known) = kernel::since(6, 18, QueryOpcodes::ask()) else {
        return;
    };
    let (_cq, mut sq) = lio_uring::with_capacity(8).unwrap();
    let last = sq.probe().unwrap().last();
    assert_eq!(known.operations, u32::from(last.0) + 1);
    assert!(Probe::new().unwrap().supports(OpCode::NOP));
    assert_eq!(known.features, sq.features());
    assert!(known.features.contains(Features::EXT_ARG));
    assert!(known.registrations > 35 && known.queries > 0, "{known:?}");
    assert!(known.setup_flags.contains(SetupFlags::CQE_MIXED));
    assert!(
        !known
            .setup_flags
            .contains(SetupFlags::from_bits_retain(1 << 31))
    );
    assert_eq!(known.enter_flags & 0xff, 0xff);
    assert!(known.sqe_flags.contains(SqeFlags::CQE_SKIP_SUCCESS));
}

#[test]
fn questions_that_the_kernel_does_not_know_are_errors() {
    let unknown = [
        Some(libc::EOPNOTSUPP),
        Some(libc::EINVAL),
        Some(libc::EBADF),
    ];
    match QueryZcrx::ask() {
        Ok(zcrx) => assert!(zcrx.refill_header_size > 0, "{zcrx:?}"),
        Err(error) => {
            assert!(unknown.contains(&error.raw_os_error()), "{error}");
            assert!(kernel::older_than(6, 19), "{error}");
        }
    }
    match QueryScq::ask() {
        Ok(scq) => assert!(scq.header_size > 0, "{scq:?}"),
        Err(error) => {
            assert!(unknown.contains(&error.raw_os_error()), "{error}");
            assert!(kernel::older_than(6, 20), "{error}");
        }
    }
}
