//! Queues of every size: filled completely, counted, emptied.
#![cfg(target_os = "linux")]

use lio_uring::operation::Nop;
use lio_uring::{
    CompletionQueue, IoUring, IoUringParams, QueueFull, SubmissionQueue, with_capacity,
};

fn push(sq: &mut SubmissionQueue, user_data: u64) -> Result<(), QueueFull> {
    // SAFETY: a NOP points to nothing.
    unsafe { sq.push(&Nop, user_data) }
}

fn user_data(cq: &mut CompletionQueue) -> Vec<u64> {
    cq.completions().map(|done| done.user_data()).collect()
}

#[test]
fn ring_of_every_size_is_filled_completely() {
    for entries in (0..=15).map(|n| 1 << n) {
        let (mut cq, mut sq) = with_capacity(entries).unwrap();
        assert_eq!(
            (sq.capacity(), cq.capacity()),
            (entries, 2 * entries),
            "the queue of completions is twice as large"
        );
        let mut next = 0;
        // Twice, so that the second time begins where the queue of completions does not.
        for _ in 0..2 {
            let first = next;
            while push(&mut sq, next).is_ok() {
                next += 1;
            }
            assert_eq!(next - first, u64::from(entries));
            assert_eq!(sq.unsubmitted(), entries);
            assert_eq!(sq.submit_and_wait(entries).unwrap(), entries);
            let wanted: Vec<_> = (first..next).collect();
            assert_eq!(user_data(&mut cq), wanted, "{entries} entries");
        }
    }
}

#[test]
fn space_left_counts_down_and_comes_back_wherever_the_queue_stands() {
    let (mut cq, mut sq) = with_capacity(8).unwrap();
    for round in 0..100 {
        // Another number each time, so that the indices stand at every place.
        let pushed = round % 8 + 1;
        for i in 0..pushed {
            assert_eq!(sq.space_left(), 8 - i);
            push(&mut sq, i.into()).unwrap();
        }
        assert_eq!((sq.space_left(), sq.unsubmitted()), (8 - pushed, pushed));
        assert_eq!(sq.is_full(), pushed == 8);
        assert_eq!(sq.submit_and_wait(pushed).unwrap(), pushed);
        assert_eq!((sq.space_left(), sq.unsubmitted()), (8, 0));
        assert_eq!(user_data(&mut cq).len(), pushed as usize);
    }
}

#[test]
fn ready_counts_completions_as_they_come_and_go() {
    let (mut cq, mut sq) = with_capacity(4).unwrap();
    assert_eq!(cq.ready(), 0);
    for round in 0..20 {
        for i in 0..4 {
            push(&mut sq, i).unwrap();
        }
        assert_eq!(cq.ready(), 0, "they are not submitted");
        sq.submit().unwrap();
        assert_eq!(cq.ready(), 4);
        for left in (0..4).rev() {
            assert_eq!(cq.next().unwrap().user_data(), u64::from(3 - left));
            assert_eq!(cq.ready(), left, "round {round}");
        }
    }
}

#[test]
fn completions_gives_all_that_is_ready_and_no_more() {
    let (mut cq, mut sq) = with_capacity(4).unwrap();
    assert_eq!(user_data(&mut cq), []);
    for round in 0..10 {
        for (n, first) in [(4, 0), (3, 4), (1, 7)] {
            for i in first..first + n {
                push(&mut sq, i).unwrap();
            }
            sq.submit().unwrap();
            let wanted: Vec<_> = (first..first + n).collect();
            // A batch of at most two, and then what it has left.
            let mut taken: Vec<_> = cq.completions().take(2).map(|c| c.user_data()).collect();
            assert_eq!(taken, wanted[..wanted.len().min(2)]);
            taken.extend(user_data(&mut cq));
            assert_eq!(taken, wanted, "round {round}");
            assert_eq!(user_data(&mut cq), []);
        }
    }
}

#[test]
fn completions_that_did_not_fit_come_behind_the_others_in_order() {
    let params = IoUringParams::default().entries(4).cqsize(4);
    let (mut cq, mut sq) = IoUring::with_params(params).unwrap();
    for i in 0..40 {
        push(&mut sq, i).unwrap();
        sq.submit().unwrap();
    }
    assert_eq!(cq.ready(), 4);
    assert!(cq.has_overflowed());
    for i in 0..40 {
        assert_eq!(cq.next().unwrap().user_data(), i);
    }
    assert_eq!(cq.try_next().unwrap(), None);
    assert_eq!((cq.has_overflowed(), cq.lost()), (false, 0));
    // And all is as before.
    push(&mut sq, 40).unwrap();
    sq.submit_and_wait(1).unwrap();
    assert_eq!(user_data(&mut cq), [40]);
}
