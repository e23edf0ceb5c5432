//! Busy polling of network devices.
#![cfg(target_os = "linux")]

#[path = "support/kernel.rs"]
mod kernel;

use std::time::Duration;

use lio_uring::{IoUring, IoUringParams, Napi, with_capacity};

#[test]
fn napi_settings_come_back() {
    let (_cq, mut sq) = with_capacity(8).unwrap();
    let first = Napi {
        busy_poll: Duration::from_micros(50),
        prefer_busy_poll: true,
    };
    let before = sq.register_napi(first);
    let before = match before {
        // Built without busy polling.
        Err(error) if error.errno() == libc::EOPNOTSUPP => {
            let again = sq.unregister_napi().unwrap_err();
            return assert_eq!(again.errno(), libc::EOPNOTSUPP);
        }
        before => before,
    };
    let Some(before) = kernel::since(6, 9, before) else {
        return;
    };
    assert!(!before.prefer_busy_poll, "{before:?}");
    let second = Napi {
        busy_poll: Duration::from_micros(7),
        prefer_busy_poll: false,
    };
    assert_eq!(sq.register_napi(second).unwrap(), first);
    assert_eq!(sq.unregister_napi().unwrap(), second);
    assert_eq!(sq.unregister_napi().unwrap().busy_poll, Duration::ZERO);
}

#[test]
fn napi_on_a_ring_that_polls_itself_is_refused() {
    let params = IoUringParams::default().entries(8).iopoll();
    let (_cq, mut sq) = IoUring::with_params(params).unwrap();
    let error = sq.register_napi(Napi::default()).unwrap_err();
    assert!(
        [libc::EINVAL, libc::EOPNOTSUPP].contains(&error.errno()),
        "{error}"
    );
}
