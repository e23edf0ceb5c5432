//! The owned layer: futexes.
#![cfg(target_os = "linux")]

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lio_uring::operation::OpCode;
use lio_uring::owned::{FutexWait, FutexWaitV, FutexWake, Ring};

use outcome::errno;

#[path = "support/needs.rs"]
mod needs;
#[path = "support/outcome.rs"]
mod outcome;

/// Whether the kernel has what the tests need.
fn has_futexes() -> bool {
    needs::operations(&[OpCode::FUTEX_WAIT, OpCode::FUTEX_WAKE, OpCode::FUTEX_WAITV])
}

fn wait<W>(futex: W, expected: u32) -> FutexWait<W> {
    FutexWait {
        futex,
        expected,
        mask: u32::MAX,
        shared: false,
    }
}

fn wake<W>(futex: W, count: u32) -> FutexWake<W> {
    FutexWake {
        futex,
        count,
        mask: u32::MAX,
        shared: false,
    }
}

#[test]
fn futex_wait_ends_when_it_is_woken() -> io::Result<()> {
    static FOR_EVER: AtomicU32 = AtomicU32::new(3);
    if !has_futexes() {
        return Ok(());
    }
    let ring = Ring::new(8)?;
    let futex = Arc::new(AtomicU32::new(3));
    let waits = [3, 3, 3].map(|expected| ring.push(wait(Arc::clone(&futex), expected)));
    ring.submit()?;
    assert_eq!(ring.push(wake(Arc::clone(&futex), 2))?.wait()??, 2);
    // A count that the kernel has no room for is not a single one, nor none.
    let again = ring.push(wait(Arc::clone(&futex), 3))?;
    ring.submit()?;
    assert_eq!(ring.push(wake(Arc::clone(&futex), u32::MAX))?.wait()??, 2);
    for ticket in waits {
        ticket?.wait()??;
    }
    again.wait()??;
    assert_eq!(Arc::strong_count(&futex), 1);

    let (local, shared) = (Rc::new(AtomicU32::new(0)), true);
    let waits = FutexWait {
        shared,
        ..wait(Rc::clone(&local), 0)
    };
    let waits = ring.push(waits)?;
    ring.submit()?;
    assert_eq!(
        ring.push(wake(Rc::clone(&local), 1))?.wait()??,
        0,
        "it is shared"
    );
    let wakes = FutexWake {
        shared,
        ..wake(local, 1)
    };
    assert_eq!(ring.push(wakes)?.wait()??, 1);
    waits.wait()??;

    let waits = ring.push(wait(&FOR_EVER, 3))?;
    ring.submit()?;
    assert_eq!(ring.push(wake(&FOR_EVER, 1))?.wait()??, 1);
    waits.wait()??;
    Ok(())
}

#[test]
fn futex_wait_on_another_number_or_for_nothing_fails() -> io::Result<()> {
    if !has_futexes() {
        return Ok(());
    }
    let ring = Ring::new(8)?;
    let futex = Arc::new(AtomicU32::new(u32::MAX));
    let other = ring.push(wait(Arc::clone(&futex), 0))?.wait()?;
    assert_eq!(errno(other), libc::EAGAIN);
    let for_nothing = FutexWait {
        mask: 0,
        ..wait(Arc::clone(&futex), u32::MAX)
    };
    let for_nothing = ring.push(for_nothing)?.wait()?;
    assert_eq!(errno(for_nothing), libc::EINVAL);
    let by_nothing = FutexWake {
        mask: 0,
        ..wake(futex, 1)
    };
    assert_eq!(errno(ring.push(by_nothing)?.wait()?), libc::EINVAL);
    Ok(())
}

#[test]
fn futex_wake_of_one_kind_wakes_those_that_wait_for_it() -> io::Result<()> {
    if !has_futexes() {
        return Ok(());
    }
    let ring = Ring::new(8)?;
    let futex = Arc::new(AtomicU32::new(0));
    let waits = |mask| FutexWait {
        mask,
        ..wait(Arc::clone(&futex), 0)
    };
    let wakes = |mask| FutexWake {
        mask,
        ..wake(Arc::clone(&futex), 10)
    };
    let (one, two) = (ring.push(waits(1))?, ring.push(waits(2))?);
    ring.submit()?;
    assert_eq!(ring.push(wakes(4))?.wait()??, 0);
    assert_eq!(ring.push(wakes(2))?.wait()??, 1);
    assert!(!one.is_done());
    two.wait()??;
    assert_eq!(ring.push(wakes(1))?.wait()??, 1);
    one.wait()??;
    Ok(())
}

#[test]
fn abandoned_wait_is_not_there_to_be_woken() -> io::Result<()> {
    if !has_futexes() {
        return Ok(());
    }
    let ring = Ring::new(8)?;
    let futex = Arc::new(AtomicU32::new(0));
    drop(ring.push(wait(Arc::clone(&futex), 0))?);
    let limited = ring.push_within(wait(Arc::clone(&futex), 0), Duration::from_millis(5))?;
    assert_eq!(errno(limited.wait()?), libc::ECANCELED);
    while ring.operations() > 0 {
        ring.submit_and_wait(1)?;
    }
    assert_eq!(Arc::strong_count(&futex), 1);
    assert_eq!(ring.push(wake(futex, 1))?.wait()??, 0);
    Ok(())
}

#[test]
fn wait_on_several_tells_which_was_woken() -> io::Result<()> {
    if !has_futexes() {
        return Ok(());
    }
    let ring = Ring::new(8)?;
    let futexes: Vec<_> = (0..128)
        .map(|number| Arc::new(AtomicU32::new(number)))
        .collect();
    let with_numbers = || {
        let numbered = |futex: &Arc<AtomicU32>| (Arc::clone(futex), futex.load(Ordering::Relaxed));
        futexes.iter().map(numbered).collect::<Vec<_>>()
    };
    for which in [0, 77, 127] {
        let waits = ring.push(FutexWaitV::new(with_numbers()))?;
        ring.submit()?;
        assert_eq!(ring.push(wake(Arc::clone(&futexes[which]), 1))?.wait()??, 1);
        assert_eq!(waits.wait()??, which);
    }
    let waits = ring.push(FutexWaitV::new(with_numbers()).shared(true))?;
    ring.submit()?;
    let private = ring.push(wake(Arc::clone(&futexes[5]), 1))?.wait()??;
    assert_eq!(private, 0);
    let shared = FutexWake {
        shared: true,
        ..wake(Arc::clone(&futexes[5]), 1)
    };
    assert_eq!(ring.push(shared)?.wait()??, 1);
    assert_eq!(waits.wait()??, 5);

    let mut other = with_numbers();
    other[100].1 += 1;
    let other = ring.push(FutexWaitV::new(other))?.wait()?;
    assert_eq!(errno(other), libc::EAGAIN);
    let mut many = with_numbers();
    many.push((Arc::new(AtomicU32::new(0)), 0));
    for wrong in [Vec::new(), many] {
        let refused = ring.push(FutexWaitV::new(wrong))?.wait()?;
        assert_eq!(errno(refused), libc::EINVAL);
    }
    assert!(futexes.iter().all(|futex| Arc::strong_count(futex) == 1));
    Ok(())
}
