/*
 * What every target must agree on: the layout of the structures shared with
 * the kernel. src/sys.rs asserts the same numbers of the bindings, so that a
 * target on which one of the two were wrong does not compile.
 */
#include <stddef.h>
#include "liburing.h"

#define SIZE(type, bytes) \
	_Static_assert(sizeof(struct type) == (bytes), "size of struct " #type)
#define OFFSET(type, member, bytes) \
	_Static_assert(offsetof(struct type, member) == (bytes), "offset of " #type "." #member)

SIZE(io_uring_sqe, 64);
OFFSET(io_uring_sqe, opcode, 0);
OFFSET(io_uring_sqe, flags, 1);
OFFSET(io_uring_sqe, ioprio, 2);
OFFSET(io_uring_sqe, fd, 4);
OFFSET(io_uring_sqe, off, 8);
OFFSET(io_uring_sqe, addr, 16);
OFFSET(io_uring_sqe, len, 24);
OFFSET(io_uring_sqe, rw_flags, 28);
OFFSET(io_uring_sqe, user_data, 32);
OFFSET(io_uring_sqe, buf_index, 40);
OFFSET(io_uring_sqe, personality, 42);
OFFSET(io_uring_sqe, file_index, 44);
OFFSET(io_uring_sqe, addr3, 48);
OFFSET(io_uring_sqe, cmd, 48);

SIZE(io_uring_cqe, 16);
OFFSET(io_uring_cqe, user_data, 0);
OFFSET(io_uring_cqe, res, 8);
OFFSET(io_uring_cqe, flags, 12);
OFFSET(io_uring_cqe, big_cqe, 16);

SIZE(io_uring_params, 120);
OFFSET(io_uring_params, features, 20);
OFFSET(io_uring_params, sq_off, 40);
OFFSET(io_uring_params, cq_off, 80);
SIZE(io_uring_buf, 16);
SIZE(io_uring_buf_ring, 16);
OFFSET(io_uring_buf_ring, tail, 14);
SIZE(io_uring_buf_reg, 40);
SIZE(io_uring_getevents_arg, 24);
SIZE(io_uring_reg_wait, 64);
SIZE(io_uring_probe, 16);
SIZE(io_uring_probe_op, 8);
SIZE(io_uring_rsrc_register, 32);
SIZE(io_uring_rsrc_update2, 32);
SIZE(io_uring_sync_cancel_reg, 64);
SIZE(io_uring_recvmsg_out, 16);
SIZE(__kernel_timespec, 16);
