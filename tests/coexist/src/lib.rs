//! Uses two copies of liburing side by side. That it links is half of the test.

#[cfg(test)]
mod tests {
    use lio_uring::operation::Nop;
    use lio_uring::sys;

    #[test]
    fn both_libraries_work_in_one_program() {
        let (mut cq, mut sq) = lio_uring::with_capacity(8).expect("a ring of ours");
        // SAFETY: zero is a value of the structure.
        let mut other: uring_sys2::io_uring = unsafe { std::mem::zeroed() };
        // SAFETY: the structure is valid for writes.
        let made = unsafe { uring_sys2::io_uring_queue_init(8, &raw mut other, 0) };
        assert_eq!(made, 0, "the other library made no ring");

        for round in 0..100 {
            // SAFETY: a NOP points to nothing.
            unsafe { sq.push(&Nop, round) }.expect("room");
            // SAFETY: the ring is set up.
            let sqe = unsafe { uring_sys2::io_uring_get_sqe(&raw mut other) };
            assert!(!sqe.is_null());
            // SAFETY: the library gave the entry to be written.
            unsafe { uring_sys2::io_uring_prep_nop(sqe) };
            // SAFETY: as above.
            unsafe { (*sqe).user_data = 1000 + round };

            assert_eq!(sq.submit_and_wait(1).expect("a submission"), 1);
            // SAFETY: the ring is set up, and its entries point to nothing.
            assert_eq!(
                unsafe { uring_sys2::io_uring_submit_and_wait(&raw mut other, 1) },
                1
            );

            assert_eq!(cq.next().expect("a completion").user_data(), round);
            let mut cqe = std::ptr::null_mut();
            // SAFETY: the pointer is to a value of the right type.
            assert_eq!(
                unsafe { uring_sys2::io_uring_peek_cqe(&raw mut other, &raw mut cqe) },
                0
            );
            // SAFETY: the library gave the completion.
            assert_eq!(unsafe { (*cqe).user_data }, 1000 + round);
            // SAFETY: as above.
            unsafe { uring_sys2::io_uring_cqe_seen(&raw mut other, cqe) };
        }
        // SAFETY: the ring is set up and not used after this.
        unsafe { uring_sys2::io_uring_queue_exit(&raw mut other) };
    }

    #[test]
    fn functions_of_the_same_name_are_not_the_same() {
        let ours = sys::io_uring_queue_init as *const ();
        let theirs = uring_sys2::io_uring_queue_init as *const ();
        assert_ne!(ours, theirs);
        let ours = sys::io_uring_register_buffers as *const ();
        let theirs = uring_sys2::io_uring_register_buffers as *const ();
        assert_ne!(ours, theirs);
    }
}
