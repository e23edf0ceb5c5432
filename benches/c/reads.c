/* Reads blocks at random, with many in flight: what a careful C program does with liburing. */

#include <liburing.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>

struct random_reads {
	const uint32_t *blocks;
	char *buffers;
	unsigned count;
	unsigned size;
	unsigned depth;
	int fd;
	int registered;
};

int reads_register(struct io_uring *ring, const struct random_reads *reads)
{
	struct iovec all = {
		.iov_base = reads->buffers,
		.iov_len = (size_t)reads->depth * reads->size,
	};
	int ret = io_uring_register_buffers(ring, &all, 1);

	return ret < 0 ? ret : io_uring_register_files(ring, &reads->fd, 1);
}

static bool start(struct io_uring *ring, const struct random_reads *reads, uint64_t slot,
		  uint32_t block)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	char *buffer = reads->buffers + slot * reads->size;
	uint64_t offset = (uint64_t)block * reads->size;

	if (!sqe)
		return false;
	if (reads->registered) {
		io_uring_prep_read_fixed(sqe, 0, buffer, reads->size, offset, 0);
		sqe->flags |= IOSQE_FIXED_FILE;
	} else {
		io_uring_prep_read(sqe, reads->fd, buffer, reads->size, offset);
	}
	sqe->user_data = (uint64_t)block << 32 | slot;
	return true;
}

/* A block begins with its own number. */
static bool is_right(const struct random_reads *reads, const struct io_uring_cqe *cqe)
{
	uint32_t number;

	if (cqe->res != (int)reads->size)
		return false;
	memcpy(&number, reads->buffers + (uint32_t)cqe->user_data * reads->size, sizeof(number));
	return number == cqe->user_data >> 32;
}

int reads_run(struct io_uring *ring, const struct random_reads *reads)
{
	unsigned started = 0, done = 0;

	while (started < reads->depth && started < reads->count) {
		if (!start(ring, reads, started, reads->blocks[started]))
			return -EAGAIN;
		started++;
	}
	while (done < reads->count) {
		struct io_uring_cqe *cqe;
		unsigned head, taken = 0;
		int ret = io_uring_submit_and_wait(ring, 1);

		if (ret < 0)
			return ret;
		io_uring_for_each_cqe(ring, head, cqe) {
			taken++;
			if (!is_right(reads, cqe))
				return -EIO;
			if (started == reads->count)
				continue;
			if (!start(ring, reads, (uint32_t)cqe->user_data, reads->blocks[started]))
				return -EAGAIN;
			started++;
		}
		io_uring_cq_advance(ring, taken);
		done += taken;
	}
	return 0;
}
