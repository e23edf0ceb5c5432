//! Time stamps of what is sent.

#![cfg(target_os = "linux")]

use std::os::fd::AsRawFd;
use std::ptr;
use std::time::{SystemTime, UNIX_EPOCH};

use lio_uring::operation::{Cancel, CancelFlags, CmdSock, OpCode, SocketOp, TxTimestamp};
use lio_uring::{IoUring, IoUringParams, Wait};

#[path = "support/kernel.rs"]
mod kernel;
#[path = "support/needs.rs"]
mod needs;
#[macro_use]
#[path = "support/rings.rs"]
mod rings;
#[path = "support/sockets.rs"]
mod sockets;

use rings::{CANCEL, LIMIT, PENDING, run};
use sockets::{set_option, udp};

/// A datagram has left.
const SCM_TSTAMP_SND: u32 = 0;
/// A datagram has been handed to the queue of the device.
const SCM_TSTAMP_SCHED: u32 = 1;

fn timestamps_of(socket: &impl AsRawFd) -> CmdSock {
    CmdSock {
        cmd_op: SocketOp::TX_TIMESTAMP,
        fd: socket.as_raw_fd(),
        level: 0,
        optname: 0,
        optval: ptr::null_mut(),
        optlen: 0,
    }
}

#[test]
fn tx_timestamp_needs_completions_of_32_bytes() {
    // Sockets take commands since Linux 6.5.
    if !needs::operations(&[OpCode::FUTEX_WAIT]) {
        return;
    }
    each_ring!(|cq, sq| {
        let (here, _) = udp();
        // SAFETY: it uses no memory, and the socket stays.
        let done = unsafe { run(cq, sq, &timestamps_of(&here), |_| ()) };
        let errno = if done.raw_result() == -libc::EOPNOTSUPP {
            assert!(kernel::older_than(6, 17));
            libc::EOPNOTSUPP
        } else {
            libc::EINVAL
        };
        assert_eq!((done.raw_result(), done.more()), (-errno, false));
    });
}

#[test]
fn tx_timestamp_tells_when_each_datagram_was_sent_until_it_is_cancelled() {
    let params = IoUringParams::default().entries(16).cqe32();
    let Some((mut cq, mut sq)) = kernel::since(5, 19, IoUring::with_params(params)) else {
        return;
    };
    if kernel::lacks(6, 17, "no such command") {
        return;
    }
    let mut next = || {
        let wait = Wait::for_completions(1).timeout(LIMIT);
        assert!(!cq.wait_with(&wait).unwrap().timed_out, "no completion");
        cq.try_next().unwrap().unwrap()
    };
    let (here, _) = udp();
    let (_there, to) = udp();
    let reported = libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_TX_SCHED
        | libc::SOF_TIMESTAMPING_OPT_ID
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    let reported = reported.cast_signed();
    set_option(&here, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, reported);
    // SAFETY: it uses no memory, and the socket stays.
    unsafe { sq.push(&timestamps_of(&here), PENDING) }.unwrap();
    sq.submit().unwrap();
    for number in 0..5 {
        here.send_to(b"a datagram", to).unwrap();
        for kind in [SCM_TSTAMP_SCHED, SCM_TSTAMP_SND] {
            let done = next();
            assert_eq!((done.user_data(), done.more()), (PENDING, true));
            assert_eq!(done.result().unwrap(), number);
            let stamp = TxTimestamp::new(done.flags(), done.extra());
            assert_eq!((stamp.r#type, stamp.hardware), (kind, false));
            assert!(
                (0..1_000_000_000).contains(&stamp.time.tv_nsec),
                "{stamp:?}"
            );
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let off = now.as_secs().abs_diff(stamp.time.tv_sec.cast_unsigned());
            // A clock can be set in between, but it is not another epoch.
            assert!(off < 1 << 20, "{stamp:?} is {off} s off");
        }
    }
    let cancel = Cancel {
        user_data: PENDING,
        flags: CancelFlags::empty(),
    };
    // SAFETY: a cancellation points to nothing.
    unsafe { sq.push(&cancel, CANCEL) }.unwrap();
    sq.submit().unwrap();
    let mut both = [next(), next()];
    both.sort_by_key(lio_uring::Completion::user_data);
    let results = both.map(|done| (done.raw_result(), done.more()));
    assert_eq!(results, [(-libc::ECANCELED, false), (0, false)]);
}
